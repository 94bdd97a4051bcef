"""The best models of up to four studies on the same pictures, worst disagreement first."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from analysis.compare.entries import Entry
from analysis.compare.groups import Group
from analysis.errors import EvaluateError
from analysis.evaluation.classes import ClassMap, match_classes
from analysis.models.agreement import View
from analysis.models.device import chosen_device
from analysis.models.find import TrainedModel, find_model, load_model
from analysis.models.side_by_side import draw_side_by_side
from analysis.pages.pictures import Picture, data_uri
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.files.errors import UserError
from trainables.metrics.matching import GroundTruth, match_image
from trainables.metrics.names import Kind
from trainables.results import Instances
from tune.best.configuration import confidences_in
from tune.datasets.opening import whole_data

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
    """

    name: str
    confidence: float
    found: Sequence[Instances]


def side_by_side(group: Group, progress: Progress) -> tuple[tuple[Picture, ...], str]:
    """Pictures of a group's best models, and what they show or why there are none.

    Args:
        group: The studies, best first.
        progress: Told of a stage, and how many of how many pictures are done.
    """
    with_model = [e for e in group.entries if e.best is not None and e.best.best_model is not None]
    if len(with_model) < 2:
        return (), "Not shown: that needs two studies of this setting whose best model was kept."
    try:
        data = _data_of(with_model)
        images = spread(data.images("val"), MOST_LOOKED_AT)
        finds = [_finds(entry, data, images, progress) for entry in with_model[:MOST_MODELS]]
    except UserError as error:
        return (), f"Not shown: {error}"
    apart = [
        disagreement([one.found[k] for one in finds], [one.confidence for one in finds], image)
        for k, image in enumerate(images)
    ]
    order = sorted(range(len(images)), key=lambda k: -apart[k])[:MOST_SHOWN]
    shown = tuple(_picture(data, images[k], k, finds, apart[k]) for k in order)
    return shown, _note(finds, len(with_model), len(images), len(data.images("val")))


def spread(images: Sequence[ImageRecord], most: int) -> list[ImageRecord]:
    """So many pictures at most, spread over all."""
    n = min(most, len(images))
    return [images[k * len(images) // n] for k in range(n)]


def disagreement(
    found: Sequence[Instances], confidences: Sequence[float], image: ImageRecord
) -> float:
    """How far models differ in a picture, in [0, 1]: 1 less the mean F1 of every two of them.

    Finds of one class that overlap by an IoU of 0.5 are one; two models that find nothing agree.

    Args:
        found: The finds of each model.
        confidences: Score from which each one's count.
        image: The picture.
    """
    sure = [_sure(one, least) for one, least in zip(found, confidences, strict=True)]
    pairs = list(combinations(sure, 2))
    return sum(1 - _alike(a, b, image) for a, b in pairs) / len(pairs)


def _alike(one: Instances, other: Instances, image: ImageRecord) -> float:
    if not len(one) or not len(other):
        return float(len(one) == len(other))
    masks = None if other.masks is None else tuple(other.masks)
    truth = GroundTruth(other.boxes, other.classes, masks, image.height, image.width)
    kind: Kind = "boxes" if one.masks is None or masks is None else "masks"
    matched = match_image(one, truth, kind, _NO_LIMIT)
    return 2 * float(matched.hits[:, 0].sum()) / (len(one) + len(other))


def _sure(found: Instances, confidence: float) -> Instances:
    n = int((found.scores >= confidence).sum())  # the best score is first
    masks = None if found.masks is None else found.masks[:n]
    return Instances(found.boxes[:n], found.scores[:n], found.classes[:n], masks)


def _data_of(entries: Sequence[Entry]) -> PreparedDataset:
    """The data set that the studies have in common, from the first place where it still is.

    Raises:
        EvaluateError: It is at none of them, or has no validation part.
    """
    wanted = entries[0].study.resolved["fingerprint"]
    places = dict.fromkeys(str(entry.study.resolved["data"]) for entry in entries)
    for place in places:
        try:
            data = whole_data(place)
        except DatasetError:
            continue
        if data.fingerprint == wanted and data.images("val"):
            return data
    raise EvaluateError(f"the data set is no longer at {' or '.join(places)}.")


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
    return Finds(entry.name, _confidence(model, entry.summary.metric), found)


def _confidence(model: TrainedModel, metric: str) -> float:
    """The confidence that a model was measured at: of the objective's group, else of its first."""
    known = confidences_in(model.metrics)
    first = next(iter(known.values()), 0.5)
    return known.get(metric.partition("/")[0], first)


def _picture(
    data: PreparedDataset,
    image: ImageRecord,
    place: int,
    finds: Sequence[Finds],
    apart: float,
) -> Picture:
    pixels = np.ascontiguousarray(data.read(image))
    sure = [_sure(one.found[place], one.confidence) for one in finds]
    counts = ", ".join(f"{one.name} {len(found)}" for one, found in zip(finds, sure, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        file = draw_side_by_side(
            [View(image.path.name, pixels)],
            [[found] for found in sure],
            [one.confidence for one in finds],
            len(data.classes),
            Path(folder, "sheet.png"),
            titles=[one.name for one in finds],
        )
        uri = data_uri(file, photo=True)
    n = len(data.annotations(image))
    title = f"{image.path.name}: disagreement {apart:.2f}; {n} true objects; found: {counts}"
    return Picture(title, f"Finds of each model in {image.path.name}", uri)


def _note(finds: Sequence[Finds], models: int, looked_at: int, there: int) -> str:
    names = ", ".join(one.name for one in finds)
    first = "" if models <= MOST_MODELS else f" (the {MOST_MODELS} best of {models})"
    part = f"{looked_at} pictures, spread over the {there}" if looked_at < there else f"{there}"
    return (
        f"What the best models of {names}{first} find in the same pictures, those on which they "
        f"disagree most first, of {part} of the validation part: disagreement is 1 less the mean "
        "F1 of every two models against each other, each at its own confidence."
    )
