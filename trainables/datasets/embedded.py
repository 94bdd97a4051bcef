"""Pictures that lie inside a JSON file, as base64 under the key `imageData` (LabelMe)."""

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

KEY: Final = "imageData"

SUFFIX: Final = ".json"


SIDE: Final = 64
"""Sides of the small pictures by which two are compared."""

_LIKE: Final = 0.5
"""Least correlation of what stands out in one picture twice; that of different ones is near 0."""

_FLAT: Final = 0.002
"""Share of the brightest level: in a picture that varies by less nothing stands out."""


@contextmanager
def picture_in_json(path: Path) -> Iterator[Path]:
    """The picture of a JSON file, as a file that is there for the while.

    Raises:
        ValueError: There is none.
        OSError: The JSON file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="segtune-picture-") as folder:
        file = Path(folder) / "picture"
        file.write_bytes(_data_in_json(path))
        yield file


def is_another(path: Path, picture: Path) -> bool:
    """Whether the picture in a JSON file shows something else than a PNG, JPEG or alike.

    Other contrasts and compressions do not count; what cannot be decoded is not another.

    Args:
        path: The JSON file.
        picture: The picture beside it.
    """
    try:
        inside = _standing_out(_data_in_json(path))
        beside = _standing_out(picture.read_bytes())
    except (OSError, ValueError, cv2.error):
        return False
    if min(inside.std(), beside.std()) < _FLAT:
        return False
    return bool(np.corrcoef(inside.ravel(), beside.ravel())[0, 1] < _LIKE)


def _standing_out(data: bytes) -> npt.NDArray[np.float32]:
    """A small picture without its uneven light, (SIDE, SIDE)."""
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH)
    if grey is None or not np.isfinite(grey).all():
        raise ValueError("it cannot be decoded")
    small = cv2.resize(grey.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    details = small - cv2.GaussianBlur(small, (0, 0), SIDE / 8)
    return np.asarray(details / max(float(np.abs(grey).max()), 1e-9), np.float32)


def _data_in_json(path: Path) -> bytes:
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    data = document.get(KEY) if isinstance(document, dict) else None
    if not isinstance(data, str) or not data:
        raise ValueError(f"expected a picture as text under {KEY}")
    return base64.b64decode(data.rpartition(",")[2])  # after a `data:` URL's head
