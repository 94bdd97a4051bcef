"""A prepared data set as an engine wants it: YOLO segmentation text.

YOLO holds one outline an object, without holes. So:

- A hole is joined to the rim around it, and a part to its nearest other part, by a bridge: the
  outline goes over and comes back the same way. Ultralytics fills by the even-odd rule, so a hole
  stays open; a bridge between parts becomes a line one pixel wide.
- The vertices lie on the rims of the pixels, so boxes (Ultralytics takes them from the vertices)
  are exact, and drawing at the picture's own size gives the object's own pixels back.

What is lost nevertheless is counted: every object is drawn as Ultralytics draws it (vertices cut
to whole pixels, `fillPoly`, outlines of over 1000 vertices thinned) and compared with its mask.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from scipy.spatial import cKDTree

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon
from trainables.datasets.prepared import Annotation, DatasetError, ImageRecord, PreparedDataset, Split
from trainables.datasets.publishing import new_folder

VIEW_VERSION: Final = 1
GOOD_IOU: Final = 0.95
"""Objects whose outline gives back less than this are called out."""

_MARKER: Final = "view.json"
_DATA_YAML: Final = "data.yaml"
_PARTS: Final[tuple[Split, ...]] = ("train", "val")
_EDGE_PX: Final = 0.99  # just inside the far rim of a pixel
_MOST_VERTICES: Final = 1000


@dataclass(frozen=True)
class YoloView:
    """A prepared data set in YOLO's form.

    Attributes:
        data_yaml: What Ultralytics is given as `data`.
        losses: What YOLO cannot hold, counted, a sentence each; empty if nothing is lost.
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
    data set that is already there is used as it is.

    Args:
        data: A prepared data set.
        to: Folder to make; an older view there is replaced.

    Raises:
        DatasetError: Something else is at `to`, or the data set was changed.
    """
    to = Path(to).absolute()
    found = _existing(data, to)
    if found:
        return found
    with new_folder(to, wait=True) as folder:
        found = _existing(data, to)  # another process may have made it while we waited
        if found is None:
            losses = _write(data, folder)
            marker = {"version": VIEW_VERSION, "fingerprint": data.fingerprint, "losses": losses}
            (folder / _MARKER).write_text(json.dumps(marker, ensure_ascii=False, indent=1), "utf-8")
        else:
            raise _AlreadyMadeError(found)
    return YoloView(to / _DATA_YAML, tuple(losses))


class _AlreadyMadeError(Exception):
    pass


def yolo_outline(item: Annotation) -> YoloOutline:
    """The one outline that comes nearest to an object."""
    mask, (left, top) = geometry.crop(item.rle)
    rims, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes = sum(int(level[3] >= 0) for level in hierarchy[0])
    joined = _join([rim.reshape(-1, 2) for rim in rims])
    if len(joined) < geometry.MIN_POINTS:
        joined = np.resize(joined, (4, 2))
    outline = _to_pixel_rims(joined, mask)
    iou = _iou(_drawn(outline, mask.shape), mask)
    return YoloOutline(outline + [left, top], len(rims) - holes, holes, iou)
