"""Checkpoints: a folder from which a training goes on exactly where it was, and its model.

::

    model.pt       the measured network's weights and all that is needed to predict
    state.pt       the rest: raw weights, optimizer, scaler, the best weights, the round's teacher
    rounds/        figure and numbers of the phases so far
    history.json   the metrics of every epoch so far, written last

All are plain data: `torch.load(weights_only=True)` reads them, so no code can hide in a model.
Pseudo-labels are not kept: they are made again from their teacher. The schedule and the random
numbers follow from the epoch.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainables.contract import EpochMetrics
from trainables.engines.unet_selftraining.run import UnetRun, Weights
from trainables.loop.checkpoint import STATE_FILE, read_content, read_plain, write_checkpoint
from trainables.trials.layout import MODEL_FILE

ROUNDS_FOLDER: Final = "rounds"

FORMAT: Final = 1

ENGINE_NAME: Final = "unet_selftraining"


@dataclass(frozen=True)
class SavedUnet:
    """Contents of `model.pt`, with which a trained U-Net predicts.

    Attributes:
        weights: Weights of the network as measured: its average where there is one.
        classes: Class names in order.
        category: Class of all picks, 0-based.
        radius_px: Radius of a particle.
        confidence: Confidence at which the particle F1 was best on validation.
        epoch: Epoch that the weights are from, 1-based.
        params: Every hyperparameter, defaults included.
        um_per_px: Median side of a pixel of the training pictures; None where nobody said it.
        format: Version of this file's form.
        engine: Name of the engine that wrote it.
    """

    weights: Weights
    classes: list[str]
    category: int
    radius_px: float
    confidence: float
    epoch: int
    params: Mapping[str, Any]
    um_per_px: float | None = None
    format: int = FORMAT
    engine: str = ENGINE_NAME


@dataclass
class Memory:
    """Memory of a training besides its networks.

    Attributes:
        best: Weights of the best epoch so far; empty before the first one.
        teacher: Weights that made the labels of the running round; empty in the supervised phase.
        phase_best: Weights of the best epoch of the running phase; empty where they are `best`.
        finds: Finds of the best epoch that are drawn, as plain data (`trainables.loop.finds`);
            empty where an earlier segtune wrote the checkpoint.
    """

    best: Weights
    teacher: Weights
    phase_best: Weights = field(default_factory=dict)
    finds: Mapping[str, Any] = field(default_factory=dict)


def read_model(path: Path) -> SavedUnet:
    """Read the model of a checkpoint folder, or a model file.

    Raises:
        InfeasibleParams: There is none, or it is not of this engine.
    """
    return SavedUnet(**read_content(path, ENGINE_NAME, FORMAT))


def save_checkpoint(
    run: UnetRun,
    model: SavedUnet,
    memory: Memory,
    history: Sequence[EpochMetrics],
    directory: Path,
) -> Path:
    """Write the training's folder after an epoch, in place of the one before.

    A kill at any time leaves the old one or the new one whole (`trainables.loop.checkpoint`).

    Args:
        run: Training after its epoch.
        model: Model to predict with.
        memory: Weights to remember beside it.
        history: Metrics of all epochs so far.
        directory: Folder of the attempt.
    """
    averaged = run.average is not None
    state = {
        "weights": run.network.state_dict() if averaged else {},
        "average_steps": run.average.steps if run.average is not None else 0,
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "memory": dict(vars(memory)),
    }
    rounds = directory / ROUNDS_FOLDER
    folders = [rounds] if rounds.is_dir() else []
    return write_checkpoint(directory, vars(model), state, history, folders)


def restore(run: UnetRun, folder: Path, directory: Path) -> Memory:
    """Bring a freshly built training to where a checkpoint was.

    Args:
        run: Training to bring there.
        folder: Folder of the checkpoint.
        directory: Folder of the new attempt, which receives the phases so far.
    """
    state = read_plain(folder / STATE_FILE, run.device, ENGINE_NAME)
    measured = read_plain(folder / MODEL_FILE, run.device, ENGINE_NAME)["weights"]
    if run.average is None:
        run.network.load_state_dict(measured)
    else:
        run.network.load_state_dict(state["weights"])
        run.average.load_state_dict({"weights": measured, "steps": state["average_steps"]})
    run.optimizer.load_state_dict(state["optimizer"])
    run.scaler.load_state_dict(state["scaler"])
    if (folder / ROUNDS_FOLDER).is_dir():
        shutil.copytree(folder / ROUNDS_FOLDER, directory / ROUNDS_FOLDER, dirs_exist_ok=True)
    return Memory(**state["memory"])
