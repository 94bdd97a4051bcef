"""Windows of a picture: where they lie, what a model is shown of them, and its finds put back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from analysis.finding.pool import Pool, empty_pool, pool_of
from trainables.datasets import geometry
from trainables.results import Instances

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""


class Window(NamedTuple):
    """A rectangle of a picture, in whole pixels.

    Attributes:
        left: First column.
        top: First row.
        right: Column behind the last.
        bottom: Row behind the last.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    def meets(self, other: "Window") -> "Window":
        """The part that two rectangles share; without a pixel where they share none."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Window(left, top, max(left, right), max(top, bottom))

    def holds(self, other: "Window") -> bool:
        """Whether the other rectangle lies in this one."""
        return self.meets(other) == other


def whole(picture: Picture) -> Window:
    """The rectangle of a whole picture."""
    return Window(0, 0, picture.shape[1], picture.shape[0])


def layout(region: Window, size: int, overlap: float, shift: float = 0.0) -> list[Window]:
    """Windows over a region, row by row; each is cut where the region ends.

    Args:
        region: Rectangle to cover.
        size: Side of a window, px.
        overlap: Share in [0, 1) of a window that its neighbour shows, too.
        shift: Part in [0, 1) of the way from one window to the next by which all are moved back.

    Example:
        >>> windows = layout(Window(0, 0, 2048, 1536), 512, 0.1)
        >>> len(windows), windows[1].left, windows[-1].width, windows[-1].height
        (20, 460, 208, 156)
    """
    columns = _spans(region.left, region.right, size, overlap, shift)
    rows = _spans(region.top, region.bottom, size, overlap, shift)
    return [Window(x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in columns]


def filled(window: Window, size: int, region: Window) -> Window:
    """A window that was cut at the end of its region, moved back to show as much as the others.

    A model so sees picture where it would otherwise see padding.

    Example:
        >>> filled(Window(1840, 1380, 2048, 1536), 512, Window(0, 0, 2048, 1536))
        Window(left=1536, top=1024, right=2048, bottom=1536)
    """
    left, right = _moved(window.left, window.right, size, region.left, region.right)
    top, bottom = _moved(window.top, window.bottom, size, region.top, region.bottom)
    return Window(left, top, right, bottom)


def _spans(first: int, end: int, size: int, overlap: float, shift: float) -> list[tuple[int, int]]:
    stride = max(1, int(size * (1 - overlap)))
    at = first - round(shift * stride) if end - first > size else first
    spans = [(max(at, first), min(at + size, end))]
    while at + size < end:
        at += stride
        spans.append((at, min(at + size, end)))
    return spans


def _moved(low: int, high: int, size: int, first: int, end: int) -> tuple[int, int]:
    if high == end:
        low = max(first, min(low, end - size))
    if low == first:
        high = min(end, max(high, first + size))
    return low, high


@dataclass(frozen=True)
class View:
    """What a model is shown: a window of a picture at a scale.

    Attributes:
        window: The window.
        scale: Pixels that the model is shown for a pixel of the picture.
        canvas: Sides (height, width) of what it is shown, where that is more than the window at
            this scale; the rest is filled with the window's mean colour.
    """

    window: Window
    scale: float = 1.0
    canvas: tuple[int, int] | None = None

    def pixels(self, picture: Picture) -> Picture:
        """What the model is shown, (h, w, 3) uint8."""
        left, top, right, bottom = self.window
        part = np.ascontiguousarray(picture[top:bottom, left:right])
        if self.scale != 1:
            sides = (max(1, round(side * self.scale)) for side in (right - left, bottom - top))
            how = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_CUBIC
            part = np.asarray(cv2.resize(part, tuple(sides), interpolation=how), dtype=np.uint8)
        if self.canvas is not None and self.canvas != part.shape[:2]:
            mean = np.round(part.reshape(-1, part.shape[2]).mean(axis=0))
            shown = np.broadcast_to(mean.astype(np.uint8), (*self.canvas, part.shape[2])).copy()
            shown[: part.shape[0], : part.shape[1]] = part
            part = shown
        return np.ascontiguousarray(part)

    def placed(self, found: Instances, shape: tuple[int, int], source: int = 0) -> Pool:
        """What was found in the view, in the pixels of the picture.

        An instance without a pixel inside the window is none.

        Args:
            found: Instances at the size of the view.
            shape: Height and width of the picture, px.
            source: Number of the search.
        """
        height, width = shape
        if not len(found):
            return empty_pool(found.masks is not None)
        if self == View(Window(0, 0, width, height)):
            masks, kept = found.masks, np.arange(len(found))
        elif found.masks is None:
            masks, kept = None, np.arange(len(found))
        else:
            put = [self._mask(mask, shape) for mask in found.masks]
            masks = [mask for mask in put if mask is not None]
            kept = np.array([i for i, mask in enumerate(put) if mask is not None], np.int64)
        boxes = self._boxes(found.boxes[kept].astype(np.float64))
        pool = pool_of(boxes, found.scores[kept], found.classes[kept], masks, source)
        return pool.take(pool.areas > 0)

    def _gains(self) -> tuple[float, float]:
        """Exact scale across and down: sides are rounded to whole pixels."""
        across, down = (
            max(1, round(side * self.scale)) / side
            for side in (self.window.width, self.window.height)
        )
        return across, down

    def _boxes(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        gains = np.array(self._gains() * 2)
        low, high = np.array(self.window[:2] * 2), np.array(self.window[2:] * 2)
        inside: npt.NDArray[np.float64] = np.clip(boxes / gains + low, low, high)
        return inside

    def _mask(self, mask: Mapping[str, Any], shape: tuple[int, int]) -> geometry.Rle | None:
        crop, (x, y) = geometry.crop(dict(mask))
        if not crop.size:
            return None
        if self.scale != 1:
            crop, (x, y) = self._resampled(crop, x, y)
        crop = crop[: max(0, self.window.height - y), : max(0, self.window.width - x)]
        if not crop.any():
            return None
        at = (x + self.window.left, y + self.window.top)
        return geometry.encode_crop(crop, at, *shape)

    def _resampled(self, crop: Picture, x: int, y: int) -> tuple[Picture, tuple[int, int]]:
        """A crop of a mask in pixels of the picture: those whose centre it covers half or more."""
        across, down = self._gains()
        height, width = crop.shape
        left, top = max(0, int(x / across) - 1), max(0, int(y / down) - 1)
        right, bottom = int((x + width) / across) + 2, int((y + height) / down) + 2
        at = np.array(
            [
                [across, 0, (left + 0.5) * across - x - 0.5],
                [0, down, (top + 0.5) * down - y - 0.5],
            ]
        )
        soft = cv2.warpAffine(
            crop.astype(np.float32),
            at,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        return (soft >= 0.5).astype(np.uint8), (left, top)
