"""Hyperparameters that will really be trained with, read back from what was built.

Each value comes from the network's layers, the optimizer, the schedule, the loss or the sampler,
not from the arguments they were made from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import nn

from trainables.engines.unet_selftraining.data import AUGMENTATIONS, Lessons
from trainables.engines.unet_selftraining.network.encoders import PLAIN
from trainables.engines.unet_selftraining.network.losses import SegmentationLoss
from trainables.engines.unet_selftraining.network.network import EncoderUNet, UNet
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import MapReading
from trainables.engines.unet_selftraining.rounds.plan import phase_starts
from trainables.engines.unet_selftraining.rounds.rounds import Teaching
from trainables.engines.unet_selftraining.run import UnetRun
from trainables.loop.asked import require_built
from trainables.loop.optimizers import optimizer_values
from trainables.loop.schedule import EpochSchedule

_NORMS: Final[Mapping[Any, str]] = {
    (nn.BatchNorm2d, nn.SyncBatchNorm): "batch",
    nn.GroupNorm: "group",
    nn.InstanceNorm2d: "instance",
    nn.Identity: "none",
}

UNCHECKED: Final = frozenset({"weights", "download", "early_stopping_patience"})
"""Keys from which nothing is built: a file that must fit, a permission to fetch, and an end."""

_LEFT_OPEN: Final = ("label_smoothing", "milestones", "tiles", "workers")
"""Keys whose None asks for what suits the others."""


@dataclass(frozen=True)
class Built:
    """Parts that a training is built of.

    Attributes:
        run: Network and optimizer, not yet trained.
        lessons: Batches of the supervised phase.
        teaching: Rules by which the rounds' labels are made.
        starts: First epoch, 0-based, of each phase.
        reading: Rules from the network's output to particles, in measuring and teaching.
    """

    run: UnetRun
    lessons: Lessons
    teaching: Teaching
    starts: tuple[int, ...]
    reading: MapReading


def check_effective(built: Built, params: UnetParams, ignored: Mapping[str, str]) -> None:
    """Compare a built training with the hyperparameters asked for, defaults included.

    Args:
        built: Parts of the training.
        params: Hyperparameters asked for.
        ignored: Keys that are known to have no effect, with the reason.

    Raises:
        IneffectiveParam: Some value differs; the message names every such key.
    """
    wanted = params.model_dump()
    values = {
        **effective_values(built),
        "supervised_fraction": _supervised_fraction(built, params),
    }
    left = {key for key in _LEFT_OPEN if wanted[key] is None}
    asked = {key: wanted[key] for key in values if key not in left and key not in ignored}
    require_built(asked, values, "The U-Net")


def effective_values(built: Built) -> dict[str, Any]:
    """Read the values back that can be, by hyperparameter."""
    run = built.run
    return {
        **optimizer_values(run.optimizer),
        **_network_values(run.network),
        **_schedule_values(run.schedule),
        **_loss_values(run.loss),
        **_lesson_values(built.lessons),
        **_round_values(built),
        **_reading_values(built.reading),
        "batch_multiplier": run.batch_multiplier,
        "ema_decay": 0.0 if run.average is None else run.average.decay,
        "amp": run.scaler.is_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "workers": run.workers,
    }


def _schedule_values(schedule: EpochSchedule) -> dict[str, Any]:
    return {
        "scheduler": schedule.kind,
        "warmup_epochs": schedule.warmup_epochs,
        "step_size": schedule.step_size,
        "milestones": schedule.milestones,
        "gamma": schedule.gamma,
        "poly_power": schedule.poly_power,
    }


def _loss_values(loss: SegmentationLoss) -> dict[str, Any]:
    return {
        "loss": loss.name,
        "label_smoothing": loss.smoothing,
        "focal_alpha": loss.alpha,
        "focal_gamma": loss.gamma,
        "focal_weight": loss.focal_weight,
        "pos_weight": loss.pos_weight,
        "tversky_fp": loss.tversky_fp,
        "tversky_fn": loss.tversky_fn,
    }


def _lesson_values(lessons: Lessons) -> dict[str, Any]:
    augmentations = [key for key, value in AUGMENTATIONS.items() if value == lessons.augmentation]
    sampler, ring = lessons.sampler, lessons.ring
    return {
        "batch_size": lessons.batch_size,
        "tile_px": sampler.size,
        "tiles": sampler.n_tiles,
        "near_fraction": sampler.near_fraction,
        "target": sampler.target.kind,
        "target_scale": sampler.target.scale,
        "background": "negative" if ring is None else "ring",
        **({} if ring is None else {"ring_scale": ring.scale}),
        "augment": augmentations[0] if augmentations else None,
    }


def _round_values(built: Built) -> dict[str, Any]:
    plan, caps = built.teaching.plan, built.teaching.caps
    return {
        "rounds": len(built.starts) - 1,
        "positive_threshold": plan.positive,
        "negative_threshold": plan.negative,
        "threshold_decay": plan.decay,
        "positive_floor": plan.positive_floor,
        "negative_ceiling": plan.negative_ceiling,
        "positive_cap": caps.positive_fraction,
        "negative_cap": caps.negative_fraction,
        "calibrate": built.teaching.calibrated,
    }


def _reading_values(reading: MapReading) -> dict[str, Any]:
    return {
        "flip_average": len(reading.flips) > 1,
        "min_distance": reading.min_distance_px / reading.radius_px,
        "match_radius": reading.params.match_radius,
    }


def _supervised_fraction(built: Built, params: UnetParams) -> float:
    """Fraction asked for, if the phases begin where it says; epochs are too coarse to tell more."""
    epochs = built.run.schedule.epochs
    wanted = params.supervised_fraction
    if built.starts == phase_starts(epochs, len(built.starts) - 1, wanted):
        return wanted
    return (*built.starts, epochs)[1] / epochs


def _network_values(network: nn.Module) -> dict[str, Any]:
    layers: Any
    if isinstance(network, UNet):
        layers = network.down[0]
        own = {"encoder": PLAIN, "depth": len(network.down) - 1}
        attention = len(network.gates) > 0
    else:
        assert isinstance(network, EncoderUNet)
        encoder, decoder = cast(Any, network.encoder), cast(Any, network.decoder)
        layers = decoder.blocks[-1].conv1
        own = {"encoder": network.name, "depth": len(encoder.out_channels) - 1}
        attention = False
    convolution, norm = layers[0], layers[1]
    return {
        **own,
        "width": convolution.out_channels,
        "norm": next(name for kind, name in _NORMS.items() if isinstance(norm, kind)),
        "dropout": network.dropout.p,
        "attention": attention,
    }
