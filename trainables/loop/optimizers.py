"""Optimizers from hyperparameters, and what they will really train with."""

from typing import Any, Final

import torch
from torch import nn

from search_spaces.training import LoopParams

WEIGHTS: Final = "weights"

SPARED: Final = "norms and biases"


def build_optimizer(
    model: nn.Module, params: LoopParams, *, spare_norms: bool = False
) -> torch.optim.Optimizer:
    """An optimizer over everything in `model` that is trained.

    Each parameter group has a `name` and its `initial_lr`.

    Args:
        model: On the device on which it trains.
        params: Optimizer, learning rate, weight decay and momentum.
        spare_norms: Whether norms and biases are kept from the weight decay, in a group of theirs.
    """
    groups = _groups(model, params.weight_decay, spare_norms)
    rate = params.learning_rate
    match params.optimizer:
        case "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(
                groups, lr=rate, momentum=params.momentum
            )
        case "adam":
            optimizer = torch.optim.Adam(groups, lr=rate)
        case "adamw":
            optimizer = torch.optim.AdamW(groups, lr=rate)
    for group in optimizer.param_groups:
        group["initial_lr"] = rate
    return optimizer


def _groups(model: nn.Module, weight_decay: float, spare_norms: bool) -> list[dict[str, Any]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    spared = [p for p in trained if spare_norms and p.ndim <= 1]
    decayed = [p for p in trained if not (spare_norms and p.ndim <= 1)]
    groups = [
        {"name": WEIGHTS, "params": decayed, "weight_decay": weight_decay},
        {"name": SPARED, "params": spared, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Let every group train at `factor` times its initial rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def optimizer_values(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The hyperparameters read back from what was built, by their names in `LoopParams`.

    Raises:
        ValueError: Groups differ in what all of them have in common.
    """
    decayed = [g for g in optimizer.param_groups if g["name"] != SPARED]
    values = {
        "learning_rate": {group["initial_lr"] for group in optimizer.param_groups},
        "weight_decay": {group["weight_decay"] for group in decayed},
        "momentum": {group["momentum"] for group in decayed if "momentum" in group},
    }
    different = {key: found for key, found in values.items() if len(found) > 1}
    if different:
        raise ValueError(f"expected one value in all parameter groups, got {different}")
    read = {key: found.pop() for key, found in values.items() if found}
    return {"optimizer": type(optimizer).__name__.lower(), **read}
