"""The best models of up to four studies on the same pictures, worst disagreement first.

Which studies: those of one data set, whatever their engine and objective. Their values cannot be
ranked in one list, and yet anybody can see whose finds are right.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from typing import Final

import numpy as np

from analysis.compare.entries import Entry
from analysis.compare.groups import Group
from analysis.errors import EvaluateError
from analysis.evaluation.classes import ClassMap, match_classes
from analysis.models.device import chosen_device
from analysis.models.find import TrainedModel, find_model, load_model
from analysis.models.side_by_side import sure_finds, with_finds
from analysis.pages.pictures import Picture, photo_uri
from trainables.contract import Picker
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.files.errors import UserError
from trainables.metrics.matching import GroundTruth, ground_truth, match_image
from trainables.metrics.names import Kind
from trainables.results import Instances
from tune.best.configuration import confidences_in
from tune.datasets.opening import whole_data

log = logging.getLogger(__name__)

MOST_MODELS: Final = 4

MOST_LOOKED_AT: Final = 24
"""Pictures of the validation part that the models are asked about, spread over it."""

MOST_SHOWN: Final = 6

_NO_LIMIT: Final = 1_000_000

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Finds:
    """What a model finds.

    Attributes:
        name: Name of its study.
        confidence: Score from which its finds count.
        found: Its finds, one a picture, in the data's classes.
        places: Whether it finds places alone, each of which is drawn as a disc.
    """

    name: str
    confidence: float
    found: Sequence[Instances]
    places: bool = False


@dataclass(frozen=True)
class Row:
    """A picture, with the truth and with what each model finds in it.

    Attributes:
        title: Name of the picture, and how far the models differ in it.
        panels: The truth, then the finds of each model.
    """

    title: str
    panels: tuple[Picture, ...]


@dataclass(frozen=True)
class Album:
    """Pictures of a data set.

    Attributes:
        data_name: Name of the data set.
        note: What the rows show, or why there are none.
        rows: The pictures, worst disagreement first.
    """

    data_name: str
    note: str
    rows: tuple[Row, ...] = ()


def of_each_data_set(groups: Sequence[Group]) -> list[tuple[Entry, ...]]:
    """The studies of each data set: the best of every setting first, then the second ones."""
    found: dict[str, list[tuple[Entry, ...]]] = {}
    for group in groups:
        found.setdefault(group.setting.fingerprint, []).append(group.entries)
    return [
        tuple(entry for rank in zip_longest(*same) for entry in rank if entry is not None)
        for same in found.values()
    ]


def side_by_side(entries: Sequence[Entry], progress: Progress) -> Album:
    """Pictures of a data set with what the best models of its studies find.

    Args:
        entries: The studies of one data set, those that are asked first in front.
        progress: Told of a stage, and how many of how many pictures are done.
    """
    name = entries[0].data_name
    with_model = [e for e in entries if e.best is not None and e.best.best_model is not None]
    if len(with_model) < 2:
        return Album(
            name, "Not shown: that needs two studies of this data set whose best model was kept."
        )
    try:
        data = _data_of(with_model)
        images = spread(data.images("val"), MOST_LOOKED_AT)
        finds = [_finds(entry, data, images, progress) for entry in with_model[:MOST_MODELS]]
    except UserError as error:
        return Album(name, f"Not shown: {error}")
    except Exception as error:  # whatever a model raises, such as for want of memory
        log.warning("%s: the models could not be asked", name, exc_info=True)
        return Album(name, f"Not shown: {type(error).__name__}: {error}")
    rows = worst_first(data, images, finds)
    if not rows:
        return Album(name, "Not shown: none of the best models finds anything in them.")
    return Album(name, _note(finds, len(with_model), len(images), len(data.images("val"))), rows)


def worst_first(
    data: PreparedDataset, images: Sequence[ImageRecord], finds: Sequence[Finds]
) -> tuple[Row, ...]:
    """The pictures on which models disagree most; none where no model finds anything in any.

    Args:
        data: The data set.
        images: Its pictures that the models were asked about.
        finds: What each model finds in them.
    """
    sure = [[sure_finds(one, model.confidence) for one in model.found] for model in finds]
    if not any(map(len, (one for model in sure for one in model))):
        return ()
    apart = [disagreement([model[k] for model in sure], image) for k, image in enumerate(images)]
    order = sorted(range(len(images)), key=lambda k: -apart[k])[:MOST_SHOWN]
    return tuple(
        _row(data, images[k], [model[k] for model in sure], finds, apart[k]) for k in order
    )


def spread(images: Sequence[ImageRecord], most: int) -> list[ImageRecord]:
    """So many pictures at most, spread over all."""
    n = min(most, len(images))
    return [images[k * len(images) // n] for k in range(n)]


def disagreement(found: Sequence[Instances], image: ImageRecord) -> float:
    """How far models differ in a picture, in [0, 1]: 1 less the mean F1 of every two of them.

    Finds of one class that overlap by an IoU of 0.5 are one; two models that find nothing agree.

    Args:
        found: The finds of each model, at the confidence from which they count.
        image: The picture.
    """
    pairs = list(combinations(found, 2))
    return sum(1 - _alike(a, b, image) for a, b in pairs) / len(pairs)


def _alike(one: Instances, other: Instances, image: ImageRecord) -> float:
    if not len(one) or not len(other):
        return float(len(one) == len(other))
    masks = None if other.masks is None else tuple(other.masks)
    truth = GroundTruth(other.boxes, other.classes, masks, image.height, image.width)
    kind: Kind = "boxes" if one.masks is None or masks is None else "masks"
    matched = match_image(one, truth, kind, _NO_LIMIT)
    return 2 * float(matched.hits[:, 0].sum()) / (len(one) + len(other))


def _data_of(entries: Sequence[Entry]) -> PreparedDataset:
    """The data set that the studies have in common, from the first place where it still is.

    Raises:
        EvaluateError: It is at none of them, has no validation part, or cannot be asked for.
    """
    wanted = entries[0].study.resolved["fingerprint"]
    places = dict.fromkeys(str(entry.study.resolved["data"]) for entry in entries)
    reasons = []
    for place in places:
        try:
            data = whole_data(place)
        except DatasetError as error:
            reasons.append(str(error))
            continue
        if data.fingerprint == wanted and data.images("val"):
            return data
        reasons.append(f"{place}: the data set is another one by now")
    raise EvaluateError("; ".join(reasons))


def _finds(
    entry: Entry, data: PreparedDataset, images: Sequence[ImageRecord], progress: Progress
) -> Finds:
    best = entry.best
    assert best is not None
    assert best.best_model is not None
    model = find_model(best.best_model)
    predictor = load_model(model, chosen_device(None))
    classes: ClassMap = match_classes(predictor.classes, data.classes, data.root)
    found: list[Instances] = []
    for image in images:
        found += map(classes.predictions, predictor([data.read(image)]))
        progress(f"{entry.name}, trial {best.number}", len(found), len(images))
    confidence = _confidence(model, entry.summary.metric)
    return Finds(entry.name, confidence, found, isinstance(predictor, Picker))


def _confidence(model: TrainedModel, metric: str) -> float:
    """The confidence that a model was measured at: of the objective's group, else of its first."""
    known = confidences_in(model.metrics)
    first = next(iter(known.values()), 0.5)
    return known.get(metric.partition("/")[0], first)


