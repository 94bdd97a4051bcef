"""Optimizers with groups by the part of the network, and what they will really train with."""

from typing import Any, Final

import torch
from torch import nn

from trainables.engines.detector.network.build import backbone_prefix
from trainables.engines.detector.params import DetectorParams

_BACKBONE, _REST = "backbone", "rest"

_SPARED: Final = "spared"

_KINDS: Final = {torch.optim.SGD: "sgd", torch.optim.Adam: "adam", torch.optim.AdamW: "adamw"}


def build_optimizer(net: nn.Module, params: DetectorParams) -> torch.optim.Optimizer:
    """An optimizer over everything in `net` that is trained.

    Groups have a `part`, backbone or rest, say whether they are `spared` the weight decay, and know
    their `initial_lr`: multiplied by the same factor, rates keep their ratio under every schedule.
    """
    groups = _groups(net, params)
    rate = params.rate
    match params.optimizer:
        case "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(
                groups,
                lr=rate,
                momentum=params.momentum,
                nesterov=params.nesterov and params.momentum > 0,
            )
        case "adam":
            optimizer = torch.optim.Adam(groups, lr=rate)
        case "adamw":
            optimizer = torch.optim.AdamW(groups, lr=rate)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def _groups(net: nn.Module, params: DetectorParams) -> list[dict[str, Any]]:
    prefix = backbone_prefix(params.architecture)
    found: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, weight in net.named_parameters():
        if weight.requires_grad:
            part = _BACKBONE if name.startswith(prefix) else _REST
            spared = weight.ndim <= 1 and not params.norm_decay
            found.setdefault((part, spared), []).append(weight)
    ratios = {_BACKBONE: params.backbone_lr_ratio, _REST: 1.0}
    return [
        {
            "params": weights,
            "part": part,
            _SPARED: spared,
            "lr": params.rate * ratios[part],
            "weight_decay": 0.0 if spared else params.weight_decay,
        }
        for (part, spared), weights in found.items()
    ]


def optimizer_values(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The hyperparameters read back from what was built, by their names.

    Where groups differ in what they should have in common, the value is the set of all.
    """
    groups = optimizer.param_groups
    rates = {g["part"]: g["initial_lr"] for g in groups}
    rate = rates.get(_REST, 0.0)
    values = {
        "learning_rate": {g["initial_lr"] for g in groups if g["part"] == _REST},
        "backbone_lr_ratio": {g["initial_lr"] / rate for g in groups if g["part"] == _BACKBONE},
        "weight_decay": {g["weight_decay"] for g in groups if not g[_SPARED]},
        "norm_decay": {_decayed(g) for g in groups if any(w.ndim <= 1 for w in g["params"])},
        "momentum": {g["momentum"] for g in groups if "momentum" in g},
        "nesterov": {g["nesterov"] for g in groups if "nesterov" in g},
    }
    read = {key: found.pop() if len(found) == 1 else found for key, found in values.items()}
    return {"optimizer": _KINDS.get(type(optimizer), str(type(optimizer))), **read}


def _decayed(group: dict[str, Any]) -> bool:
    return bool(group["weight_decay"] > 0)
