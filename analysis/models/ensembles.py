"""Folders of models that are one ensemble, as `segtune retrain --seeds` leaves them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from analysis.errors import EvaluateError
from trainables.files.whole import write_json

ENSEMBLE: Final = "ensemble.json"


def write_ensemble(folder: Path, members: Sequence[str], mean: float, spread: float) -> None:
    """Write which folders below `folder` are its models, and their objective over the seeds."""
    write_json(folder / ENSEMBLE, {"members": list(members), "mean": mean, "spread": spread})


def members_of(places: Iterable[Path]) -> list[Path]:
    """Places of models, each ensemble's folder replaced by those of its members.

    Raises:
        EvaluateError: The file of an ensemble cannot be read.
    """
    return [member for place in places for member in _members(place)]


def _members(place: Path) -> list[Path]:
    file = place / ENSEMBLE
    if not file.is_file():
        return [place]
    try:
        return [place / str(name) for name in json.loads(file.read_text("utf-8"))["members"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluateError(
            f"{file}: expected the members of an ensemble, got a file that cannot be read; name "
            "its models one by one with --model"
        ) from error
