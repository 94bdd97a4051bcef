"""An ONNX file that finds instances."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from trainables.contract import Adjustable, Predictor, Reporting
from trainables.datasets.geometry import Rle
from trainables.onnx.letterbox import Frame, letterbox
from trainables.onnx.manifest import INPUT, Detections, Letterbox, ShortestEdge, Whole
from trainables.onnx.pasting import paste_mask, scaled, scaled_boxes
from trainables.onnx.prototypes import encode_masks
from trainables.onnx.session import Array, Session
from trainables.results import Instances

BATCH: Final = 8

_FOUND: Final = ("location", "score", "category")

_SHAPES: Final = {"prototypes": ("coefficient", "prototype"), "in_boxes": ("mask",), "none": ()}
"""Outputs that masks are made of."""

_Input = tuple[npt.NDArray[np.uint8], Frame]


class OnnxFinder:
    """A model that finds instances as the engine that trained it.

    Attributes:
        classes: Class names in order.
        confidence: Score from which instances count, where F1 was best on validation.
    """

    def __init__(
        self, session: Session, size: Letterbox | ShortestEdge | Whole, finds: Detections
    ) -> None:
        self.classes = session.manifest.classes
        self.confidence = session.manifest.confidence
        self._session = session
        self._size = size
        self._finds = finds
        self._reporting = Reporting(finds.max_det, finds.lowest_confidence)

    @property
    def reporting(self) -> Reporting:
        """Most instances and lowest score that it reports: no more than its outputs hold."""
        return self._reporting

    @reporting.setter
    def reporting(self, wanted: Reporting) -> None:
        self._reporting = Reporting(
            min(wanted.max_det, self._finds.n),
            max(wanted.confidence, self._finds.lowest_confidence),
        )

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find the instances in (H, W, 3) RGB images; one result an image, in order."""
        inputs = [self._input(image) for image in images]
        found: dict[int, Instances] = {}
        for indices in batches([pixels.shape for pixels, _ in inputs]):
            pixels = np.stack([inputs[i][0] for i in indices])
            frames = [inputs[i][1] for i in indices]
            found |= zip(indices, self._find(pixels, frames), strict=True)
        return [found[i] for i in range(len(images))]

    def inputs(self, image: npt.NDArray[np.uint8]) -> list[dict[str, Array]]:
        """What goes into the file for an (H, W, 3) RGB image, by the inputs' names."""
        pixels, _ = self._input(image)
        return [{INPUT: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}]

    def _input(self, image: npt.NDArray[np.uint8]) -> _Input:
        rule = self._size
        if isinstance(rule, Letterbox):
            return letterbox(image, rule.longer_px, rule.multiple_px)
        if isinstance(rule, Whole):
            height, width = image.shape[:2]
            return image, Frame(height, width, 1, 1, 0, 0, height, width)
        return scaled(image, rule.shorter_px, rule.longest_px)

    def _find(self, pixels: npt.NDArray[np.uint8], frames: list[Frame]) -> list[Instances]:
        names = (*_FOUND, *_SHAPES[self._finds.masks])
        arrays = self._session.run(names, pixels.transpose(0, 3, 1, 2))
        return [
            self._instances([array[i] for array in arrays], frame) for i, frame in enumerate(frames)
        ]

    def _instances(self, arrays: Sequence[Array], frame: Frame) -> Instances:
        """Instances of an image; a detection without a pixel or an area is none."""
        location, score, category, *shapes = arrays
        told = self._reporting
        n = min(int((score > told.confidence).sum()), told.max_det)  # 0 is what is not used
        padded = isinstance(self._size, Letterbox)
        boxes = frame.boxes(location[:n]) if padded else scaled_boxes(location[:n], frame)
        every = self._masks(shapes, boxes, frame)
        there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        if every is not None:
            there = np.array([mask is not None for mask in every], np.bool_)
        kept = np.flatnonzero(there)
        masks = None if every is None else tuple(mask for mask in every if mask is not None)
        return Instances(
            boxes=np.ascontiguousarray(boxes[kept], dtype=np.float32),
            scores=np.ascontiguousarray(score[kept], dtype=np.float32),
            classes=category[kept].astype(np.int64) - 1,
            masks=masks,
            capped=n >= told.max_det,
        )

    def _masks(
        self, shapes: Sequence[Array], boxes: npt.NDArray[np.float32], frame: Frame
    ) -> list[Rle | None] | None:
        """Masks of an image's boxes, None for one without a pixel; None for a box-only model."""
        if self._finds.masks == "none":
            return None
        if self._finds.masks == "prototypes":
            coefficients, prototypes = shapes
            every, pixels = encode_masks(coefficients[: len(boxes)], prototypes, boxes, frame)
            return [mask if n else None for mask, n in zip(every, pixels, strict=True)]
        (inside,) = shapes
        size = frame.height, frame.width
        corners, given = boxes.astype(np.float64), inside[: len(boxes)].astype(np.float64)
        return [paste_mask(shape, box, *size) for shape, box in zip(given, corners, strict=True)]


def batches(shapes: Sequence[tuple[int, ...]], size: int = BATCH) -> Iterator[list[int]]:
    """Yield indices of equally large inputs, a few at a time."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    for indices in by_shape.values():
        for start in range(0, len(indices), size):
            yield indices[start : start + size]


if TYPE_CHECKING:

    def _fulfils(predictor: OnnxFinder) -> tuple[Predictor, Adjustable]:
        return predictor, predictor
