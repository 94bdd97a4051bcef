"""How long a picture takes: kept by each run, and looked for in it and in the runs beside it.

Only runs of the same kind count: the same models, device, settings and size of pictures.
"""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from trainables.files.whole import write_json

log = logging.getLogger(__name__)

PACE: Final = "pace.json"

_SECONDS, _KIND = "seconds_a_picture", "kind"


def known_pace(out: Path, kind: Mapping[str, Any]) -> float | None:
    """Seconds that a picture took in earlier runs of a kind; None where nobody knows.

    A record that is none is left out with a word.

    Args:
        out: Folder of the run; its own record goes before those of the folders beside it.
        kind: All that the time depends on, as plain values.
    """
    own = _kept(out / PACE, kind)
    if own is not None:
        return own
    others = sorted(out.parent.glob(f"*/{PACE}")) if out.parent.is_dir() else []
    known = [_kept(path, kind) for path in others if path.parent != out]
    seconds = [one for one in known if one is not None]
    return median(seconds) if seconds else None


def remember_pace(out: Path, kind: Mapping[str, Any], seconds: float) -> None:
    """Keep the time that a picture took: the mean of what this folder knew and what it was now."""
    known = _kept(out / PACE, kind)
    mean = seconds if known is None else (known + seconds) / 2
    write_json(out / PACE, {_SECONDS: round(mean, 4), _KIND: kind})


def _kept(path: Path, kind: Mapping[str, Any]) -> float | None:
    """The seconds of a record; None where there is none, or one of another kind."""
    try:
        content = json.loads(path.read_text("utf-8"))
        seconds, of_kind = float(content[_SECONDS]), dict(content[_KIND])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        seconds, of_kind = math.nan, {}
    if not 0 < seconds < math.inf:
        log.warning("%s: expected the pace of earlier runs, got something else", path)
        return None
    return seconds if of_kind == json.loads(json.dumps(kind)) else None
