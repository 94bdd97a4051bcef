"""Learning curves without learning.

The curve is a saturating exponential whose height and speed depend on the hyperparameters, with
seeded noise that depends on the epoch alone, so an interrupted training equals an unbroken one.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from trainables.contract import (
    Device,
    Diverged,
    EarlyStopped,
    Engine,
    EpochMetrics,
    ExportForm,
    InfeasibleParams,
    Trial,
)
from trainables.engines.simulated.params import SimulatedParams
from trainables.metrics.sizes import Measurement
from trainables.results import Instances


def curve(params: SimulatedParams, seed: int, epoch: int) -> float:
    """Simulated F1 after so many epochs, in [0, 1]."""
    if params.behaviour == "flat":
        return 0.0
    if params.behaviour == "slow":
        return min(1.0, 0.3 + 0.002 * epoch)
    distance = (
        abs(math.log10(params.lr0 / 0.003)) / 2
        + abs(params.momentum - 0.9)
        + abs(math.log2(params.batch / 8)) / 16
    )
    height = 0.9 * math.exp(-distance)
    speed = (0.12 if params.optimizer == "AdamW" else 0.06) * math.exp(-distance / 2)
    noise = float(np.random.default_rng([seed, epoch]).normal(0, params.noise))
    return min(1.0, max(0.0, height * (1 - math.exp(-speed * epoch)) + noise))


def errors(params: SimulatedParams, f1: float) -> Mapping[str, float]:
    """Simulated measurement error at an F1; everything is missed at 0.

    Counts are best at batch 64 and sizes with SGD, which F1 is not: one is had at the other's cost.
    """
    counts = _error(f1, min(1.0, 0.1 + 0.3 * abs(math.log2(params.batch / 64))))
    sizes = _error(f1, 0.2 if params.optimizer == "SGD" else 0.8)
    return Measurement(counts, -sizes, min(1.0, 1.2 * sizes)).as_metrics()


def _error(f1: float, roughness: float) -> float:
    return 1 - f1 * (1 - 0.3 * roughness)


class SimulatedEngine:
    """Engine that reports the metrics of a curve; its model holds the epoch it is from."""

    name: ClassVar[str] = "simulated"

    def train(self, trial: Trial) -> None:
        params = SimulatedParams.model_validate(dict(trial.params))
        history: list[dict[str, object]] = []
        if trial.resume_from is not None:
            history = json.loads((trial.resume_from / "history.json").read_text())
        for epoch in range(len(history) + 1, trial.train_to + 1):
            started = time.monotonic()
            _misbehave(params, epoch)
            time.sleep(params.epoch_seconds)
            values = _values(params, trial, epoch, time.monotonic() - started)
            history.append({"epoch": epoch, "values": values})
            checkpoint = _save(trial.directory, epoch, history, trial.data.classes)
            trial.report(EpochMetrics(epoch, values), checkpoint)

    def load(self, model: Path, device: Device) -> "SimulatedPredictor":
        del device
        file = model / "model.pt" if model.is_dir() else model
        return SimulatedPredictor(tuple(json.loads(file.read_text())["classes"]))

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        if form is not ExportForm.NATIVE:
            raise InfeasibleParams(f"the simulated engine has no {form} form; use native")
        to.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(model / "model.pt" if model.is_dir() else model, to / "model.json"))


class SimulatedPredictor:
    """Predictor that finds nothing."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Return an empty result for each image."""
        return [
            Instances(
                np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ()
            )
            for _ in images
        ]


def _misbehave(params: SimulatedParams, epoch: int) -> None:
    if params.behaviour == "nan" and epoch == 3:
        raise Diverged("the training loss is nan in epoch 3")
    if params.behaviour == "patience" and epoch == 4:
        raise EarlyStopped("no gain for 3 epochs")
    if params.behaviour == "crash" and epoch == 2:
        raise RuntimeError("simulated crash")
    if params.behaviour == "exit" and epoch == 2:
        os._exit(3)


def _values(
    params: SimulatedParams, trial: Trial, epoch: int, seconds: float
) -> Mapping[str, float]:
    f1 = curve(params, trial.seed, epoch)
    values = {"epoch_seconds": seconds, "train/loss": 1 - f1, "val/loss": 1 - 0.9 * f1}
    for group, share in (("seg_metrics", 1.0), ("box_metrics", 1.05)):
        values |= _group(group, min(1.0, share * f1))
    values |= errors(params, f1)
    every = trial.train_metrics.every
    if every and epoch % every == 0:
        for group, share in (("train_seg_metrics", 1.1), ("train_box_metrics", 1.15)):
            values |= _group(group, min(1.0, share * f1))
        values["overfit_gap"] = values["train_seg_metrics/F1"] - f1
    return values


def _group(name: str, f1: float) -> dict[str, float]:
    shares = {"F1": 1.0, "precision": 1.0, "recall": 1.0, "map50": 0.95, "map50_95": 0.6}
    return {f"{name}/{key}": share * f1 for key, share in shares.items()}


def _save(directory: Path, epoch: int, history: Sequence[object], classes: Sequence[str]) -> Path:
    new, final = directory / "checkpoint.new", directory / "checkpoint"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    (new / "model.pt").write_text(json.dumps({"epoch": epoch, "classes": list(classes)}))
    (new / "history.json").write_text(json.dumps(history))
    shutil.rmtree(final, ignore_errors=True)
    new.rename(final)  # not brought to the disk: nothing was learnt that a power cut could take
    return final


ENGINE = SimulatedEngine


if TYPE_CHECKING:
    _: Engine = SimulatedEngine()
