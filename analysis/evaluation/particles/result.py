"""The result of measuring a model that picks particles: its tables, and the lines that tell it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.evaluation.classes import ClassMap
from analysis.evaluation.particles.finding import Picked
from analysis.evaluation.plan import EvaluationPlan
from analysis.evaluation.result import (
    IMAGES_CSV,
    PAGE,
    head_json,
    head_lines,
    notes_on_choice,
    notes_on_data,
    picture_row,
    write_metrics,
)
from trainables.files.whole import write_json, write_table
from trainables.metrics.confidence import confidence_text
from trainables.metrics.names import PARTICLE_GROUP
from trainables.metrics.overlays.particle_scores import Matching, ParticleScore
from trainables.metrics.particles import ParticleMetrics
from trainables.trials.layout import METRICS_FILE

_ALIKE: Final = 1.2  # radii that differ by a larger factor are worth a word


@dataclass(frozen=True)
class ParticleResult:
    """The result of a model that picks particles, measured on a part of a data set.

    Attributes:
        plan: Plan of the evaluation.
        classes: Classes of model and data, with the measured ones.
        found: Picks and particles, picture by picture.
        particles: Precision, recall, F1, average precision, position error.
        matching: Confidence and match radius of the figures.
        scores: One a picture, in the order of `plan.images`.
        best: The best of these, best first.
        worst: The worst, worst first.
        model_radius_px: Radius of the particles that the model was trained on.
    """

    plan: EvaluationPlan
    classes: ClassMap
    found: Picked
    particles: ParticleMetrics
    matching: Matching
    scores: Sequence[ParticleScore]
    best: Sequence[ParticleScore]
    worst: Sequence[ParticleScore]
    model_radius_px: float

    @property
    def objects(self) -> int:
        """Number of true particles."""
        return self.particles.truths

    @property
    def metrics(self) -> Mapping[str, float]:
        """Every figure under one name: `particle_metrics/F1`, `pixel_metrics/IoU`, ..."""
        return {**self.particles.as_metrics(), **self.pixels}

    @property
    def pixels(self) -> Mapping[str, float]:
        """Every figure of the pixels; none where the truth is boxes."""
        return self.found.pixel_metrics()

    @property
    def radius_px(self) -> float | None:
        """Median of the pictures' particle radii; None where no picture has a particle."""
        radii = [picture.radius_px for picture in self.found.pictures if len(picture.centers)]
        return float(np.median(radii)) if radii else None

    @property
    def position_error_told(self) -> str:
        """Mean distance of a pick from its particle, for a reader; "-" where nothing was matched.

        The metric is the match radius there, so that a model that finds nothing is not the best.
        """
        return f"{self.particles.position_error_px:.2f} px" if self.particles.matched else "-"

    @property
    def confidence_words(self) -> str:
        """The reason for the confidence, in words."""
        return self.matching.confidence_words

    @property
    def matching_told(self) -> str:
        """The distance within which a pick counts, for a reader."""
        least, most = self._match_range_px
        px = f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"
        return (
            f"a pick stands for a particle within {self.matching.radius:g} of its radii, here "
            f"{px} px, {self.matching.radius_words}"
        )

    @property
    def notes(self) -> list[str]:
        """Cautions to read before using the figures."""
        on_data = notes_on_data(self.plan, self.classes, self.objects)
        chosen = None if self.plan.wishes.confidence is not None else self.plan.chosen_on
        return [*on_data, *notes_on_choice(chosen), *_notes_on_size(self)]

    def lines(self) -> list[str]:
        """The result in lines for the user."""
        found, pixels = self.particles, self.pixels
        told = ", ".join(f"{name.partition('/')[2]} {value:.4f}" for name, value in pixels.items())
        return [
            *head_lines(self.plan, self.objects),
            f"confidence  {self.confidence_words}",
            f"matching    {self.matching_told}",
            f"particles   F1 {found.f1:.4f}, precision {found.precision:.4f}, recall "
            f"{found.recall:.4f} at confidence {confidence_text(found.confidence)}",
            f"            average precision {found.average_precision:.4f}, position error "
            f"{self.position_error_told}; {found.matched} of {found.picks} picks matched",
            *([f"pixels      {told}"] if told else []),
            *(f"note        {note}" for note in self.notes),
            f"page        {self.plan.out / PAGE}",
        ]

    @property
    def _match_range_px(self) -> tuple[float, float]:
        radii = [score.match_radius_px for score in self.scores]
        return min(radii), max(radii)


def _notes_on_size(result: ParticleResult) -> Iterator[str]:
    here, known = result.radius_px, result.model_radius_px
    if here is not None and not 1 / _ALIKE < here / known < _ALIKE:
        yield (
            f"the model was trained on particles of {known:.1f} px radius, here they have "
            f"{here:.1f} px: pictures scaled by {known / here:.2g} would suit it better"
        )


def write_particle_tables(result: ParticleResult, folder: Path) -> None:
    """Write `metrics.csv`, `images.csv` and, last, `metrics.json`."""
    write_metrics(result.metrics, folder)
    write_table([_row(result, score) for score in result.scores], folder / IMAGES_CSV)
    write_json(folder / METRICS_FILE, _as_json(result))


def _row(result: ParticleResult, score: ParticleScore) -> dict[str, Any]:
    return {
        **picture_row(result.plan, score),
        "position_error_px": score.position_error_px,
        "match_radius_px": score.match_radius_px,
    }


def _as_json(result: ParticleResult) -> dict[str, Any]:
    plan, found = result.plan, result.particles
    return {
        **head_json(plan, result.objects),
        "classes": list(result.classes.names),
        "confidence": {PARTICLE_GROUP: found.confidence, "source": result.confidence_words},
        "matching": {
            "radius": result.matching.radius,
            "radius_px": list(result._match_range_px),
            "source": result.matching.radius_words,
        },
        "picks": {"counted": found.picks, "matched": found.matched},
        "metrics": dict(result.metrics),
        "notes": result.notes,
        "seconds": result.found.seconds,
        "device": plan.device.name,
    }
