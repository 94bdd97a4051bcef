"""What came out of an evaluation: one value, its tables, and how it is told."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.evaluation.classes import ClassMap
from analysis.evaluation.coco import CocoTable
from analysis.evaluation.job import Job
from analysis.evaluation.scores import PictureScore
from trainables.datasets.prepared import ImageRecord
from trainables.keeping import METRICS_FILE
from trainables.metrics import GROUPS, Evaluation, metrics_of
from tune.files import write_json, write_text

PAGE, OVERLAYS = "evaluation.html", "overlays"
METRICS_CSV, CLASSES_CSV, IMAGES_CSV = "metrics.csv", "classes.csv", "images.csv"
FORMAT: Final = 1


@dataclass(frozen=True)
class Detections:
    """How many predictions and objects there are, and how many count.

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
        """All of it for a reader."""
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
        score: Of the picture.
        image: Of the data set.
    """

    place: str
    rank: int
    score: PictureScore
    image: ImageRecord

    @property
    def file(self) -> str:
        """Name in the folder of overlays."""
        return f"{self.place}_{self.rank:02}_{self.image.path.stem}.png"


@dataclass(frozen=True)
class EvaluationResult:
    """A model on a part of a data set.

    Attributes:
        job: What was asked for.
        classes: Which were measured.
        evaluations: By metric group: P, R, F1, AP, curves, confusion, measurement errors.
        coco: COCO's tables, by metric group.
        scores: One a picture, in the order of `job.images`.
        best: The best of these, best first.
        worst: The worst, worst first.
        confidence_words: Which confidence P, R and F1 are taken at.
        own_confidence: Whether it is the best one for these very pictures.
        detections: How many predictions there are and count.
        seconds: The model's own time for all pictures.
    """

    job: Job
    classes: ClassMap
    evaluations: Mapping[str, Evaluation]
    coco: Mapping[str, CocoTable]
    scores: Sequence[PictureScore]
    best: Sequence[PictureScore]
    worst: Sequence[PictureScore]
    confidence_words: str
    own_confidence: bool
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
        found = self.evaluations[self.job.groups[0]].measurement
        metrics = {} if found is None else found.as_metrics()
        return {name.partition("/")[2]: value for name, value in metrics.items()}

    @property
    def part(self) -> str:
        """What was measured, for a reader."""
        return "all parts" if self.job.part == "all" else f"the {self.job.part} part"

    @property
    def notes(self) -> list[str]:
        """What a reader must know before using the figures."""
        return [*_notes_on_data(self), *_notes_on_limits(self)]

    def lines(self) -> list[str]:
        """What to tell the user."""
        job = self.job
        size = f"{counted(len(job.images), 'picture')}, {counted(self.objects, 'object')}"
        measured = ", ".join(f"{name} {value:.4f}" for name, value in self.measurement.items())
        return [
            f"model       {job.model.engine}, {job.model.origin}",
            f"data        {job.data.name}, {self.part}{job.part_words}: {size}",
            f"confidence  {self.confidence_words}",
            f"detections  {self.detections}",
            *(line for group in self.evaluations for line in self._group_lines(group)),
            *([f"measure     {measured}"] if measured else []),
            *(f"note        {note}" for note in self.notes),
            f"page        {job.out / PAGE}",
        ]

    def _group_lines(self, group: str) -> list[str]:
        found = self.evaluations[group]
        figures = "  ".join(
            f"{name} {'-' if value is None else f'{value:.3f}'}"
            for name, value in self.coco[group].values.items()
        )
        return [
            f"{GROUPS[group]:<11} F1 {found.f1:.4f}, precision {found.precision:.4f}, recall "
            f"{found.recall:.4f} at confidence {found.confidence:.4f}",
            f"            {figures}",
        ]


def _notes_on_data(result: EvaluationResult) -> Iterator[str]:
    job, classes = result.job, result.classes
    if job.model.fingerprint == job.data.fingerprint:
        if job.part in ("train", "all"):
            yield "the model was trained on these pictures: it reads new ones less well"
        if job.part == "val":
            yield "the model was chosen by these pictures: it may read new ones less well"
    if result.own_confidence and job.part != "val":
        yield (
            "there is no validation part, so P, R and F1 are taken at the confidence that is best "
            "for these very pictures, which flatters them; --confidence names another"
        )
    if classes.not_in_data:
        yield f"classes that the data lacks were left out: {', '.join(classes.not_in_data)}"
    if classes.not_in_model:
        yield f"classes that the model lacks were left out: {', '.join(classes.not_in_model)}"


def _notes_on_limits(result: EvaluationResult) -> Iterator[str]:
    most = max(score.truths for score in result.scores)
    limit = result.job.model.limit
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


def drawn_pictures(result: EvaluationResult) -> Iterator[DrawnPicture]:
    """The pictures to draw, the worst first."""
    for place, scores in (("worst", result.worst), ("best", result.best)):
        for rank, score in enumerate(scores, start=1):
            yield DrawnPicture(place, rank, score, result.job.images[score.index])


def write_tables(result: EvaluationResult, folder: Path) -> None:
    """Write `metrics.csv`, `classes.csv`, `images.csv` and, last, `metrics.json`."""
    metrics = [{"metric": name, "value": value} for name, value in result.metrics.items()]
    _write_csv(folder / METRICS_CSV, metrics)
    _write_csv(folder / CLASSES_CSV, class_rows(result))
    _write_csv(folder / IMAGES_CSV, [_picture_row(result, score) for score in result.scores])
    write_json(folder / METRICS_FILE, as_json(result))


def class_rows(result: EvaluationResult) -> list[dict[str, Any]]:
    """A row a metric group and class."""
    return [
        {"group": group, **row.as_row()}
        for group, evaluation in result.evaluations.items()
        for row in evaluation.per_class
    ]


def as_json(result: EvaluationResult) -> dict[str, Any]:
    """What `metrics.json` holds."""
    job, detections = result.job, result.detections
    return {
        "format": FORMAT,
        "identity": job.identity,
        "model": {
            "engine": job.model.engine,
            "path": str(job.model.path),
            "origin": job.model.origin,
        },
        "data": {
            "path": str(job.data.root),
            "name": job.data.name,
            "fingerprint": job.data.fingerprint,
            "part": job.part,
            "pictures": len(job.images),
            "objects": result.objects,
        },
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
        "device": job.device.name,
    }


def _picture_row(result: EvaluationResult, score: PictureScore) -> dict[str, Any]:
    image = result.job.images[score.index]
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


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table with a line of names; an empty cell is a value that there is not."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
