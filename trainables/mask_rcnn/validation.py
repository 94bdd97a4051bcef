"""Measuring networks on a split: predictions, and losses without learning from them."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from trainables.contract import Instances
from trainables.loop.instances import Measured
from trainables.mask_rcnn.data import MeasuredSplit, NetworkInput
from trainables.mask_rcnn.framework import EventStorage
from trainables.mask_rcnn.fusion import Fusion
from trainables.mask_rcnn.inference import find_instances
from trainables.metrics import GROUPS, Evaluation, evaluate_groups

_LOSS_SEED = 0
"""Detectron2 draws the regions that its losses are taken of; always the same ones here."""


def measure(
    networks: Mapping[str, Any],
    split: MeasuredSplit,
    fusion: Fusion,
    *,
    confidences: Mapping[str, float] | None = None,
    losses: bool = True,
) -> Measured:
    """Predict a split, compare with the truth, and take Detectron2's losses.

    Args:
        networks: By backbone; they are left in evaluation mode.
        split: What to measure on.
        fusion: Of the networks' instances.
        confidences: Metrics of the validation split, to take P, R and F1 at its confidences.
        losses: Whether to compute the losses, too.

    Raises:
        FloatingPointError: A network's regions are no longer finite.
    """
    split.load()
    start = time.perf_counter()
    means = _losses(networks, split) if losses else {}
    predictions: list[Instances] = []
    for batch in split.batches():
        found = {name: find_instances(net, batch) for name, net in networks.items()}
        by_image = zip(*found.values(), strict=True)
        predictions += [fusion(dict(zip(found, one, strict=True))) for one in by_image]
    evaluations: Mapping[str, Evaluation] = {}
    if all(torch.isfinite(torch.tensor(list(means.values())))):  # else the trial has diverged
        evaluations = evaluate_groups(
            predictions,
            split.truths,
            split.data.classes,
            groups=tuple(GROUPS),
            confidences=confidences,
            max_detections=fusion.max_det,
        )
    return Measured(evaluations, means, time.perf_counter() - start)


@torch.no_grad()
def _losses(networks: Mapping[str, Any], split: MeasuredSplit) -> dict[str, float]:
    sums: dict[str, float] = {}
    for net in networks.values():
        with _learning_nothing(net), EventStorage():
            for batch in split.batches():
                for name, value in _batch_losses(net, batch).items():
                    sums[name] = sums.get(name, 0.0) + value
    count = split.n_images * len(networks)
    return {name: value / count for name, value in sums.items()}


def _batch_losses(net: Any, batch: Sequence[NetworkInput]) -> dict[str, float]:
    return {name: float(value) * len(batch) for name, value in net(list(batch)).items()}


@contextlib.contextmanager
def _learning_nothing(net: Any) -> Iterator[None]:
    """Let a network give its losses, as in training, but keep norms and random numbers.

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
