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

from analysis.measure.outputs.rims import Rim
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


def write_labelme(
    particles: Sequence[DrawnParticle], picture: Path, size: tuple[int, int], path: Path
) -> Path:
    """Write one picture's particles as a LabelMe file.

    Args:
        particles: Particles of the picture.
        picture: File of the picture, which is named by its place as seen from `path`.
        size: Height and width of the picture.
        path: JSON file to write.
    """
    height, width = size
    content: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": [_shape(particle) for particle in particles],
        "imagePath": os.path.relpath(picture, path.parent),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    write_text(path, json.dumps(content) + "\n")  # not indented, which takes five times as long
    return path


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
    _, png = cv2.imencode(".png", mask * np.uint8(255))
    text = base64.b64encode(png.tobytes()).decode("ascii")
    return {**common, "points": corners, "shape_type": "mask", "mask": text}
