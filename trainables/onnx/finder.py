"""An ONNX file that finds instances."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from trainables.contract import Adjustable, Predictor, Reporting
from trainables.onnx.letterbox import Frame, letterbox
from trainables.onnx.manifest import Detections, Letterbox
from trainables.onnx.prototypes import encode_masks
from trainables.onnx.session import Array, Session
from trainables.results import Instances

BATCH: Final = 8

_FOUND: Final = ("location", "score", "category")


class OnnxFinder:
    """A model that finds instances as the engine that trained it.

    Attributes:
        classes: Class names in order.
        confidence: Score from which instances count, where F1 was best on validation.
    """

    def __init__(self, session: Session, size: Letterbox, finds: Detections) -> None:
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
        rule = self._size
        inputs = [letterbox(image, rule.longer_px, rule.multiple_px) for image in images]
        found: dict[int, Instances] = {}
        for indices in batches([pixels.shape for pixels, _ in inputs]):
            pixels = np.stack([inputs[i][0] for i in indices])
            frames = [inputs[i][1] for i in indices]
            found |= zip(indices, self._find(pixels, frames), strict=True)
        return [found[i] for i in range(len(images))]

    def _find(self, pixels: npt.NDArray[np.uint8], frames: list[Frame]) -> list[Instances]:
        masked = self._finds.masks == "prototypes"
        names = (*_FOUND, *(("coefficient", "prototype") if masked else ()))
        arrays = self._session.run(names, pixels.transpose(0, 3, 1, 2))
        return [
            self._instances([array[i] for array in arrays], frame) for i, frame in enumerate(frames)
        ]

    def _instances(self, arrays: Sequence[Array], frame: Frame) -> Instances:
        """Instances of an image; a detection whose mask has no pixel is none."""
        location, score, category, *shapes = arrays
        told = self._reporting
        n = min(int((score > told.confidence).sum()), told.max_det)  # 0 is what is not used
        boxes = frame.boxes(location[:n])
        kept, masks = np.arange(n), None
        if shapes:
            coefficients, prototypes = shapes
            every, pixels = encode_masks(coefficients[:n], prototypes, boxes, frame)
            kept = np.flatnonzero(pixels)
            masks = tuple(every[i] for i in kept)
        return Instances(
            boxes=np.ascontiguousarray(boxes[kept], dtype=np.float32),
            scores=np.ascontiguousarray(score[kept], dtype=np.float32),
            classes=category[kept].astype(np.int64) - 1,
            masks=masks,
            capped=n >= told.max_det,
        )


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
