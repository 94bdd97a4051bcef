"""Trains nothing, and ends as its parameters say."""

import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import psutil

from awkward_engine.params import AwkwardParams  # type: ignore[import-not-found]
from trainables.contract import (
    ArtifactKind,
    Device,
    Engine,
    EpochMetrics,
    ExportForm,
    InfeasibleParams,
    OutOfMemory,
    Predictor,
    Trial,
    TrialStopped,
    UserError,
)

PLACES = "AWKWARD_ENGINE_PLACES"  # file that gets a line an epoch: where and when it was trained

GATE = "AWKWARD_ENGINE_GATE"  # file with the number of lines that the other may have

NO_LICENCE = "expected a licence of the awkward engine, got none; ask its makers for one"


class AwkwardEngine:
    """Reports the learning rate as F1."""

    name: ClassVar[str] = "awkward"

    def train(self, trial: Trial) -> None:
        params = AwkwardParams.model_validate(dict(trial.params))
        done, raylet = 0, _raylet()
        if trial.resume_from is not None:
            done = len(json.loads((trial.resume_from / "history.json").read_text()))
        try:
            for epoch in range(done + 1, trial.train_to + 1):
                if epoch == 2:
                    _misbehave(params.behaviour)
                    _take_memory(params, trial.device)
                _train(trial, epoch, params.epoch_seconds, raylet)
                values = {"seg_metrics/F1": params.lr0}
                checkpoint = _save(trial.directory, epoch, values)
                trial.report(EpochMetrics(epoch, values), checkpoint)
        except TrialStopped:
            _draw(trial, params.end_seconds)
            raise
        _draw(trial, params.end_seconds)

    def load(self, model: Path, device: Device) -> Predictor:
        if model.read_text() == NO_LICENCE:
            raise UserError(f"{model}: {NO_LICENCE}")
        raise InfeasibleParams(f"nothing can be loaded from {model} on {device.name}")

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        raise InfeasibleParams(f"{model} has no {form} form for {to}")


def _raylet() -> int | None:
    """The process of Ray's that stands for the node; it may be gone before its engines are."""
    return next((p.pid for p in psutil.Process().parents() if p.name() == "raylet"), None)


def _train(trial: Trial, epoch: int, seconds: float, raylet: int | None) -> None:
    """Take some time, and write down on which node and on which GPUs that was."""
    begun = time.time()
    time.sleep(seconds)
    while GATE in os.environ and not _may_end():
        time.sleep(0.05)
    if PLACES in os.environ:
        gpus = os.environ["CUDA_VISIBLE_DEVICES"]
        with Path(os.environ[PLACES]).open("a") as file:
            line = {"trial": trial.name, "epoch": epoch, "raylet": raylet, "gpus": gpus}
            file.write(json.dumps({**line, "begun": begun, "ended": time.time()}) + "\n")


def _may_end() -> bool:
    """Whether one more epoch may be trained, of all trials together."""
    places = Path(os.environ[PLACES])
    trained = len(places.read_text().splitlines()) if places.exists() else 0
    return trained < int(Path(os.environ[GATE]).read_text())


def _take_memory(params: AwkwardParams, device: Device) -> None:
    """Run out of memory where the samples that are computed at once take more than the share."""
    at_once = min(params.batch, device.micro_batch or params.batch)
    if params.memory * at_once / params.batch > device.memory_fraction:
        raise OutOfMemory(f"{at_once} samples at once do not fit", at_once)


def _draw(trial: Trial, seconds: float) -> None:
    time.sleep(seconds)
    curves = trial.directory / "curves.txt"
    curves.write_text("drawn")
    trial.artifact(curves, ArtifactKind.CURVES)


def _misbehave(behaviour: str) -> None:
    if behaviour == "no licence":
        raise UserError(NO_LICENCE)
    if behaviour == "eof":
        raise EOFError("Ran out of input")
    if behaviour == "fills the disk":
        try:
            Path("/dev/full").write_text("a model")
        except OSError:
            raise RuntimeError("the writer has failed") from None
    if behaviour == "eats memory":
        eaten = [np.empty(2**28, np.uint8) for _ in range(2**9)]  # untouched: no page is used
        raise RuntimeError(f"{len(eaten)} times 256 MiB were there")
    if behaviour == "leaves a process":
        if os.fork() == 0:  # as a loader's worker, it holds a copy of every open file
            time.sleep(60)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


def _save(directory: Path, epoch: int, values: Mapping[str, float]) -> Path:
    new, final = directory / "checkpoint.new", directory / "checkpoint"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    (new / "model.pt").write_text("a model")
    history = [{"epoch": e, "values": dict(values)} for e in range(1, epoch + 1)]
    (new / "history.json").write_text(json.dumps(history))
    shutil.rmtree(final, ignore_errors=True)
    new.rename(final)
    return final


ENGINE = AwkwardEngine

if TYPE_CHECKING:
    _: Engine = AwkwardEngine()
