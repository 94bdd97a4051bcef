"""Checkpoints: a folder from which a training goes on exactly where it was, and its model.

::

    model.pt       the better of the raw and the averaged weights, and all that is needed to predict
    state.pt       the rest of the training: raw weights, average, optimizer, scaler
    history.json   the metrics of every epoch so far, written last

All are plain data: `torch.load(weights_only=True)` reads them, so no code can hide in a model.
The schedule and the random numbers follow from the epoch (`run.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.engines.detector.network.weights import ENGINE, FORMAT
from trainables.engines.detector.run import DetectorRun
from trainables.loop.checkpoint import STATE_FILE, read_content, read_plain


@dataclass(frozen=True)
class SavedDetector:
    """Contents of `model.pt`, with which a trained detector predicts.

    Attributes:
        weights: Weights of the network.
        source: Which they are: "raw", or "averaged".
        anchors: `Anchors.plain` of the network, or None for torchvision's own.
        classes: Class names in order.
        confidence: Score at which the box F1 was best on validation.
        epoch: Epoch that the weights are from, 1-based.
        params: Every hyperparameter, defaults included.
        format: Version of this file's form.
        engine: Name of the engine that wrote it.
    """

    weights: Mapping[str, torch.Tensor]
    source: str
    anchors: Mapping[str, Any] | None
    classes: list[str]
    confidence: float
    epoch: int
    params: Mapping[str, Any]
    format: int = FORMAT
    engine: str = ENGINE


def read_model(path: Path) -> SavedDetector:
    """Read the model of a checkpoint folder, or a model file.

    Raises:
        InfeasibleParams: There is none, or it is not of this engine.
    """
    return SavedDetector(**read_content(path, ENGINE, FORMAT))


def training_state(run: DetectorRun, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Collect a training's state after an epoch, and what else to remember."""
    return {
        "weights": run.net.state_dict(),
        "average": None if run.average is None else run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "extra": dict(extra),
    }


def restore(run: DetectorRun, folder: Path) -> dict[str, Any]:
    """Bring a freshly built training to where a checkpoint was.

    Returns:
        The `extra` that was given to `training_state`.
    """
    state = read_plain(folder / STATE_FILE, run.device, ENGINE)
    run.net.load_state_dict(state["weights"])
    if run.average is not None:
        run.average.load_state_dict(state["average"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.scaler.load_state_dict(state["scaler"])
    extra: dict[str, Any] = state["extra"]
    return extra
