"""What will really be trained with: read back from what was built.

Each value comes from the network's layers, the optimizer, the schedule, the loss or the sampler,
not from the arguments they were made from.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from trainables.loop.asked import require_built
from trainables.loop.optimizers import optimizer_values
from trainables.unet_selftraining.data import AUGMENTATIONS, Lessons
from trainables.unet_selftraining.network import UNet
from trainables.unet_selftraining.params import UnetParams
from trainables.unet_selftraining.trainer import UnetRun

_NORMS = {
    nn.BatchNorm2d: "batch",
    nn.GroupNorm: "group",
    nn.InstanceNorm2d: "instance",
    nn.Identity: "none",
}


def check_effective(
    run: UnetRun, lessons: Lessons, params: UnetParams, ignored: Mapping[str, str]
) -> None:
    """Compare what was built with what was asked for, defaults included.

    Args:
        run: Built, not yet trained.
        lessons: Of the supervised phase.
        params: What was asked for.
        ignored: Keys that are known to have no effect.

    Raises:
        IneffectiveParam: Some value differs; the message names every such key.
    """
    built = effective_values(run, lessons)
    wanted = params.model_dump()
    asked = {key: wanted[key] for key in built if key not in ignored}
    require_built(asked, built, "The U-Net")


def effective_values(run: UnetRun, lessons: Lessons) -> dict[str, Any]:
    """The values that can be read back, by hyperparameter."""
    augmentations = [key for key, value in AUGMENTATIONS.items() if value == lessons.augmentation]
    sampler, schedule, loss = lessons.sampler, run.schedule, run.loss
    return {
        **optimizer_values(run.optimizer),
        **_network_values(run.network),
        "scheduler": schedule.kind,
        "warmup_epochs": schedule.warmup_epochs,
        "step_size": schedule.step_size,
        "gamma": schedule.gamma,
        "poly_power": schedule.poly_power,
        "loss": loss.name,
        "focal_alpha": loss.alpha,
        "focal_gamma": loss.gamma,
        "focal_weight": loss.focal_weight,
        "pos_weight": loss.pos_weight,
        "tversky_fp": loss.tversky_fp,
        "tversky_fn": loss.tversky_fn,
        "batch_size": lessons.batch_size,
        "tile_px": sampler.size,
        "near_fraction": sampler.near_fraction,
        "target": sampler.target.kind,
        "target_scale": sampler.target.scale,
        "background": "negative" if lessons.ring is None else "ring",
        "augment": augmentations[0] if augmentations else None,
        "ema_decay": 0.0 if run.average is None else run.average.decay,
        "amp": run.scaler.is_enabled(),
    }


def _network_values(network: nn.Module) -> dict[str, Any]:
    """Of our own U-Net; another encoder has its form from its package."""
    if not isinstance(network, UNet):
        return {}
    first = network.down[0]
    assert isinstance(first, nn.Sequential)
    convolution, norm = first[0], first[1]
    return {
        "encoder": "unet",
        "depth": len(network.down) - 1,
        "width": convolution.out_channels,
        "norm": _NORMS.get(type(norm), type(norm).__name__),
        "dropout": network.dropout.p,
        "attention": len(network.gates) > 0,
    }
