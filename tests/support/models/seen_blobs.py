"""A model without learning: whatever is bright is an instance."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.finding.overlaps import mask_boxes
from trainables.contract import Reporting
from trainables.datasets import geometry
from trainables.results import Instances

USUAL: Final = Reporting(300, 0.01)


@dataclass
class BlobFinder:
    """Model that reports bright blobs, its own idea of a score being how bright they are.

    Attributes:
        classes: Class names; all are of the first.
        confidence: Score at which it says that it was best.
        reporting: What it reports: of more blobs the brightest.
        least_px: Least area of a blob that it sees, px of what it is shown.
        boxes_only: Whether it gives no masks.
        shown: Height and width of every picture that it was shown.
    """

    classes: tuple[str, ...] = ("blob",)
    confidence: float = 0.5
    reporting: Reporting = USUAL
    least_px: int = 1
    boxes_only: bool = False
    shown: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        self.shown += [(image.shape[0], image.shape[1]) for image in images]
        return [self._found(image[:, :, 0]) for image in images]

    def _found(self, grey: npt.NDArray[np.uint8]) -> Instances:
        n, labels = cv2.connectedComponents((grey > 40).astype(np.uint8))
        masks: list[dict[str, Any]] = []
        scores = []
        for i in range(1, n):
            inside = labels == i
            score = float(np.float32(np.median(grey[inside]) / 250))
            if inside.sum() >= self.least_px and score >= self.reporting.confidence:
                masks.append(geometry.encode_mask(inside))
                scores.append(score)
        order = np.argsort(-np.array(scores), kind="stable")[: self.reporting.max_det]
        best = [masks[i] for i in order]
        found = Instances(
            mask_boxes(best).astype(np.float32),
            np.array(scores, np.float32)[order],
            np.zeros(len(order), np.int64),
            best,
            capped=len(order) >= self.reporting.max_det,
        )
        return replace(found, masks=None) if self.boxes_only else found


def drawn(
    height: int, width: int, discs: Sequence[tuple[float, float, float, int]]
) -> npt.NDArray[np.uint8]:
    """A dark picture (H, W, 3) with discs: x, y, radius and grey level."""
    picture = np.zeros((height, width, 3), np.uint8)
    for x, y, radius, grey in discs:
        crop, (left, top) = geometry.crop(geometry.disc(x, y, radius, width, height))
        part = picture[top : top + crop.shape[0], left : left + crop.shape[1]]
        part[crop > 0] = grey
    return picture
