"""Whether a model and the ONNX file made of it find the same, on the same pictures.

The pictures are parts of several pictures, all of different sizes, and go through one at a time, in
batches of 2 and of 5, and all together. Finds are paired by class, box and score, as equal scores
have no order.

Rounding decides which of two candidates of one score is the last that there is room for, and then
what comes of it is found by one of the two alone. So a batch in which they differ is tried again a
pixel smaller. A graph that is wrong differs there, too; batches that were replaced are counted, and
more than two are no chance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.contract import Adjustable, Picker, Predictor
from trainables.results import Instances

BATCHES: Final = (1, 2, 5)

N_VIEWS: Final = 5

BOX_PX: Final = 1e-3

SCORE: Final = 1e-5

IOU: Final = 0.999

MAP: Final = 1e-5

_SHRINK: Final = 0.08  # of a side, from one view to the next: no two have one size

_MAP_SIDE_PX: Final = 512  # a map needs no larger picture: larger ones are tiles of it

_MOST_SAID: Final = 3

_MOST_REPLACED: Final = 2

Pixels = npt.NDArray[np.uint8]


class MapsTogether(Protocol):
    """A picker that maps several pictures at once."""

    def probabilities(self, images: Sequence[Pixels]) -> list[npt.NDArray[np.float32]]:
        """The maps of pictures."""
        ...


@dataclass(frozen=True)
class View:
    """A part of a picture on which both are compared.

    Attributes:
        name: Name of the picture.
        pixels: (H, W, 3) RGB.
    """

    name: str
    pixels: Pixels


@dataclass
class Agreement:
    """What a comparison came to; the differences are the largest there were.

    Attributes:
        n_finds: Number of finds, or of map pixels above one half, that were compared.
        n_pictures: Number of pictures that went through both, over all batches.
        box_px: Difference of the boxes, px of the picture.
        score: Difference of the scores.
        iou: Least IoU of the masks of a find, of those that differ by more than a pixel; None
            where there are no masks.
        map: Difference of the maps of probabilities.
        n_replaced: Number of batches that agreed a pixel smaller only.
        problems: Sentence for each disagreement.
    """

    n_finds: int = 0
    n_pictures: int = 0
    box_px: float = 0.0
    score: float = 0.0
    iou: float | None = None
    map: float = 0.0
    n_replaced: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why they do not agree, in short; "" where they do."""
        if not self.problems and not self.n_finds:
            return "neither finds anything in these pictures, so nothing can be compared"
        more = len(self.problems) - _MOST_SAID
        said = self.problems[:_MOST_SAID] + ([f"and {more} more"] if more > 0 else [])
        return "; ".join(said)

    def add(self, other: "Agreement") -> None:
        """Take in what the comparison of another batch came to."""
        self.n_finds += other.n_finds
        self.n_pictures += other.n_pictures
        self.box_px, self.score = max(self.box_px, other.box_px), max(self.score, other.score)
        self.map = max(self.map, other.map)
        self.iou = min((iou for iou in (self.iou, other.iou) if iou is not None), default=None)
        self.problems += other.problems

    def plain(self) -> dict[str, Any]:
        """The figures, as they are written beside a model."""
        return {
            "finds_compared": self.n_finds,
            "pictures_compared": self.n_pictures,
            "batches": list(BATCHES),
            "batches_replaced": self.n_replaced,
            "box_px": self.box_px,
            "score": self.score,
            "mask_iou": self.iou,
            "map": self.map,
            "allowed": {"box_px": BOX_PX, "score": SCORE, "mask_iou": IOU, "map": MAP},
        }


