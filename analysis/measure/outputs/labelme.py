"""LabelMe files of what was found, to correct it there and to hand it back to `segtune prepare`.

A particle of one part without holes is a polygon along the edges of its pixels; any other is a
mask, which LabelMe draws but does not change point by point. Read back, both are the pixels that
were found.

Source: LabelMe, github.com/wkentaro/labelme (format of its JSON files).
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.measure.outputs.rims import Rim
from analysis.pictures.buckets import shown
from cluster.storage.opening import is_address
from trainables.datasets import geometry
from trainables.files.whole import write_text

_VERSION: Final = "5.5.0"


@dataclass(frozen=True)
class DrawnParticle:
    """A particle as it is drawn into a file.

    Attributes:
        id: Its number in the tables.
        name: Name of its class.
        score: Its confidence.
        mask: Run-length encoding.
        outer: Outlines of its parts.
        holes: Outlines of its holes.
    """

    id: int
    name: str
    score: float
    mask: Mapping[str, Any]
    outer: Sequence[Rim]
    holes: Sequence[Rim]


@dataclass(frozen=True)
class LabelledPage:
    """A picture that a LabelMe file is about.

    Attributes:
        picture: Its file, which is named by its place as seen from the LabelMe file.
        page: Page of the file.
        size: Its height and width.
        pixels: (H, W) or (H, W, 3) uint8; of a later page, which LabelMe cannot open, they are put
            into the file. None leaves them out.
    """

    picture: Path
    page: int
    size: tuple[int, int]
    pixels: npt.NDArray[np.uint8] | None = None


def write_labelme(particles: Sequence[DrawnParticle], page: LabelledPage, path: Path) -> Path:
    """Write one picture's particles as a LabelMe file.

    Args:
        particles: Particles of the picture.
        page: The picture.
        path: JSON file to write.
    """
    height, width = page.size
    picture, data = page.picture, None
    if page.page:
        picture = picture.with_stem(f"{picture.stem}_p{page.page}")
        data = None if page.pixels is None else _png(page.pixels)
    content: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": [_shape(particle) for particle in particles],
        "imagePath": there if is_address(there := shown(picture)) else _below(picture, path),
        "imageData": data,
        "imageHeight": height,
        "imageWidth": width,
    }
    text = json.dumps(content) + "\n"  # not indented, which takes five times as long
    write_text(path, text, on_disk=False)  # later, with the others of the picture
    return path


def _below(picture: Path, path: Path) -> str:
    return os.path.relpath(picture, path.parent)


def _shape(particle: DrawnParticle) -> dict[str, Any]:
    common: dict[str, Any] = {
        "label": particle.name,
        "group_id": None,
        "description": f"{particle.id}, confidence {particle.score:.4f}",
        "flags": {},
    }
    if len(particle.outer) == 1 and not particle.holes:
        points = particle.outer[0].astype(float).tolist()
        return {**common, "points": points, "shape_type": "polygon", "mask": None}
    mask, (x, y) = geometry.crop(dict(particle.mask))
    corners = [[x, y], [x + mask.shape[1] - 1, y + mask.shape[0] - 1]]
    text = _png(mask * np.uint8(255))
    return {**common, "points": corners, "shape_type": "mask", "mask": text}


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    """Pixels, grey or RGB, as a PNG in base64."""
    shown = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])  # OpenCV: BGR
    _, png = cv2.imencode(".png", shown)
    return base64.b64encode(png.tobytes()).decode("ascii")
