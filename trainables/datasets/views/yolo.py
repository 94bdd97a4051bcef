"""A prepared data set as an engine wants it: YOLO segmentation text.

YOLO holds one outline an object, without holes. So:

- A hole is joined to the rim around it, and a part to its nearest other part, by a bridge: the
  outline goes over and comes back the same way. Ultralytics fills by the even-odd rule, so a hole
  stays open; a bridge between parts becomes a line one pixel wide.
- The outline runs through the centres of the object's outermost pixels, which Ultralytics fills
  too, so drawing at the picture's own size gives the object's own pixels back. Ultralytics takes
  the box from the vertices, and would get it a pixel too small: so where the outline touches a
  side of the box it makes a spike of half a pixel, which changes no pixel.

What is lost nevertheless is counted: every object is drawn as Ultralytics draws it (resampled to
1000 vertices, cut to whole pixels, `fillPoly`) and compared with its mask. Of an object in hundreds
of parts and holes the 200 with the longest rims are kept.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon
from trainables.datasets.prepared import PreparedDataset, check_pictures
from trainables.datasets.records import Annotation, ImageRecord, Split
from trainables.datasets.views.marker import view_marker, write_view_marker
from trainables.files.whole import locked, new_folder
from trainables.files.words import counted

VIEW_VERSION: Final = 1

GOOD_IOU: Final = 0.95
"""Objects whose outline gives back less than this are called out."""

_DATA_YAML: Final = "data.yaml"

_PARTS: Final[tuple[Split, ...]] = ("train", "val")

_SPIKE_PX: Final = 0.49  # from the centre of a pixel to just inside its side

_MOST_RIMS: Final = 200

_RESAMPLED: Final = 1000  # vertices that Ultralytics makes of any outline

_MOST_VERTICES: Final = 950  # with the bridges and spikes still below that, so that none is lost

_COARSER: Final = 1.5

_CLOCK_NS: Final = 2 * 10**9  # times of files are whole or even seconds on some file systems


@dataclass(frozen=True)
class YoloView:
    """A prepared data set in YOLO's form.

    Attributes:
        data_yaml: The file that Ultralytics is given as `data`.
        losses: Things that YOLO cannot hold, counted, a sentence each; empty if nothing is lost.
    """

    data_yaml: Path
    losses: tuple[str, ...]


@dataclass(frozen=True)
class YoloOutline:
    """One object as YOLO holds it.

    Attributes:
        points: (N, 2) float64, x y in pixels of the picture, N at least 3.
        parts: Parts it was joined from.
        holes: Holes that were bridged.
        iou: Intersection over union of the object and of what Ultralytics draws for it.
    """

    points: Polygon
    parts: int
    holes: int
    iou: float


def yolo_view(data: PreparedDataset, to: Path) -> YoloView:
    """Write train and val as Ultralytics reads them; the test part is not there.

    Pictures are hard links where possible, else symbolic links, else copies. A view of the same
    pictures that is already there is used as it is.

    Args:
        data: A prepared data set.
        to: Folder to make; an older view there is replaced.

    Raises:
        DatasetError: Something else is at `to`, or the data set was changed.
    """
    check_pictures(data)
    to = Path(to).absolute()
    found = _existing(data, to)
    if found:
        return found
    with locked(to, wait=True):
        found = _existing(data, to)  # another process may have made it while we waited
        if found:
            return found
        with new_folder(to) as folder:
            losses = _write(data, folder)
            write_view_marker(folder, data, VIEW_VERSION, {"losses": losses})
    return YoloView(to / _DATA_YAML, tuple(losses))


def yolo_outline(item: Annotation) -> YoloOutline:
    """The one outline that comes nearest to an object."""
    mask, origin = geometry.crop(item.mask)
    rims, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes = sum(int(level[3] >= 0) for level in hierarchy[0])
    points = _joined_points(rims, origin)
    height, width = item.mask["size"]
    iou = _iou(_drawn(points, (width, height), origin, mask.shape), mask)
    return YoloOutline(points, len(rims) - holes, holes, iou)


def outline_points(item: Annotation) -> Polygon:
    """Vertices of the outline that `yolo_outline` finds, without what it loses: (N, 2) x y, px."""
    mask, origin = geometry.crop(item.mask)
    rims, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return _joined_points(rims, origin)


def _joined_points(rims: Sequence[npt.NDArray[Any]], origin: tuple[int, int]) -> Polygon:
    """One outline through all rims of a mask whose first pixel lies at `origin` in its picture."""
    joined = _join(_few_vertices(rims))
    points: Polygon = _with_spikes(joined.astype(np.float64) + 0.5) + np.array(origin)
    return points


@dataclass
class _Losses:
    """Losses counted while the labels are written."""

    ious: list[float] = field(default_factory=list)
    with_holes: int = 0
    in_parts: int = 0
    doubled: int = 0
    worst: str = ""

    def add(self, outline: YoloOutline, place: str) -> None:
        if outline.iou < min(self.ious, default=1.0):
            self.worst = place
        self.ious.append(outline.iou)
        self.with_holes += outline.holes > 0
        self.in_parts += outline.parts > 1

    def sentences(self) -> list[str]:
        said = []
        if self.with_holes:
            said.append(
                f"{counted(self.with_holes, 'object')} with holes: each hole is bridged to its rim"
            )
        if self.in_parts:
            said.append(
                f"{counted(self.in_parts, 'object')} in several parts: joined by lines one pixel "
                "wide"
            )
        if self.doubled:
            said.append(
                f"{counted(self.doubled, 'object')} twice in a picture: YOLO drops the second"
            )
        low = sum(iou < GOOD_IOU for iou in self.ious)
        if low:
            said.append(
                f"area IoU of YOLO's outline and the object, at the picture's own size: mean "
                f"{np.mean(self.ious):.4f}, least {min(self.ious):.3f} ({self.worst}), below "
                f"{GOOD_IOU} for {low} of {len(self.ious)} objects"
            )
        return said


def _existing(data: PreparedDataset, to: Path) -> YoloView | None:
    """The view that is already there, if it is of this data set.

    Raises:
        DatasetError: Something that is no view is there.
    """
    marker = view_marker(data, to, VIEW_VERSION)
    if marker is None or not _is_whole(data, to):
        return None
    return YoloView(to / _DATA_YAML, tuple(marker["losses"]))


def _is_whole(data: PreparedDataset, to: Path) -> bool:
    """Whether all pictures are there and are those of the data set as they are now."""
    return (to / _DATA_YAML).is_file() and all(
        _is_linked(image.path, _picture(to, image))
        for split in _PARTS
        for image in data.images(split)
    )


def _is_linked(source: Path, target: Path) -> bool:
    """Whether a view's picture is the data set's file, or a copy of it as it is now."""
    try:
        ours, theirs = source.stat(), target.stat()
    except OSError:  # lost, or a dead link
        return False
    same_time = abs(ours.st_mtime_ns - theirs.st_mtime_ns) < _CLOCK_NS
    return os.path.samestat(ours, theirs) or (ours.st_size == theirs.st_size and same_time)


def _picture(folder: Path, image: ImageRecord) -> Path:
    return folder / "images" / image.split / image.path.name


def _write(data: PreparedDataset, folder: Path) -> list[str]:
    losses = _Losses()
    for split in _PARTS:
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for image in data.images(split):
            _link(image.path, _picture(folder, image))
            label = folder / "labels" / split / f"{image.path.stem}.txt"
            label.write_text(_label_lines(data, image, losses), "utf-8")
    names = dict(enumerate(data.classes))
    content = {"train": "images/train", "val": "images/val", "names": names}  # beside this file
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    (folder / _DATA_YAML).write_text(text, "utf-8")
    return losses.sentences()


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system allows it, else a symbolic one, else a copy."""
    for link in (os.link, os.symlink):
        try:
            link(source, target)
        except OSError:
            continue
        return
    shutil.copy2(source, target)  # with its time, by which a later change is seen