def _row(
    data: PreparedDataset,
    image: ImageRecord,
    sure: Sequence[Instances],
    finds: Sequence[Finds],
    apart: float,
) -> Row:
    pixels, name = np.ascontiguousarray(data.read(image)), image.path.name
    truth = _as_found(ground_truth(data, image))
    titles = [f"truth: {len(truth)}"]
    titles += [
        f"{model.name}: {len(one)} from confidence {model.confidence:.2g}"
        for model, one in zip(finds, sure, strict=True)
    ]
    panels = tuple(
        Picture(title, f"{name}, {title}", photo_uri(with_finds(pixels, one, len(data.classes))))
        for title, one in zip(titles, (truth, *sure), strict=True)
    )
    size = f"{image.width} x {image.height} px"
    return Row(f"{name}, {size}: disagreement {apart:.2f}", panels)


def _as_found(truth: GroundTruth) -> Instances:
    scores = np.ones(len(truth), np.float32)
    return Instances(truth.boxes, scores, truth.classes, truth.masks)


def _note(finds: Sequence[Finds], models: int, looked_at: int, there: int) -> str:
    names = ", ".join(one.name for one in finds)
    first = "" if models <= MOST_MODELS else f" ({MOST_MODELS} of {models}, the best first)"
    part = f"{looked_at} pictures, spread over the {there}" if looked_at < there else f"{there}"
    discs = ", ".join(one.name for one in finds if one.places)
    drawn = f" {discs}: places, drawn as discs of the particles' radius." if discs else ""
    return (
        f"The truth, and what the best models of {names}{first} find in the same pictures, those "
        f"on which they disagree most first, of {part} of the validation part: disagreement is 1 "
        "less the mean F1 of every two models against each other (IoU from 0.5 on), each at its "
        f"own confidence.{drawn}"
    )
