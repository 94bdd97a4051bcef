"""Rounds of self-training: labels that the best model so far gives its own training pictures.

A round begins with the best weights of all phases before it and takes its labels from the same
model, so a phase that made the model worse leaves no trace in the next one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from torch import nn

from trainables.contract import EpochMetrics
from trainables.datasets.views.grey import GreyPicture
from trainables.datasets.views.tiles import Target
from trainables.engines.unet_selftraining.data import (
    LabelMaps,
    Micrographs,
    ring_target,
    whole_target,
)
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import MapReading, scene_picture
from trainables.engines.unet_selftraining.rounds.calibration import (
    AS_THEY_ARE,
    Calibration,
    Map,
    calibrate,
)
from trainables.engines.unet_selftraining.rounds.pseudo import (
    Caps,
    ThresholdPlan,
    Thresholds,
    combine,
)
from trainables.goal import Goal

PSEUDO_FOLDER: Final = "pseudo"
"""Name of the folder of an attempt that holds the labels of its running round."""

_LEAST_BACKGROUND: Final = 0.1
"""Least pixels of background for each of a particle, lest a round learn particles alone."""


def standing(values: Mapping[str, float], goal: Goal | None) -> tuple[float, ...]:
    """Standing of an epoch among others: larger is better.

    The goal decides alone, so that the best epoch is the one whose model is kept; without one it is
    particle F1, then average precision, then validation loss.
    """
    if goal is not None:
        return goal.standing(values)
    return (
        values["particle_metrics/F1"],
        values["particle_metrics/average_precision"],
        -values["val/loss"],
    )


def best_epoch(history: Sequence[EpochMetrics], goal: Goal | None) -> EpochMetrics | None:
    """Find the best of some epochs, of equal ones the last; None where there is none."""
    return max(reversed(history), key=lambda entry: standing(entry.values, goal), default=None)


@dataclass(frozen=True)
class Teaching:
    """Rules by which the labels of the rounds are made.

    Attributes:
        plan: Thresholds of all rounds.
        caps: Most pixels that may be labelled.
        calibrated: Whether thresholds are for calibrated probabilities.
        ring: Target that is above 0 where marked particles imply background.
        ringed: Whether they do so in every round; else only in one whose teacher is certain of next
            to no background.
    """

    plan: ThresholdPlan
    caps: Caps
    calibrated: bool
    ring: Target
    ringed: bool

    @classmethod
    def of(cls, params: UnetParams) -> Self:
        """Make the rules that hyperparameters ask for."""
        plan = ThresholdPlan(
            positive=params.positive_threshold,
            negative=params.negative_threshold,
            decay=params.threshold_decay,
            positive_floor=params.positive_floor,
            negative_ceiling=params.negative_ceiling,
        )
        caps = Caps(params.positive_cap, params.negative_cap)
        ringed = params.background == "ring"
        return cls(plan, caps, params.calibrate, ring_target(params), ringed)


@dataclass(frozen=True)
class Taught:
    """Labels of a round, with their origin.

    Attributes:
        labels: Label maps by the id of their picture.
        counts: Numbers of pixels by the origin of their label, over all pictures.
        thresholds: Thresholds that probabilities had to pass.
        calibration: Line from the teacher's logits to those probabilities.
        ringed: Whether rings around marked particles are background.
    """

    labels: LabelMaps
    counts: Mapping[str, int]
    thresholds: Thresholds
    calibration: Calibration
    ringed: bool


def teach(
    teacher: nn.Module,
    micrographs: Micrographs,
    reading: MapReading,
    teaching: Teaching,
    number: int,
    folder: Path,
) -> Taught:
    """Predict every training picture as it is, and combine it with what humans marked.

    Args:
        teacher: Network that makes the labels.
        micrographs: Pictures of the trial, labelled and unlabelled.
        reading: Rules by which it predicts.
        teaching: Rules by which predictions become labels.
        number: Number of the round, from 1.
        folder: Folder for the labels, which are mapped into memory.
    """
    thresholds = teaching.plan.of_round(number)
    calibration = AS_THEY_ARE
    if teaching.calibrated:
        calibration = calibrate(_judged(teacher, micrographs, reading))
    folder.mkdir(parents=True, exist_ok=True)

    def labelled(*, ringed: bool) -> dict[str, int]:
        counts = dict.fromkeys(("human", "positive", "negative", "ignored"), 0)
        for scene in micrographs.taught:
            probability = calibration.probabilities(reading.logits(teacher, scene_picture(scene)))
            human = whole_target(scene, micrographs.target)
            around = whole_target(scene, teaching.ring) > 0 if ringed else None
            found = combine(probability, human, thresholds, teaching.caps, around)
            file = folder / f"{scene.record.id}.npy"
            file.unlink(missing_ok=True)  # the round before may still have it mapped
            np.save(file, found.labels.astype(np.float16))
            for key in counts:
                counts[key] += getattr(found, f"n_{key}")
        return counts

    ringed = teaching.ringed
    counts = labelled(ringed=ringed)
    particles = counts["human"] + counts["positive"]
    if not ringed and counts["negative"] < _LEAST_BACKGROUND * particles:
        ringed = True
        counts = labelled(ringed=True)
    labels = read_labels(folder, micrographs.taught)
    return Taught(labels, counts, thresholds, calibration, ringed)


def _judged(
    teacher: nn.Module, micrographs: Micrographs, reading: MapReading
) -> Iterator[tuple[Map, Map]]:
    """Predict logits of the validation part, and make its targets."""
    for scene in micrographs.validation:
        logits = reading.logits(teacher, scene_picture(scene))
        yield logits, whole_target(scene, micrographs.target)


def read_labels(folder: Path, scenes: Sequence[GreyPicture]) -> LabelMaps:
    """Map the labels that `teach` left for some pictures into memory."""
    files = {scene.record.id: folder / f"{scene.record.id}.npy" for scene in scenes}
    return {number: np.load(file, mmap_mode="r") for number, file in files.items()}


def round_record(
    number: int,
    starts: Sequence[int],
    history: Sequence[EpochMetrics],
    taught: Taught | None,
    goal: Goal | None = None,
) -> dict[str, Any]:
    """Record of a phase, as plain data.

    Args:
        number: Number of the phase; 0 is the supervised one.
        starts: First epoch, 0-based, of each phase.
        history: Metrics of all epochs so far, at least one of them of the phase.
        taught: Labels of the round.
        goal: Order of epochs, by which one is better than another.
    """
    ends = [*starts[1:], len(history)]
    before, own = history[: starts[number]], history[starts[number] : ends[number]]
    best, earlier = best_epoch(own, goal), best_epoch(before, goal)
    assert best is not None
    better = earlier is None or standing(best.values, goal) >= standing(earlier.values, goal)
    return {
        "round": number,
        "epochs": [own[0].epoch, own[-1].epoch],
        "best_epoch": best.epoch,
        "promoted": better,
        **_of_labels(taught),
        "metrics": dict(best.values),
    }


def _of_labels(taught: Taught | None) -> dict[str, Any]:
    if taught is None:
        return {"pixels": {}}
    return {
        "pixels": dict(taught.counts),
        "thresholds": asdict(taught.thresholds),
        "calibration": asdict(taught.calibration),
        "ringed": taught.ringed,
    }
