"""Measuring a network on a split: predictions and losses from one forward pass."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from trainables.engines.yolo_seg.data import MeasuredBatches, frames
from trainables.engines.yolo_seg.inference import (
    Detection,
    as_input,
    find_instances,
    finding_network,
)
from trainables.loop.instances import SplitEvaluation, TimedItems
from trainables.metrics.instances import Evaluation, evaluate_groups
from trainables.metrics.names import GROUPS
from trainables.results import Instances


def measure(
    net: torch.nn.Module,
    split: MeasuredBatches,
    classes: tuple[str, ...],
    detection: Detection,
    *,
    confidences: Mapping[str, float] | None = None,
    losses: bool = True,
) -> SplitEvaluation:
    """Predict a split, compare it with the truth, and take Ultralytics' losses on the way.

    Args:
        net: Network of the -seg kind; it is left in evaluation mode.
        split: Images to measure on.
        classes: Class names in order.
        detection: Limits on what is reported as found.
        confidences: Metrics of the validation part, at whose confidences P, R and F1 are taken;
            None to find the best ones.
        losses: Whether the losses are computed, too.
    """
    split.load()
    start = time.perf_counter()
    reading = TimedItems(split.batches())
    predictions, sums = _predict(net, reading, len(classes), detection, losses)
    means = {name: float(value) / split.n_images for name, value in sums.items()}
    evaluations: Mapping[str, Evaluation] = {}
    if all(torch.isfinite(torch.tensor(list(means.values())))):  # else the trial has diverged
        evaluations = evaluate_groups(
            predictions,
            split.truths,
            classes,
            groups=tuple(GROUPS),
            confidences=confidences,
            max_detections=detection.max_det,
        )
    seconds = time.perf_counter() - start - reading.seconds
    return SplitEvaluation(evaluations, means, seconds, predictions)


@torch.no_grad()
def _predict(
    net: torch.nn.Module,
    batches: Iterable[dict[str, Any]],
    n_classes: int,
    detection: Detection,
    losses: bool,
) -> tuple[list[Instances], dict[str, torch.Tensor]]:
    net = finding_network(net)
    device = next(net.parameters()).device
    predictions: list[Instances] = []
    sums: dict[str, torch.Tensor] = {}
    for stored in batches:
        batch = _to_device(stored, device)
        output = net(batch["img"])
        n = len(batch["img"])
        if losses:
            found: dict[str, torch.Tensor] = net.loss(batch, output)[1]  # type: ignore[operator]
            sums = {name: sums.get(name, 0) + n * value for name, value in found.items()}
        predictions += find_instances(output, frames(stored), n_classes, detection)
    return predictions, sums


def _to_device(stored: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    batch = {
        key: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for key, value in stored.items()
    }
    batch["img"] = as_input(batch["img"])
    return batch
