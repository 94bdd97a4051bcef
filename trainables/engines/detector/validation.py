"""Measuring networks on a split, and which of two sets of weights is the better one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from trainables.engines.detector.data import MeasuredPictures
from trainables.engines.detector.inference import find_objects
from trainables.engines.detector.params import DetectorParams
from trainables.goal import Goal
from trainables.loop.instances import SplitEvaluation, TimedItems
from trainables.metrics.instances import evaluate_groups

GROUPS = ("box_metrics",)


@dataclass(frozen=True)
class Measured:
    """Weights with what was measured of them.

    Attributes:
        source: Name of the weights: raw, or averaged.
        evaluation: Their evaluation.
    """

    source: str
    evaluation: SplitEvaluation


def measure(
    net: nn.Module,
    split: MeasuredPictures,
    params: DetectorParams,
    device: torch.device,
    confidences: Mapping[str, float] | None = None,
) -> SplitEvaluation:
    """Predict a split and compare it with the truth; there are no losses, which are of samples.

    Args:
        net: The network; it is left in evaluation mode.
        split: Pictures to measure on.
        params: Hyperparameters.
        device: Device of the network.
        confidences: Metrics of the validation part, at whose confidence P, R and F1 are taken; None
            to find the best one.
    """
    split.load()
    start = time.perf_counter()
    reading = TimedItems(split)
    first = params.architecture.first_label
    found = [find_objects(net, pixels, first, device) for pixels in reading]
    evaluations = evaluate_groups(
        found,
        split.truths,
        split.data.classes,
        groups=GROUPS,
        confidences=confidences,
        max_detections=params.max_det,
    )
    seconds = time.perf_counter() - start - reading.seconds
    return SplitEvaluation(evaluations, {}, seconds, found)


def better_of(found: Mapping[str, SplitEvaluation], goal: Goal) -> Measured:
    """The better weights by the goal, with the F1 of all among the values that are reported.

    Of equals the last one, the averaged weights, counts: an average varies less.

    Args:
        found: Evaluations by the name of the weights.
        goal: The aim of the study.
    """
    last_first = reversed(list(found))
    source = max(last_first, key=lambda name: goal.standing(found[name].metrics()))
    best = found[source]
    values = {f"F1_{name}": result.evaluations["box_metrics"].f1 for name, result in found.items()}
    values["averaged"] = float(source == "averaged")
    seconds = sum(result.seconds for result in found.values())
    return Measured(source, SplitEvaluation(best.evaluations, values, seconds, best.predictions))
