"""Measuring a network on whole micrographs: pixels, particles and the loss."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from trainables.datasets.views.grey import GreyPicture
from trainables.datasets.views.tiles import Target
from trainables.engines.unet_selftraining.data import whole_target
from trainables.engines.unet_selftraining.network.losses import SegmentationLoss
from trainables.engines.unet_selftraining.picking.maps import (
    MapReading,
    probabilities,
    scene_picture,
)
from trainables.metrics.particles import ParticleMetrics, evaluate_particles
from trainables.metrics.pixels import PixelCounts
from trainables.results import Picks

_OBJECTS = Target("mask")
"""Target that pixels are compared with, whatever is learned: so that trials can be compared."""


@dataclass(frozen=True)
class MeasuredMicrographs:
    """Performance of a network on some micrographs.

    Attributes:
        particles: Metrics of the picks against the particles.
        pixels: Counts of the probabilities against the particles' pixels; None of boxes, as nobody
            knows which pixels are theirs.
        loss: Mean loss of the micrographs, everything unmarked counting as background.
        seconds: Time that measuring took.
        picks: Picks in each micrograph.
    """

    particles: ParticleMetrics
    pixels: PixelCounts | None
    loss: float
    seconds: float
    picks: Sequence[Picks]

    def metrics(self, split_prefix: str = "") -> dict[str, float]:
        """Metrics under the agreed keys."""
        pixels = {} if self.pixels is None else self.pixels.as_metrics(split_prefix)
        return {**self.particles.as_metrics(split_prefix), **pixels}


def measure(
    network: nn.Module,
    scenes: Sequence[GreyPicture],
    reading: MapReading,
    loss: SegmentationLoss,
    target: Target,
    *,
    confidence: float | None = None,
) -> MeasuredMicrographs:
    """Predict labelled micrographs, and compare them with the truth.

    Args:
        network: Network, which is left in evaluation mode.
        scenes: Micrographs to measure on.
        reading: Rules from logits to picks.
        loss: Loss of the training.
        target: Form of the map that is learned.
        confidence: Confidence of the validation part, at which precision and recall are taken; None
            to find the best one.

    Raises:
        FloatingPointError: The network's output or the loss is not finite.
    """
    start = time.perf_counter()
    pixels, picks, losses = PixelCounts(), [], []
    known = not any(scene.boxes for scene in scenes)
    for scene in scenes:
        logits = reading.logits(network, scene_picture(scene))
        if not np.isfinite(logits).all():
            raise FloatingPointError("the network's output is not finite")
        probability = probabilities(logits)
        if known:
            pixels.add(probability, whole_target(scene, _OBJECTS))
        picks.append(reading.picks(probability))
        truth = torch.from_numpy(whole_target(scene, target))
        losses.append(float(loss(torch.from_numpy(logits), truth)))
    if not np.isfinite(losses).all():
        raise FloatingPointError("the validation loss is not finite")
    radii = [reading.params.match_radius * _radius(scene, reading.radius_px) for scene in scenes]
    found = evaluate_particles(
        picks, [scene.centers for scene in scenes], radii, confidence=confidence
    )
    seconds = time.perf_counter() - start
    counts = pixels if known else None
    return MeasuredMicrographs(found, counts, float(np.mean(losses)), seconds, picks)


def _radius(scene: GreyPicture, default: float) -> float:
    """Median radius of the particles of a micrograph, in pixels."""
    return float(np.median(scene.radii)) if len(scene.radii) else default
