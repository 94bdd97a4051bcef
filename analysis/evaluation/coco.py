"""COCO's table of average precision and recall, by pycocotools' own `COCOeval`.

Source: Lin et al. 2014, "Microsoft COCO: Common Objects in Context", arXiv:1405.0312.

`COCOeval` is given one picture at a time and of each only the matches are kept, a byte each, so
that thousands of pictures fit into memory. Two things differ from its own summary, which was made
for photographs: the most predictions of a class that count in a picture are a setting, not 100,
and AP is taken at that many.
"""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from trainables.metrics.matching import GroundTruth
from trainables.metrics.names import Kind
from trainables.results import Instances

COCO_NAMES: Final = (
    "AP",
    "AP50",
    "AP75",
    "APs",
    "APm",
    "APl",
    "AR1",
    "AR10",
    "AR100",
    "ARmax",
    "ARs",
    "ARm",
    "ARl",
)
"""The values of the table: AP over IoU 0.50:0.05:0.95, at 0.5, at 0.75, of small (below 32² px),
medium and large (from 96² px) objects; recall with the best 1, 10, 100 and all that count, and with
all of small, medium and large objects. Of boxes without masks, width times height says how large
they are."""

_AREAS: Final = ("all", "small", "medium", "large")

_TYPES: Final[Mapping[Kind, str]] = {"masks": "segm", "boxes": "bbox"}

_ALL_IOUS = slice(None)

_AT_50, _AT_75 = slice(0, 1), slice(5, 6)


@dataclass(frozen=True)
class CocoTable:
    """COCO's figures over a set of pictures; None where no object is concerned.

    Attributes:
        kind: Masks or boxes, whichever were compared.
        max_det: Most predictions of a class in a picture that counted.
        values: `COCO_NAMES` to value.
    """

    kind: Kind
    max_det: int
    values: Mapping[str, float | None]

    def as_metrics(self) -> dict[str, float | None]:
        """The values as they are called among all metrics: `seg_coco/AP`, ..."""
        group = {"masks": "seg_coco", "boxes": "box_coco"}[self.kind]
        return {f"{group}/{name}": value for name, value in self.values.items()}


class _Judge(COCOeval):  # type: ignore[misc]  # pycocotools has no types
    """`COCOeval` that matches only what overlaps: the same result, faster where there is much.

    Its own loop compares every prediction with every truth at every threshold.
    """

    def evaluateImg(  # noqa: N802  COCOeval's own name
        self, image: int, category: int, area: Sequence[float], max_det: int
    ) -> dict[str, npt.NDArray[Any]] | None:
        """The matches of a class in a picture, for `accumulate`; its predictions are sorted."""
        truths, found = self._gts[image, category], self._dts[image, category][:max_det]
        if not truths and not found:
            return None
        ignored = _outside(truths, area)
        order = np.argsort(ignored, kind="stable")  # those that count come first
        iou = np.asarray(self.ious[image, category]).reshape(len(found), len(truths))[:, order]
        taken = [_take(iou, ignored[order], threshold) for threshold in self.params.iouThrs]
        index = np.array(taken, dtype=np.int64).reshape(len(taken), len(found))
        hits = index >= 0
        of_ignored = np.append(ignored[order], False)[index]
        return {
            "dtScores": np.array([d["score"] for d in found], dtype=np.float64),
            "dtMatches": hits,
            "dtIgnore": np.where(hits, of_ignored, _outside(found, area)),
            "gtIgnore": ignored,
        }


def _outside(objects: Sequence[Mapping[str, Any]], area: Sequence[float]) -> npt.NDArray[np.bool_]:
    areas = np.array([entry["area"] for entry in objects], dtype=np.float64)
    outside: npt.NDArray[np.bool_] = (areas < area[0]) | (areas > area[1])
    return outside


def _take(
    iou: npt.NDArray[np.float64], ignored: npt.NDArray[np.bool_], threshold: float
) -> list[int]:
    """The truth that each prediction takes: the free one of highest IoU, of equal ones the last.

    An ignored truth is only taken where no other can be.

    Args:
        iou: (D, G), best prediction first, ignored truths last.
        ignored: (G,).
        threshold: Lowest IoU.

    Returns:
        D indices, -1 for none.
    """
    near: list[list[int]] = [[] for _ in iou]
    for d, g in zip(*(place.tolist() for place in np.nonzero(iou >= threshold)), strict=True):
        near[d].append(g)
    free = [True] * len(ignored)
    index = [-1] * len(near)
    for d, truths in enumerate(near):
        left = [g for g in truths if free[g]]
        if left:
            best = max(left, key=lambda g: (not ignored[g], iou[d, g], g))
            index[d], free[best] = best, False
    return index


