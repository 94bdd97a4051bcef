"""Measuring networks on a split: predictions, and losses without learning from them."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from trainables.engines.mask_rcnn.data import MeasuredPictures, NetworkInput
from trainables.engines.mask_rcnn.inference import find_instances
from trainables.engines.mask_rcnn.network.framework import EventStorage
from trainables.engines.mask_rcnn.network.fusion import Fusion
from trainables.loop.instances import SplitEvaluation, TimedItems
from trainables.metrics.instances import Evaluation, evaluate_groups
from trainables.metrics.names import GROUPS
from trainables.results import Instances

_LOSS_SEED = 0
"""Seed of the regions that Detectron2 draws for its losses: always the same ones of an image."""


def measure(
    networks: Mapping[str, Any],
    split: MeasuredPictures,
    fusion: Fusion,
    *,
    confidences: Mapping[str, float] | None = None,
    losses: bool = True,
) -> SplitEvaluation:
    """Predict a split, compare it with the truth, and take Detectron2's losses.

    Every image is measured alone, as the predictor sees it: no value depends on the order of the
    images or on `ims_per_batch`.

    Args:
        networks: Networks by backbone; they are left in evaluation mode.
        split: Pictures to measure on; for the losses, with their objects.
        fusion: Rule by which the networks' instances are fused.
        confidences: Metrics of the validation part, at whose confidences P, R and F1 are taken;
            None to find the best ones.
        losses: Whether the losses are computed, too.

    Raises:
        FloatingPointError: A network's regions are no longer finite.
    """
    split.load()
    start = time.perf_counter()
    predictions: list[Instances] = []
    sums: dict[str, float] = {}
    reading = TimedItems(split)
    for item in reading:
        for net in networks.values() if losses else ():
            _add_losses(net, item, sums)
        predictions.append(find_instances(networks, fusion, item))
    means = {name: value / (split.n_images * len(networks)) for name, value in sums.items()}
    evaluations: Mapping[str, Evaluation] = {}
    if all(map(math.isfinite, means.values())):  # else the trial has diverged
        evaluations = evaluate_groups(
            predictions,
            split.truths,
            split.data.classes,
            groups=tuple(GROUPS),
            confidences=confidences,
            max_detections=fusion.max_det,
        )
    seconds = time.perf_counter() - start - reading.seconds
    return SplitEvaluation(evaluations, means, seconds, predictions)


@torch.no_grad()
def _add_losses(net: Any, item: NetworkInput, sums: dict[str, float]) -> None:
    with _learning_nothing(net), EventStorage():
        for name, value in net([item]).items():
            sums[name] = sums.get(name, 0.0) + float(value)


@contextlib.contextmanager
def _learning_nothing(net: Any) -> Iterator[None]:
    """Let a network give its losses as in training, while it keeps norms and random numbers.

    Batch norms in training would take in the validation images' statistics.
    """
    cuda = [net.device] if net.device.type == "cuda" else []
    net.train()
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(_LOSS_SEED)
        yield
    net.eval()
