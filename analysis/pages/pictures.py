"""Pictures small enough to stand inside a page."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

LONGEST_SIDE_PX = 1600

_FORMS: Mapping[str, Mapping[str, Any]] = {
    "png": {"optimize": True},
    "jpeg": {"quality": 85, "progressive": True},
}


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        title: Heading above it.
        description: Text that says the same, for readers who cannot see it.
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
    return _uri(encoded[name], name)


def photo_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """Pixels, (h, w, 3) RGB, as the `data:` URI of a JPEG."""
    return _uri(_encoded(Image.fromarray(pixels), "jpeg", _FORMS["jpeg"]), "jpeg")


def _uri(content: bytes, form: str) -> str:
    return f"data:image/{form};base64,{base64.b64encode(content).decode('ascii')}"


def _encoded(picture: Image.Image, form: str, options: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()