class CocoTally:
    """Collects picture after picture what the table is made of."""

    def __init__(self, n_classes: int, kind: Kind, max_det: int) -> None:
        """An empty tally.

        Args:
            n_classes: Length of the class list.
            kind: Compare masks or boxes.
            max_det: At most so many predictions of a class in a picture take part.
        """
        self._kind = kind
        self._max_det = max_det
        self._categories = list(range(1, n_classes + 1))
        self._images = 0
        n_cells = n_classes * len(_AREAS)
        self._cells: list[list[dict[str, Any] | None]] = [[] for _ in range(n_cells)]

    def add(self, found: Instances, truth: GroundTruth) -> None:
        """Compare the predictions of the next picture with its truth."""
        self._images += 1
        image = {"id": self._images, "height": truth.height, "width": truth.width}
        judge = self._judge(
            _coco(image, self._categories, self._truths(truth)),
            _coco(image, self._categories, self._predictions(found)),
        )
        with contextlib.redirect_stdout(io.StringIO()):
            judge.evaluate()
        for cell, entry in zip(self._cells, judge.evalImgs, strict=True):
            cell.append(entry)

    def table(self) -> CocoTable:
        """The table over all pictures so far."""
        judge = self._judge(None, None)
        judge.params.imgIds = list(range(1, self._images + 1))
        judge.evalImgs = [entry for cell in self._cells for entry in cell]
        judge._paramsEval = judge.params
        with contextlib.redirect_stdout(io.StringIO()):
            judge.accumulate()
        precision, recall = judge.eval["precision"], judge.eval["recall"]
        limits = judge.params.maxDets
        values = {
            "AP": _mean(precision[_ALL_IOUS, :, :, 0, -1]),
            "AP50": _mean(precision[_AT_50, :, :, 0, -1]),
            "AP75": _mean(precision[_AT_75, :, :, 0, -1]),
            **{
                f"AP{name[0]}": _mean(precision[_ALL_IOUS, :, :, area, -1])
                for area, name in enumerate(_AREAS)
                if area
            },
            **{
                f"AR{n}": _mean(recall[:, :, 0, limits.index(min(n, self._max_det))])
                for n in (1, 10, 100)
            },
            "ARmax": _mean(recall[:, :, 0, -1]),
            **{
                f"AR{name[0]}": _mean(recall[:, :, area, -1])
                for area, name in enumerate(_AREAS)
                if area
            },
        }
        return CocoTable(self._kind, self._max_det, values)

    def _judge(self, truths: COCO | None, found: COCO | None) -> _Judge:
        judge = _Judge(truths, found, _TYPES[self._kind])
        judge.params.catIds = self._categories
        judge.params.maxDets = sorted({min(n, self._max_det) for n in (1, 10, 100, self._max_det)})
        return judge

    def _truths(self, truth: GroundTruth) -> list[dict[str, Any]]:
        """COCO takes an object's area from its mask for boxes, too."""
        areas = _areas(truth.boxes) if truth.masks is None else _mask_areas(truth.masks)
        return [
            {**entry, "area": float(area), "iscrowd": 0}
            for entry, area in zip(self._entries(truth), areas, strict=True)
        ]

    def _predictions(self, found: Instances) -> list[dict[str, Any]]:
        masks = found.masks if self._kind == "masks" else None
        areas = _areas(found.boxes) if masks is None else _mask_areas(masks)
        return [
            {**entry, "area": float(area), "score": float(score)}
            for entry, area, score in zip(self._entries(found), areas, found.scores, strict=True)
        ]

    def _entries(self, objects: GroundTruth | Instances) -> list[dict[str, Any]]:
        """The keys that truths and predictions share; ids from 1, as 0 means unmatched."""
        corners = objects.boxes.astype(np.float64)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        entries = [
            {"id": i, "image_id": self._images, "category_id": c + 1, "bbox": box}
            for i, (c, box) in enumerate(
                zip(objects.classes.tolist(), boxes.tolist(), strict=True), start=1
            )
        ]
        if self._kind == "masks":
            for entry, mask in zip(entries, objects.masks or (), strict=True):
                entry["segmentation"] = dict(mask)
        return entries


def coco_tables(
    predictions: Sequence[Instances],
    truths: Sequence[GroundTruth],
    n_classes: int,
    kinds: Sequence[Kind],
    *,
    max_det: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Kind, CocoTable]:
    """COCO's tables of masks and boxes in one pass over the pictures.

    Args:
        predictions: One a picture.
        truths: One a picture, in the same order.
        n_classes: Length of the class list both count in.
        kinds: Masks, boxes or both: a table each.
        max_det: At most so many predictions of a class in a picture take part.
        progress: Told how many pictures of how many are done.

    Raises:
        ValueError: There are not as many truths as predictions.
    """
    tallies = {kind: CocoTally(n_classes, kind, max_det) for kind in kinds}
    for done, (found, truth) in enumerate(zip(predictions, truths, strict=True), start=1):
        for tally in tallies.values():
            tally.add(found, truth)
        progress(done, len(truths))
    return {kind: tally.table() for kind, tally in tallies.items()}


def _coco(
    image: Mapping[str, Any], categories: Sequence[int], entries: list[dict[str, Any]]
) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [dict(image)],
        "categories": [{"id": c} for c in categories],
        "annotations": entries,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _mask_areas(masks: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
    return np.array([int(coco_mask.area(dict(mask))) for mask in masks], dtype=np.float64)


def _areas(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    areas: npt.NDArray[np.float64] = sides.prod(axis=1)
    return areas


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    """Mean of the classes and thresholds of which there are objects; COCO marks others by -1."""
    present = values[values > -1]
    return float(present.mean()) if present.size else None
