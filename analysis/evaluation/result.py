"""The result of an evaluation: one value, its tables, and the lines that tell it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from analysis.evaluation.classes import ClassMap
from analysis.evaluation.coco import CocoTable
from analysis.evaluation.plan import EvaluationPlan
from analysis.pages.words import chosen_on_few
from trainables.datasets.records import ImageRecord
from trainables.files.whole import write_json, write_table
from trainables.metrics.confidence import confidence_text
from trainables.metrics.instances import Evaluation, metrics_of
from trainables.metrics.names import GROUPS
from trainables.metrics.scores import PictureScore
from trainables.trials.layout import METRICS_FILE

PAGE, OVERLAYS = "evaluation.html", "overlays"

METRICS_CSV, CLASSES_CSV, IMAGES_CSV = "metrics.csv", "classes.csv", "images.csv"

FORMAT: Final = 1


@dataclass(frozen=True)
class Detections:
    """Counts of predictions and objects, and the limit up to which predictions count.

    Attributes:
        limit: The limit that was asked for; None: all predictions count.
        most_predicted: Most predictions of a class in a picture.
        most_true: Most objects of a class in a picture.
        left_out: Predictions beyond the limit, in all pictures.
    """

    limit: int | None
    most_predicted: int
    most_true: int
    left_out: int

    @property
    def counted(self) -> int:
        """At most so many predictions of a class in a picture count; AP is taken at it."""
        return self.limit or max(self.most_predicted, self.most_true, 1)

    def __str__(self) -> str:
        """The counts in words, for a reader."""
        there = f"most predicted {self.most_predicted}, most true {self.most_true}"
        if self.limit is None:
            return f"all count ({there} of a class in a picture)"
        return (
            f"at most {self.limit} of a class in a picture count ({there}); {self.left_out} "
            "predictions left out"
        )


@dataclass(frozen=True)
class DrawnPicture:
    """A picture of which there is an overlay.

    Attributes:
        place: "worst" or "best".
        rank: 1-based.
        score: Score of the picture.
        image: Record of the picture in the data set.
    """

    place: str
    rank: int
    score: PictureScore
    image: ImageRecord

    @property
    def file(self) -> str:
        """Name in the folder of overlays."""
        return f"{self.place}_{self.rank:02}_{self.image.path.stem}.png"


class Ranked(Protocol):
    """The result of any evaluation: pictures in an order."""

    @property
    def plan(self) -> EvaluationPlan:
        """The plan of the evaluation."""
        ...

    @property
    def best(self) -> Sequence[PictureScore]:
        """The best pictures, best first."""
        ...

    @property
    def worst(self) -> Sequence[PictureScore]:
        """The worst pictures, worst first."""
        ...


@dataclass(frozen=True)
class EvaluationResult:
    """The result of a model that finds instances, measured on a part of a data set.

    Attributes:
        plan: Plan of the evaluation.
        classes: Classes of model and data, with the measured ones.
        evaluations: P, R, F1, AP, curves, confusion, measurement errors, by metric group.
        coco: COCO's tables, by metric group.
        scores: One a picture, in the order of `plan.images`.
        best: The best of these, best first.
        worst: The worst, worst first.
        confidence_words: Choice of the confidence at which P, R and F1 are taken, in words.
        own_confidence: Whether that confidence is the best one for these very pictures.
        chosen_on: Number of objects it was chosen on; None where it was asked for, or unknown.
        detections: Counts of predictions and objects.
        seconds: Time that the model took for all pictures.
    """

    plan: EvaluationPlan
    classes: ClassMap
    evaluations: Mapping[str, Evaluation]
    coco: Mapping[str, CocoTable]
    scores: Sequence[PictureScore]
    best: Sequence[PictureScore]
    worst: Sequence[PictureScore]
    confidence_words: str
    own_confidence: bool
    chosen_on: int | None
    detections: Detections
    seconds: float

    @property
    def objects(self) -> int:
        """True objects that were measured."""
        return sum(score.truths for score in self.scores)

    @property
    def metrics(self) -> dict[str, float | None]:
        """Every figure under one name: `seg_metrics/F1`, `seg_coco/AP`, `measure/...`."""
        values: dict[str, float | None] = dict(metrics_of(self.evaluations))
        for table in self.coco.values():
            values |= table.as_metrics()
        return values

    @property
    def measurement(self) -> dict[str, float]:
        """Measurement errors by name; empty without masks."""
        found = self.evaluations[self.plan.groups[0]].measurement
        metrics = {} if found is None else found.as_metrics()
        return {name.partition("/")[2]: value for name, value in metrics.items()}

    @property
    def notes(self) -> list[str]:
        """Cautions to read before using the figures."""
        return [
            *notes_on_data(self.plan, self.classes, self.objects),
            *_notes_on_confidence(self),
            *notes_on_choice(self.chosen_on),
            *_notes_on_limits(self),
        ]

    def lines(self) -> list[str]:
        """The result in lines for the user."""
        plan = self.plan
        return [
            *head_lines(plan, self.objects),
            f"confidence  {self.confidence_words}",
            f"detections  {self.detections}",
            *(line for group in self.evaluations for line in self._group_lines(group)),
            *self._measurement_lines(),
            *(f"note        {note}" for note in self.notes),
            f"page        {plan.out / PAGE}",
        ]

    def _measurement_lines(self) -> list[str]:
        found = self.measurement
        if not found:
            return []
        shift = found["diameter_shift"]
        named = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
        return [
            f"measured    counts off by {100 * found['count_error']:.1f} %, mean diameter "
            f"{100 * abs(shift):.1f} % too {'small' if shift < 0 else 'large'}, sizes "
            f"{100 * found['size_distance']:.1f} % of the mean diameter apart",
            f"            {named}",
        ]

    def _group_lines(self, group: str) -> list[str]:
        found = self.evaluations[group]
        figures = "  ".join(
            f"{name} {'-' if value is None else f'{value:.3f}'}"
            for name, value in self.coco[group].values.items()
        )
        return [
            f"{GROUPS[group]:<11} F1 {found.f1:.4f}, precision {found.precision:.4f}, recall "
            f"{found.recall:.4f} at confidence {confidence_text(found.confidence)}",
            f"            {figures}",
        ]


def head_lines(plan: EvaluationPlan, objects: int) -> list[str]:
    """The model and the pictures that were measured, in lines for the user."""
    size = f"{counted(len(plan.images), 'picture')}, {counted(objects, 'object')}"
    return [
        f"model       {plan.model.engine}, {plan.model.origin}",
        f"data        {plan.data.name}, {plan.part_told}: {size}",
    ]


def notes_on_data(plan: EvaluationPlan, classes: ClassMap, objects: int) -> Iterator[str]:
    """Cautions about the pictures and the classes, for a reader of the figures."""
    if not objects:
        yield (
            "these pictures hold no object, so no share of any can be found: only how much was "
            "predicted where nothing is can be told here"
        )
    if twice := sum(plan.data.n_twice(image) for image in plan.images):
        yield (
            f"{counted(twice, 'object')} of these pictures stand twice in the data set, with the "
            "same class and pixels, and count once; prepared again it holds them once"
        )
    if plan.model.fingerprint == plan.data.fingerprint:
        if plan.part in ("train", "all"):
            yield "the model was trained on these pictures: it reads new ones less well"
        if plan.part == "val":
            yield "the model was chosen by these pictures: it may read new ones less well"
    if classes.not_in_data:
        yield f"classes that the data lacks were left out: {', '.join(classes.not_in_data)}"
    if classes.not_in_model:
        yield f"classes that the model lacks were left out: {', '.join(classes.not_in_model)}"


def _notes_on_confidence(result: EvaluationResult) -> Iterator[str]:
    if result.own_confidence and result.plan.part != "val":
        yield (
            "there is no validation part, so P, R and F1 are taken at the confidence that is best "
            "for these very pictures, which flatters them; --confidence names another"
        )


def notes_on_choice(objects: int | None) -> Iterator[str]:
    """What a reader must know of a confidence that was chosen on so many objects."""
    if few := chosen_on_few(objects):
        yield few


def _notes_on_limits(result: EvaluationResult) -> Iterator[str]:
    most = max(score.truths for score in result.scores)
    limit = result.plan.model.limit
    if limit is not None and limit < most:
        yield (
            f"the model finds at most {limit} objects in a picture (its max_det), of which one "
            f"holds {most}: its recall cannot reach 1"
        )
    if result.detections.left_out:
        yield (
            f"{result.detections.left_out} predictions beyond the limit of "
            f"{result.detections.limit} were left out; --max-det raises it"
        )


def counted(n: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "picture"), counted(2, "picture")
    ('1 picture', '2 pictures')
    """
    return f"{n} {noun}{'' if n == 1 else 's'}"