def views(pictures: Sequence[View], *, maps: bool = False) -> list[View]:
    """Five parts of pictures, each of another size, the first one a whole picture.

    Args:
        pictures: One or more; where there are fewer than five, several parts are of one.
        maps: Whether maps are to be compared, which need no large pictures.

    Raises:
        ValueError: There is none.
    """
    if not pictures:
        raise ValueError("expected at least one picture, got none")
    found = []
    for k in range(N_VIEWS):
        picture = pictures[k % len(pictures)]
        height, width = (
            _shrunk(min(side, _MAP_SIDE_PX) if maps else side, k, turn)
            for side, turn in zip(picture.pixels.shape[:2], (k, N_VIEWS - k), strict=True)
        )
        top, left = (
            (k // len(pictures)) % 2 * (whole - side)
            for whole, side in zip(picture.pixels.shape[:2], (height, width), strict=True)
        )
        part = picture.pixels[top : top + height, left : left + width]
        found.append(View(picture.name, np.ascontiguousarray(part)))
    return found


def _shrunk(side: int, k: int, turn: int) -> int:
    """A side of the k-th part of a picture: the two sides shrink by different shares."""
    return max(round(side * (1 - _SHRINK * turn * 0.5)), 1) if k else side


def compare(
    model: Predictor,
    file: Predictor,
    parts: Sequence[View],
    progress: Callable[[int, int], object] = lambda number, total: None,
) -> Agreement:
    """Let a model and its ONNX file find in the same pictures, in batches of every size.

    Args:
        model: The model as its engine loads it.
        file: The file as the runtime loads it.
        parts: Pictures, of different sizes.
        progress: Told the number of the batch that begins, from 1 on, and how many there are.
    """
    total = Agreement()
    batches = list(_batches(parts))
    for number, batch in enumerate(batches, 1):
        progress(number, len(batches))
        found = _of_batch(model, file, batch)
        if found.problems and not isinstance(model, Picker):  # a map has no candidates
            total.n_replaced += 1
            again = _of_batch(model, file, [_smaller(view) for view in batch])
            if again.problems or total.n_replaced > _MOST_REPLACED:
                again.problems = found.problems
            found = again
        total.add(found)
    return total


def _of_batch(model: Predictor, file: Predictor, batch: Sequence[View]) -> Agreement:
    found = Agreement(n_pictures=len(batch))
    if isinstance(model, Picker):
        _compare_maps(model, file, batch, found)
    else:
        _compare_finds(model, file, batch, found)
    return found


def _smaller(view: View) -> View:
    """A part without the last row and column."""
    height, width = (max(side - 1, 1) for side in view.pixels.shape[:2])
    return View(view.name, np.ascontiguousarray(view.pixels[:height, :width]))


def _batches(parts: Sequence[View]) -> Iterator[list[View]]:
    """The pictures in batches of each size, those of a batch cut to one size; then all as is."""
    for size in BATCHES:
        for start in range(0, len(parts), size):
            batch = [parts[(start + k) % len(parts)] for k in range(size)]
            height = min(part.pixels.shape[0] for part in batch)
            width = min(part.pixels.shape[1] for part in batch)
            yield [
                View(part.name, np.ascontiguousarray(part.pixels[:height, :width]))
                for part in batch
            ]
    yield list(parts)


def _compare_maps(model: Picker, file: Any, batch: Sequence[View], found: Agreement) -> None:
    together: MapsTogether = file
    theirs = together.probabilities([view.pixels for view in batch])
    for view, other in zip(batch, theirs, strict=True):
        own = model.probability(view.pixels)
        found.n_finds += int((own > 0.5).sum()) or int(own.max() > 0)
        differs = float(np.abs(own - other).max())
        found.map = max(found.map, differs)
        if not differs <= MAP:  # a NaN is no agreement
            found.problems.append(
                f"{_named(view, batch)}: the maps differ by {differs:.2g} (allowed: {MAP:g})"
            )


def _compare_finds(
    model: Predictor, file: Predictor, batch: Sequence[View], found: Agreement
) -> None:
    images = [view.pixels for view in batch]
    for view, own, other in zip(batch, model(images), file(images), strict=True):
        pairs, alone = paired(own, other)
        floor = model.reporting.confidence if isinstance(model, Adjustable) else 0.0
        alone = [score for score in alone if score > _edge(floor, own, other) + SCORE]
        found.n_finds += len(pairs)
        if alone:
            found.problems.append(
                f"{_named(view, batch)}: {len(alone)} of {max(len(own), len(other))} finds are in "
                f"one of the two alone, or differ by more than {BOX_PX:g} px or {SCORE:g} of score "
                f"(the surest has score {max(alone):.4f})"
            )
        for i, j in pairs:
            found.box_px = max(found.box_px, float(np.abs(own.boxes[i] - other.boxes[j]).max()))
            found.score = max(found.score, float(np.abs(own.scores[i] - other.scores[j])))
        if own.masks is None and other.masks is None:
            continue
        iou = min((_mask_iou(own, other, i, j) for i, j in pairs), default=1.0)
        found.iou = iou if found.iou is None else min(found.iou, iou)
        if iou < IOU:
            found.problems.append(
                f"{_named(view, batch)}: masks differ, IoU {iou:.5f} (allowed: {IOU:g})"
            )


def _edge(floor: float, own: Instances, other: Instances) -> float:
    """Score near which it is chance what is reported: the lowest, or the last one that had room."""
    capped = [found.scores[-1] for found in (own, other) if found.capped and len(found)]
    return max(floor, *map(float, capped)) if capped else floor


def paired(own: Instances, other: Instances) -> tuple[list[tuple[int, int]], list[float]]:
    """Pairs of equal finds of two models, and the scores of those that have none.

    Equal are finds of one class whose boxes and scores differ by no more than `BOX_PX`, `SCORE`.
    """
    free = np.ones(len(other), np.bool_)
    pairs, alone = [], []
    for i, score in enumerate(own.scores.tolist()):
        near = free & (np.abs(other.scores - score) <= SCORE) & (other.classes == own.classes[i])
        places = np.flatnonzero(near)
        apart = np.abs(other.boxes[places] - own.boxes[i]).max(axis=1)
        if len(places) and apart.min() <= BOX_PX:
            pairs.append((i, int(places[apart.argmin()])))
            free[pairs[-1][1]] = False
        else:
            alone.append(score)
    return pairs, [*alone, *other.scores[free].tolist()]


def _mask_iou(own: Instances, other: Instances, i: int, j: int) -> float:
    """IoU of two masks; 1 where they differ by a pixel, which small ones may for rounding."""
    if own.masks is None or other.masks is None:
        return 0.0
    masks = [dict(own.masks[i]), dict(other.masks[j])]
    common, either = (
        int(coco_mask.area(coco_mask.merge(masks, intersect=both))) for both in (True, False)
    )
    return 1.0 if either - common <= 1 else common / either


def _named(view: View, batch: Sequence[View]) -> str:
    height, width = view.pixels.shape[:2]
    return f"{view.name} ({width} x {height} px, in a batch of {len(batch)})"
