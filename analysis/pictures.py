"""Pictures for a page that must not load anything: small, and written into it."""

import base64
import io
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from trainables.datasets.prepared import PreparedDataset
from tune.store import TrialRecord

log = logging.getLogger(__name__)

LONGEST_SIDE_PX = 1600
_PHASES = {"round-0": "supervised phase"}
_FORMS: Mapping[str, Mapping[str, Any]] = {"png": {"optimize": True}, "jpeg": {"quality": 88}}


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        title: Heading above it.
        description: What it shows, for readers who cannot see it.
        uri: `data:` URI.
    """

    title: str
    description: str
    uri: str


def data_uri(path: Path, *, photo: bool = False) -> str:
    """A picture file as a `data:` URI, at most `LONGEST_SIDE_PX` wide or high.

    Args:
        path: The file.
        photo: Whether JPEG is known to be the smaller form; else both are tried, which takes long.

    Raises:
        OSError: The file is no picture.
    """
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
    forms = ("jpeg",) if photo else _FORMS
    encoded = {name: _encoded(picture, name, _FORMS[name]) for name in forms}
    name = min(encoded, key=lambda form: len(encoded[form]))
    return f"data:image/{name};base64,{base64.b64encode(encoded[name]).decode('ascii')}"


def contact_sheets(data: PreparedDataset | None) -> list[Picture]:
    """Pictures of the data set with its annotations drawn, where `prepare` left them."""
    if data is None:
        return []
    return _pictures(
        (
            data.root / f"contact_{split}.png",
            f"Annotations, {split} part",
            f"Contact sheet of the {split} part of {data.name} with its annotations drawn",
        )
        for split in ("train", "val")
    )


def confusion_matrices(trial: TrialRecord | None) -> list[Picture]:
    """Confusion matrices that the engine left among a trial's artifacts."""
    if trial is None or trial.artifacts is None:
        return []
    return _pictures(
        (path, f"Trial {trial.number}: {path.stem.replace('_', ' ')}", f"{path.stem} of the trial")
        for path in sorted(trial.artifacts.rglob("*confusion*.png"))
    )


def round_figures(trial: TrialRecord | None) -> list[Picture]:
    """What an engine that teaches itself has drawn of its phases."""
    if trial is None or trial.artifacts is None:
        return []
    return _pictures(
        (
            path,
            f"Trial {trial.number}, {_PHASES.get(path.stem, path.stem.replace('-', ' '))}",
            "A training picture, its labels and what the model gives after this phase",
        )
        for path in sorted(trial.artifacts.rglob("round-*.png"))
    )


def _pictures(wanted: Iterable[tuple[Path, str, str]]) -> list[Picture]:
    found = []
    for path, title, description in wanted:
        if not path.is_file():
            continue
        try:
            found.append(Picture(title, description, data_uri(path)))
        except (OSError, ImportError) as error:  # Ultralytics makes PIL ask for a further package
            log.warning("%s is left out of the report: %s", path, error)
    return found


def _encoded(picture: Image.Image, form: str, options: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()