def drawn_pictures(result: Ranked) -> Iterator[DrawnPicture]:
    """The pictures to draw, the worst first."""
    for place, scores in (("worst", result.worst), ("best", result.best)):
        for rank, score in enumerate(scores, start=1):
            yield DrawnPicture(place, rank, score, result.plan.images[score.index])


def write_tables(result: EvaluationResult, folder: Path) -> None:
    """Write `metrics.csv`, `classes.csv`, `images.csv` and, last, `metrics.json`."""
    write_metrics(result.metrics, folder)
    write_table(class_rows(result), folder / CLASSES_CSV)
    rows = [picture_row(result.plan, score) for score in result.scores]
    write_table(rows, folder / IMAGES_CSV)
    write_json(folder / METRICS_FILE, as_json(result))


def write_metrics(metrics: Mapping[str, float | None], folder: Path) -> None:
    """Write `metrics.csv`; an empty cell is a value that there is not."""
    rows = [{"metric": name, "value": value} for name, value in metrics.items()]
    write_table(rows, folder / METRICS_CSV)


def class_rows(result: EvaluationResult) -> list[dict[str, Any]]:
    """A row a metric group and class."""
    return [
        {"group": group, **row.as_row()}
        for group, evaluation in result.evaluations.items()
        for row in evaluation.per_class
    ]


