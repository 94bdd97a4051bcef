"""Objects as Ultralytics draws them to be learnt: at the training's picture and mask sizes.

It scales outlines to the picture in training, cuts their vertices to whole pixels, fills them with
their rims, and shrinks that mask by `mask_ratio`. So small objects are learnt larger than they are,
or not at all.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import Annotation
from trainables.datasets.views.yolo import outline_points, resampled

_SAMPLE: Final = 100  # objects drawn: medians of more are no other, and `plan` waits for them

_LOST: Final = 0.05  # change of the area from which on objects are found less well

_TOLD: Final = 0.01  # change of the diameter from which on sizes that are measured are off


@dataclass(frozen=True)
class LearntMasks:
    """What becomes of a data set's objects in the masks that are learnt.

    Attributes:
        n_objects: Number of objects that were drawn.
        n_gone: Number of objects without a pixel in the mask.
        radius_px: Radius of the median object, of the disc with its area, in pixels of its picture.
        growth_px: Median change of that radius; below 0 where objects become smaller.
        area_change: Median relative change of the area.
        enlarged: Whether pictures are enlarged in training: outlines, which run through the middles
            of pixels, then leave out half a pixel of the picture all round.
    """

    n_objects: int
    n_gone: int
    radius_px: float
    growth_px: float
    area_change: float
    enlarged: bool = False

    @property
    def diameter_change(self) -> float:
        """Median relative change of the diameter, of the disc with an object's area."""
        return math.sqrt(1 + self.area_change) - 1

    def sentence(self, imgsz: int, mask_ratio: int) -> str:
        """What is lost, for the user; "" where that is next to nothing."""
        if not self.n_gone and abs(self.diameter_change) < _TOLD:
            return ""
        said = f"masks are learnt at imgsz {imgsz} and mask_ratio {mask_ratio}, where "
        grows = "grows" if self.growth_px > 0 else "shrinks"
        said += (
            f"an object of {self.radius_px:.1f} px radius {grows} by {abs(self.growth_px):.1f} px "
            f"(area {self.area_change:+.0%}, diameter {self.diameter_change:+.1%})"
        )
        if self.n_gone:
            said += f" and {self.n_gone} of {self.n_objects} objects have no pixel"
        elif abs(self.area_change) < _LOST:
            said += ", which matters where sizes are measured"
        finer = self.n_gone or self.growth_px > 0 or not self.enlarged
        remedy = "a smaller imgsz or a larger mask_ratio"
        if finer:
            remedy = "a larger imgsz" + (" or a smaller mask_ratio" if mask_ratio > 1 else "")
        return f"{said}; {remedy} loses less"


def learnt_masks(data: PreparedDataset, imgsz: int, mask_ratio: int) -> LearntMasks | None:
    """Measure what becomes of the training part's objects; of many, an even sample is drawn.

    Args:
        data: The data set.
        imgsz: Longer side of a picture in training, px.
        mask_ratio: Factor by which masks are smaller.

    Returns:
        The measurement, or None where there is no object, or none with a mask.
    """
    if data.boxes_only:
        return None
    every = [
        (item, (image.width, image.height))
        for image in data.images("train")
        for item in data.annotations(image)
    ]
    drawn = [
        (item.area, _learnt_area(item, size, imgsz, mask_ratio))
        for item, size in every[:: max(1, math.ceil(len(every) / _SAMPLE))]
    ]
    if not drawn:
        return None
    before, after = np.array(drawn, dtype=np.float64).T
    there = after > 0
    growth = np.sqrt(after[there] / np.pi) - np.sqrt(before[there] / np.pi)
    return LearntMasks(
        n_objects=len(drawn),
        n_gone=int((~there).sum()),
        radius_px=float(np.sqrt(np.median(before) / np.pi)),
        growth_px=float(np.median(growth)) if there.any() else 0.0,
        area_change=float(np.median(after[there] / before[there]) - 1) if there.any() else -1.0,
        enlarged=imgsz > (data.picture_px or imgsz),
    )


def _learnt_area(item: Annotation, size: tuple[int, int], imgsz: int, mask_ratio: int) -> float:
    """Area of an object's learnt mask, in pixels of its picture.

    Args:
        item: The object.
        size: Width and height of its picture.
        imgsz: Longer side of a picture in training, px.
        mask_ratio: Factor by which masks are smaller.
    """
    gain = imgsz / max(size)
    sides = np.array([round(side * gain) for side in size])
    offset = (imgsz - sides) / 2
    points = resampled(outline_points(item), size) * sides + offset
    small = _shrunk(points.astype(np.int32), imgsz, mask_ratio)
    return float(small.sum()) * (mask_ratio / gain) ** 2


def _shrunk(points: npt.NDArray[np.int32], imgsz: int, mask_ratio: int) -> npt.NDArray[np.uint8]:
    """The learnt mask of an outline: the part of it that holds the object, where that can be cut.

    Args:
        points: (N, 2) x y of the vertices, in pixels of the training's picture.
        imgsz: Side of that picture, px.
        mask_ratio: Factor by which masks are smaller. Where it divides `imgsz`, each of their
            pixels is of its own block of the picture's, so blocks without the object need not be
            drawn.
    """
    origin, shape = np.zeros(2, dtype=np.int32), np.array([imgsz, imgsz])
    if imgsz % mask_ratio == 0:
        inside = np.clip(points, 0, imgsz - 1) // mask_ratio
        origin = inside.min(axis=0) * mask_ratio
        shape = (inside.max(axis=0) + 1) * mask_ratio - origin
    mask = np.zeros(shape[::-1], dtype=np.uint8)
    cv2.fillPoly(mask, [(points - origin).astype(np.int32)], 1)
    smaller = shape // mask_ratio
    return cv2.resize(mask, (int(smaller[0]), int(smaller[1]))).astype(np.uint8, copy=False)