def _label_lines(data: PreparedDataset, image: ImageRecord, losses: _Losses) -> str:
    lines: set[str] = set()
    text = []
    for number, item in enumerate(data.annotations(image)):
        outline = yolo_outline(item)
        losses.add(outline, f"{image.split}/{image.path.stem}, object {number}")
        values = (outline.points / [image.width, image.height]).ravel()
        line = f"{item.category} " + " ".join(f"{value:.7f}" for value in values)
        losses.doubled += line in lines
        lines.add(line)
        text.append(line + "\n")
    return "".join(text)


def _join(rims: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    """One outline over all rims, each joined to its nearest by a bridge there and back."""
    if len(rims) == 1:
        return rims[0]
    from scipy.spatial import cKDTree  # slow to import; `plan` asks for outlines of one rim, too

    joined, rest = rims[0], list(rims[1:])
    while rest:
        ends = np.cumsum([len(rim) for rim in rest])
        distances, at = cKDTree(joined).query(np.concatenate(rest))
        nearest = int(np.argmin(distances))
        which = int(np.searchsorted(ends, nearest, side="right"))
        rim = rest.pop(which)
        turned = np.roll(rim, -(nearest - (int(ends[which]) - len(rim))), axis=0)
        i = int(at[nearest])
        joined = np.concatenate([joined[: i + 1], turned, turned[:1], joined[i:]])
    return joined


def _few_vertices(rims: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[np.int32]]:
    """The longest rims, coarser where they would have more vertices than survive."""
    kept = [
        np.asarray(rim, dtype=np.int32).reshape(-1, 2)
        for rim in sorted(rims, key=len, reverse=True)[:_MOST_RIMS]
    ]
    tolerance = 0.5
    coarse = kept
    while sum(len(rim) + 2 for rim in coarse) > _MOST_VERTICES:
        coarse = [
            np.asarray(cv2.approxPolyDP(rim, tolerance, True), dtype=np.int32).reshape(-1, 2)
            for rim in kept
        ]
        tolerance *= _COARSER
    return coarse


def _with_spikes(points: Polygon) -> Polygon:
    """An outline that reaches the sides of the pixels at its extremes, and comes back at once."""
    for axis, far in ((0, False), (0, True), (1, False), (1, True)):
        along = points[:, axis]
        i = int(np.argmax(along) if far else np.argmin(along))
        tip = points[i].copy()
        tip[axis] += _SPIKE_PX if far else -_SPIKE_PX
        points = np.concatenate([points[: i + 1], [tip], points[i:]])
    return points


def _drawn(
    points: Polygon, size: tuple[int, int], origin: tuple[int, int], shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Mask that Ultralytics draws of an outline at its picture's size, cut to the object's box."""
    pixels = (resampled(points, size) * np.array(size, dtype=np.float32)).astype(np.int32)
    canvas = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(canvas, [pixels - np.array(origin, dtype=np.int32)], 1)
    return canvas


def resampled(points: Polygon, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Vertices that Ultralytics makes of an outline: (N, 2) x y in parts of the picture's sides.

    Args:
        points: (N, 2) x y in pixels of the picture.
        size: Width and height of the picture.
    """
    read = np.round(points / size, 7).astype(np.float32)
    closed = np.concatenate([read, read[:1]])
    vertices = np.arange(len(closed))
    between = np.linspace(0, len(closed) - 1, max(_RESAMPLED - len(closed), 0))
    at = np.sort(np.concatenate([vertices, between]))
    columns = [np.interp(at, vertices, closed[:, axis]).astype(np.float32) for axis in range(2)]
    return np.stack(columns, axis=1)


def _iou(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float((a & b).sum() / max(int((a | b).sum()), 1))
