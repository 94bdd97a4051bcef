"""Pictures of particles, and models without learning that find them.

One picture's pixels say where they lie, and its discs are drawn nowhere: whatever part of it a
`DiscFinder` is shown, turned or not, it finds the very pixels of each disc in it. What is lost or
doubled was lost or doubled by whoever asked it. In the other picture discs are bright, and a
`BlobFinder` finds whatever is.
"""

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


def places(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) of at most 4096 px a side whose colours are column and row."""
    rows, columns = np.mgrid[:height, :width]
    code = (columns << 12) + rows
    return np.stack([code >> 16, code >> 8 & 255, code & 255], axis=2).astype(np.uint8)


@dataclass
class DiscFinder:
    """Model that finds discs by the places that pixels say they have.

    Attributes:
        discs: x, y and radius of each, px of the picture.
        kinds: Class of each; all of the first one where it is empty.
        noise_px: Each time a disc is seen, its outline is redrawn that far in or out at most.
        moved_px: Each time a disc is seen, it is moved by at most so much.
        whole_px: Whether it is moved by whole pixels, which keeps its number of pixels.
        score: Score of all.
        classes: Class names.
        asked: Windows it was shown: left, top, width, height.
    """

    discs: Sequence[tuple[float, float, float]]
    kinds: Sequence[int] = ()
    noise_px: float = 0.0
    moved_px: float = 0.0
    whole_px: bool = False
    score: float = 0.9
    classes: tuple[str, ...] = ("disc", "other")
    asked: list[tuple[int, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        return [self._found(image) for image in images]

    def _found(self, image: npt.NDArray[np.uint8]) -> Instances:
        code = image.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
        columns, rows = code >> 12, code & 4095
        corner = int(columns.min()), int(rows.min())
        self.asked.append((*corner, image.shape[1], image.shape[0]))
        masks: list[dict[str, Any]] = []
        kinds = []
        columns, rows = columns.astype(np.int16), rows.astype(np.int16)
        seen = columns.min(), columns.max(), rows.min(), rows.max()
        for i, disc in enumerate(self.discs):
            if self._is_far(disc, *seen):
                continue
            mask = self._seen(disc, columns, rows)
            if mask is not None:
                masks.append(mask)
                kinds.append(self.kinds[i] if self.kinds else 0)
        return Instances(
            mask_boxes(masks).astype(np.float32),
            np.full(len(masks), self.score, np.float32),
            np.array(kinds, np.int64),
            masks,
        )

    def _is_far(self, disc: Any, left: int, right: int, top: int, bottom: int) -> bool:
        x, y, radius = disc
        far = radius + self.noise_px + self.moved_px + 1
        return bool(x + far < left or x - far > right or y + far < top or y - far > bottom)

    def _seen(
        self, disc: tuple[float, float, float], columns: Any, rows: Any
    ) -> dict[str, Any] | None:
        x, y, radius = disc
        far = radius + self.noise_px + self.moved_px + 1
        near = (np.abs(columns + 0.5 - x) <= far) & (np.abs(rows + 0.5 - y) <= far)
        down_here, across_here = near.any(axis=1), near.any(axis=0)
        if not down_here.any():
            return None
        block = np.ix_(down_here, across_here)
        dx, dy = self._rng.uniform(-self.moved_px, self.moved_px, 2)
        if self.whole_px:
            dx, dy = self._rng.integers(-round(self.moved_px), round(self.moved_px) + 1, 2)
        across, down = columns[block] + 0.5 - x - dx, rows[block] + 0.5 - y - dy
        reach = np.full(across.shape, radius)
        if self.noise_px:
            turns = self._rng.uniform(-self.noise_px, self.noise_px, 64)
            at = (np.arctan2(down, across) / (2 * np.pi) * 64).astype(int) % 64
            reach = reach + turns[at]
        inside = across**2 + down**2 <= reach**2
        if not inside.any():
            return None
        corner = int(across_here.argmax()), int(down_here.argmax())
        return geometry.encode_crop(inside, corner, *columns.shape)


def packed(
    n: int, side: int, radii: tuple[float, float], seed: int = 0
) -> list[tuple[float, float, float]]:
    """Discs that touch or lie apart, some of them cut by the picture's borders."""
    rng = np.random.default_rng(seed)
    discs: list[tuple[float, float, float]] = []
    while len(discs) < n:
        radius = rng.uniform(*radii)
        x, y = rng.uniform(0, side, 2)
        if discs and rng.random() < 0.5:  # beside another one, touching it
            other = discs[rng.integers(len(discs))]
            angle = rng.uniform(0, 2 * np.pi)
            x = other[0] + (other[2] + radius) * np.cos(angle)
            y = other[1] + (other[2] + radius) * np.sin(angle)
        inside = 0 <= x < side and 0 <= y < side
        gaps = [np.hypot(x - a, y - b) - radius - r for a, b, r in discs]
        if inside and min(gaps, default=1) >= -1e-6:
            discs.append((float(x), float(y), float(radius)))
    return discs


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
