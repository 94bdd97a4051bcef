"""Checkpoints: a folder from which a training goes on exactly where it was, and its model.

::

    model.pt       the measured networks' weights and all that is needed to predict
    state.pt       the rest of the training: raw weights, averages, optimizers, scalers
    history.json   the metrics of every epoch so far, written last

All are plain data: `torch.load(weights_only=True)` reads them, so no code can hide in a model.
The schedule and the random numbers follow from the epoch (`run.py`, `schedule.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.contract import InfeasibleParams
from trainables.engines.mask_rcnn.run import MaskRcnnRun, MemberNetwork
from trainables.loop.checkpoint import STATE_FILE, read_content, read_plain
from trainables.trials.layout import MODEL_FILE

FORMAT = 1


@dataclass(frozen=True)
class SavedMaskRcnn:
    """Contents of `model.pt`, with which a trained Mask R-CNN predicts.

    Attributes:
        weights: Weights of each network as measured, by backbone: averages where there are some.
        configs: Detectron2's configuration of each network, YAML.
        classes: Class names in order.
        confidence: Score at which the mask F1 was best on validation.
        epoch: Epoch that the weights are from, 1-based.
        params: Every hyperparameter, defaults included.
        format: Version of this file's form.
        engine: Name of the engine that wrote it.
    """

    weights: Mapping[str, Mapping[str, torch.Tensor]]
    configs: Mapping[str, str]
    classes: list[str]
    confidence: float
    epoch: int
    params: Mapping[str, Any]
    format: int = FORMAT
    engine: str = "mask_rcnn"


def read_model(path: Path) -> SavedMaskRcnn:
    """Read the model of a checkpoint folder, or a model file.

    Raises:
        InfeasibleParams: There is none, it is not of this engine, or networks are missing in it.
    """
    saved = SavedMaskRcnn(**read_content(path, "mask_rcnn", FORMAT))
    if not saved.weights or saved.weights.keys() != saved.configs.keys():
        raise InfeasibleParams(
            f"{path}: expected the weights and the configuration of each network, got weights of "
            f"{', '.join(saved.weights) or 'none'} and configurations of "
            f"{', '.join(saved.configs) or 'none'}"
        )
    return saved


def training_state(run: MaskRcnnRun, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Collect a training's state after an epoch beside `model.pt`, and what else to remember."""
    members = {name: _state(member) for name, member in run.members.items()}
    return {"members": members, "extra": dict(extra)}


def restore(run: MaskRcnnRun, folder: Path) -> dict[str, Any]:
    """Bring a freshly built training to where a checkpoint was.

    Returns:
        The `extra` that was given to `training_state`.
    """
    state = read_plain(folder / STATE_FILE, run.device, "mask_rcnn")
    measured = read_plain(folder / MODEL_FILE, run.device, "mask_rcnn")["weights"]
    for name, member in run.members.items():
        saved = state["members"][name]
        if member.average is None:
            member.net.load_state_dict(measured[name])
        else:
            member.net.load_state_dict(saved["weights"])
            averaged = {"weights": measured[name], "steps": saved["average_steps"]}
            member.average.load_state_dict(averaged)
        for old, group in zip(
            saved["optimizer"]["param_groups"], member.optimizer.param_groups, strict=True
        ):
            old["fused"] = group.get("fused")  # depends on the device, which may be another now
        member.optimizer.load_state_dict(saved["optimizer"])
        member.scaler.load_state_dict(saved["scaler"])
    extra: dict[str, Any] = state["extra"]
    return extra


def _state(member: MemberNetwork) -> dict[str, Any]:
    """Collect a network's state beside `model.pt`, which has the raw weights without an average."""
    averaged = member.average is not None
    return {
        "weights": member.net.state_dict() if averaged else {},
        "average_steps": member.average.steps if member.average is not None else 0,
        "optimizer": member.optimizer.state_dict(),
        "scaler": member.scaler.state_dict(),
    }