def as_json(result: EvaluationResult) -> dict[str, Any]:
    """The content of `metrics.json`."""
    plan, detections = result.plan, result.detections
    return {
        **head_json(plan, result.objects),
        "classes": list(result.classes.names),
        "confidence": {
            **{group: found.confidence for group, found in result.evaluations.items()},
            "source": result.confidence_words,
        },
        "detections": {
            "limit": detections.limit,
            "counted": detections.counted,
            "most_predicted": detections.most_predicted,
            "most_true": detections.most_true,
            "left_out": detections.left_out,
        },
        "metrics": result.metrics,
        "per_class": class_rows(result),
        "confusion": {
            group: {
                "labels": [*found.classes, "background"],
                "rows_predicted_columns_true": found.confusion.tolist(),
            }
            for group, found in result.evaluations.items()
        },
        "notes": result.notes,
        "seconds": result.seconds,
        "device": plan.device.name,
    }


def head_json(plan: EvaluationPlan, objects: int) -> dict[str, Any]:
    """The part of `metrics.json` about model and data."""
    return {
        "format": FORMAT,
        "identity": plan.identity,
        "model": {
            "engine": plan.model.engine,
            "path": str(plan.model.path),
            "origin": plan.model.origin,
        },
        "data": {
            "path": str(plan.data.root),
            "name": plan.data.name,
            "fingerprint": plan.data.fingerprint,
            "part": plan.part,
            "pictures": len(plan.images),
            "objects": objects,
        },
    }


def picture_row(plan: EvaluationPlan, score: PictureScore) -> dict[str, Any]:
    """A row of `images.csv`."""
    image = plan.images[score.index]
    return {
        "image": image.path.name,
        "part": image.split,
        "truths": score.truths,
        "predicted": score.predicted,
        "matched": score.matched,
        "precision": score.precision,
        "recall": score.recall,
        "F1": score.f1,
    }
