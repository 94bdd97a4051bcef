"""Rounds of self-training: labels that the best model so far gives its own training pictures.

A round begins with the best weights of all phases before it and takes its labels from the same
model, so a phase that made the model worse leaves no trace in the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from trainables.contract import EpochMetrics
from trainables.unet_selftraining.data import LabelMaps, Micrographs, whole_target
from trainables.unet_selftraining.params import UnetParams
from trainables.unet_selftraining.prediction import Reading, probabilities, scene_picture
from trainables.unet_selftraining.pseudo import Caps, ThresholdPlan, combine

Standing = tuple[float, float, float]


def standing(values: Mapping[str, float]) -> Standing:
    """How good an epoch is, to be compared: particle F1, then average precision, then loss."""
    return (
        values["particle_metrics/F1"],
        values["particle_metrics/average_precision"],
        -values["val/loss"],
    )


def best_epoch(history: Sequence[EpochMetrics]) -> EpochMetrics | None:
    """The best of some epochs, of equal ones the first; None of none."""
    return max(history, key=lambda entry: standing(entry.values), default=None)


@dataclass(frozen=True)
class Taught:
    """The labels of a round.

    Attributes:
        labels: By picture.
        counts: Pixels by where their label is from, over all pictures.
    """

    labels: LabelMaps = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def teach(
    teacher: nn.Module,
    micrographs: Micrographs,
    reading: Reading,
    number: int,
    folder: Path,
) -> Taught:
    """Predict every training picture as it is, and combine it with what humans marked.

    Args:
        teacher: The network.
        micrographs: Labelled and unlabelled pictures.
        reading: How to predict.
        number: Of the round, from 1.
        folder: Where the labels lie, mapped into memory.
    """
    params = reading.params
    thresholds = threshold_plan(params).of_round(number)
    caps = Caps(params.positive_cap, params.negative_cap)
    folder.mkdir(parents=True, exist_ok=True)
    labels, counts = {}, dict.fromkeys(("human", "positive", "negative", "ignored"), 0)
    for scene in micrographs.taught:
        probability = probabilities(reading.logits(teacher, scene_picture(scene)))
        found = combine(probability, whole_target(scene, micrographs.target), thresholds, caps)
        file = folder / f"{scene.record.id}.npy"
        file.unlink(missing_ok=True)  # the round before may still have it mapped
        np.save(file, found.labels.astype(np.float16))
        labels[scene.record.id] = np.load(file, mmap_mode="r")
        for key in counts:
            counts[key] += getattr(found, f"n_{key}")
    return Taught(labels, counts)


def threshold_plan(params: UnetParams) -> ThresholdPlan:
    """The thresholds of all rounds."""
    return ThresholdPlan(
        positive=params.positive_threshold,
        negative=params.negative_threshold,
        decay=params.threshold_decay,
        positive_floor=params.positive_floor,
        negative_ceiling=params.negative_ceiling,
    )


def round_record(
    number: int, starts: Sequence[int], history: Sequence[EpochMetrics], taught: Taught | None
) -> dict[str, Any]:
    """What came of a phase: plain data.

    Args:
        number: Of the phase; 0 is the supervised one.
        starts: First epoch, 0-based, of each phase.
        history: Of all epochs so far; at least one of the phase.
        taught: The round's labels.
    """
    ends = [*starts[1:], len(history)]
    before, own = history[: starts[number]], history[starts[number] : ends[number]]
    best, earlier = best_epoch(own), best_epoch(before)
    assert best is not None
    better = earlier is None or standing(best.values) > standing(earlier.values)
    return {
        "round": number,
        "epochs": [own[0].epoch, own[-1].epoch],
        "best_epoch": best.epoch,
        "promoted": better,
        "pixels": dict(taught.counts) if taught is not None else {},
        "metrics": dict(best.values),
    }
