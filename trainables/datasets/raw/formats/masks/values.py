"""Values of label pictures, and what they show: objects, classes, grey borders, a background.

In instance labels each value is one object: one region, thicker than a line, that does not reach
all four edges. Of classes a value has many regions apart from each other, in every picture the
same few values. Masks of two values that were resized or saved as JPEG have values between them,
each a line around an object. A value that touches all four edges is the background.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from trainables.datasets.images import UnreadableImageError, read_labels
from trainables.files.words import counted

Labels = npt.NDArray[Any]

MaskKind = Literal["instances", "binary", "grey", "classes"]

_STRAY: Final = 0.02
"""A value with less than this share of the pixels of the largest one does not count."""

_PART: Final = 0.1
"""Separate regions of a value with less than this share of its largest one are specks."""

_BACKGROUND: Final = 0.5
"""Share of a picture that its background has at the least."""

_RIM: Final = 50
"""What comes as near to an edge as this part of the side touches it: frames may be drawn."""

_NO_ZERO: Final = 0.01
"""Share of zeros below which a value must be the background."""

_THIN: Final = 0.5
"""Share of values that are but lines, from which on they are the borders of others."""

_APART: Final = 1 / 3
"""Share of values with several regions from which on they are classes, if they are `_ENOUGH`."""

_ENOUGH: Final = 3

_MOST_APART: Final = 2 / 3
"""Share of values with several regions from which on they are classes, if they are two."""

_DOUBTFUL: Final = 0.25
"""Share of values with several regions that is told: objects behind others have some."""

_ALWAYS: Final = 0.25
"""Share of values with several regions that makes those classes that are in every picture."""

_FEW_VALUES: Final = 10

_FEW_PICTURES: Final = 3


@dataclass(frozen=True)
class Values:
    """Values of a label picture besides 0, each with what its pixels show.

    Attributes:
        numbers: (N,) int64, or uint64 where the picture's are, the values in order.
        areas: (N,) int64, pixels of each.
        thin: (N,) bool, whether no pixel of it has only pixels of its own around it.
        parts: (N,) int64, its separate regions, specks left aside.
        all_edges: (N,) bool, whether it touches all four edges of the picture, or nearly.
        n_pixels: Pixels of the picture.
    """

    numbers: npt.NDArray[np.integer[Any]]
    areas: npt.NDArray[np.int64]
    thin: npt.NDArray[np.bool_]
    parts: npt.NDArray[np.int64]
    all_edges: npt.NDArray[np.bool_]
    n_pixels: int

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def large(self) -> npt.NDArray[np.bool_]:
        """Whether each value has more than stray pixels beside the largest object."""
        objects = self.areas[~self.background]
        return np.asarray(self.areas >= _STRAY * objects.max(initial=0))

    @property
    def background(self) -> npt.NDArray[np.bool_]:
        """Whether each value reaches from edge to edge, and covers most, or hardly a pixel is 0."""
        most = self.areas > _BACKGROUND * self.n_pixels
        return np.asarray(self.all_edges & (most | self.nowhere_zero))

    @property
    def nowhere_zero(self) -> bool:
        """Whether hardly a pixel is 0."""
        return self.n_pixels - int(self.areas.sum()) < _NO_ZERO * self.n_pixels


@dataclass(frozen=True)
class MaskVerdict:
    """What label pictures hold, as far as their values show it.

    Attributes:
        kind: "instances" if each value is an object.
        reason: Numbers that show it, in words; "" for instances.
        doubt: Reason to look again at instances, or "".
    """

    kind: MaskKind
    reason: str = ""
    doubt: str = ""


def values_of_file(path: Path) -> Values | None:
    """Values of the first page of a label picture, or None if it cannot be read."""
    try:
        return values_of(read_labels(path))
    except UnreadableImageError:
        return None


def values_of(labels: Labels) -> Values:
    """Values of a label picture, (H, W) whole numbers."""
    numbers, index = _indexed(labels)
    areas = np.bincount(index.ravel(), minlength=len(numbers) + 1)
    inner = np.bincount(index[_inner(index)], minlength=len(numbers) + 1)
    rows, columns = (2 + side // _RIM for side in labels.shape)
    edges = [index[:rows], index[-rows:], index[:, :columns], index[:, -columns:]]
    touching = [np.isin(np.arange(len(numbers) + 1), edge) for edge in edges]
    return Values(
        numbers=numbers,
        areas=areas[1:],
        thin=inner[1:] == 0,
        parts=_all_parts(index),
        all_edges=np.logical_and.reduce(touching)[1:],
        n_pixels=labels.size,
    )


def judge_masks(found: Sequence[tuple[str, Values]]) -> MaskVerdict:
    """What label pictures hold, by the values of some of them, each with its name."""
    filled = [(name, values) for name, values in found if len(values)]
    if not filled:
        return MaskVerdict("binary", "all pixels are 0")
    thin = np.concatenate([values.thin for _, values in filled])
    several = [name for name, values in filled if values.large.sum() > 1]
    if not several:
        return MaskVerdict("binary", _why_binary(filled))
    if thin.mean() > _THIN:
        most = max(filled, key=lambda pair: len(pair[1]))
        reason = (
            f"{thin.sum()} of {counted(len(thin), 'value')} in {counted(len(filled), 'picture')} "
            f"are lines around others ({most[0]} has {len(most[1])} values), as after resizing or "
            "JPEG"
        )
        return MaskVerdict("grey", reason)
    return _classes_or_instances(filled)


def _classes_or_instances(filled: Sequence[tuple[str, Values]]) -> MaskVerdict:
    areas = [(values.large & ~values.thin, values) for _, values in filled]
    parts = np.concatenate([values.parts[usable] for usable, values in areas])
    apart, share = int((parts > 1).sum()), float((parts > 1).mean()) if len(parts) else 0.0
    sets = Counter(tuple(values.numbers[usable].tolist()) for usable, values in areas)
    alike, n_alike = sets.most_common(1)[0]
    same = len(filled) >= _FEW_PICTURES and n_alike == len(filled) and len(alike) <= _FEW_VALUES
    words = (
        f"{apart} of {counted(len(parts), 'value')} in {counted(len(filled), 'picture')} "
        "consist of several regions apart from each other, on the average of "
        f"{parts.mean() if len(parts) else 0:.1f}"
    )
    if same:
        words += f", and the values are {', '.join(map(str, alike))} in every picture"
    classes = apart >= _ENOUGH and (share >= _APART or (same and share >= _ALWAYS))
    if classes or (apart > 1 and share >= _MOST_APART):
        return MaskVerdict("classes", f"{words}, as those of classes are")
    return MaskVerdict("instances", doubt=_doubt(filled, alike if same else (), words, share))


def _doubt(
    filled: Sequence[tuple[str, Values]], alike: tuple[int, ...], words: str, share: float
) -> str:
    """Reason to look again at values that are taken for objects, or ""."""
    if alike != tuple(range(1, len(alike) + 1)):
        return f"the values are {', '.join(map(str, alike))} in every picture"
    wide = sum(bool((v.all_edges & ~v.background).any()) for _, v in filled)
    if wide > len(filled) / 2:
        return f"in {wide} of {counted(len(filled), 'picture')} a value touches all four edges"
    return words if share >= _DOUBTFUL else ""


def _why_binary(filled: Sequence[tuple[str, Values]]) -> str:
    stray = [(name, values) for name, values in filled if len(values) > 1]
    reason = "no picture has more than one value besides 0"
    if not stray:
        return reason
    n = sum(int(values.areas[~values.large].sum()) for _, values in stray)
    name, values = stray[0]
    listed = ", ".join(map(str, values.numbers[~values.large].tolist()[:5]))
    return f"{reason}, but for {counted(n, 'stray pixel')} (the value {listed} in {name})"


def _indexed(labels: Labels) -> tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.int32]]:
    """Values besides 0 in order, and a picture of their places in this list, from 1."""
    numbers, index = np.unique(labels, return_inverse=True)
    others = numbers != 0
    places = np.where(others, np.cumsum(others), 0).astype(np.int32)
    kind = np.uint64 if labels.dtype == np.uint64 else np.int64
    return numbers[others].astype(kind), places[index].reshape(labels.shape)


def _inner(index: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Pixels that have but pixels of their own value around them."""
    plane = index.astype(np.float32)  # exact: a picture has fewer values
    kernel = np.ones((3, 3), np.uint8)
    low = cv2.erode(plane, kernel, borderType=cv2.BORDER_REPLICATE)
    high = cv2.dilate(plane, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(low == high)


def _all_parts(index: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Separate regions of each value, also over corners, specks left aside."""
    counts = []
    for number, window in enumerate(ndimage.find_objects(index), start=1):
        inside = (index[window] == number).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        counts.append(int((areas >= _PART * areas.max()).sum()))
    return np.array(counts, dtype=np.int64)
