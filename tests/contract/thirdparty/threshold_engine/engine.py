"""Bright pixels are particles; training finds how bright."""

import json
import math
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from threshold_engine.params import ThresholdParams  # type: ignore[import-not-found]
from trainables.contract import (
    Device,
    Diverged,
    Engine,
    EpochMetrics,
    ExportForm,
    InfeasibleParams,
    Trial,
)
from trainables.datasets.records import Annotation
from trainables.metrics.instances import evaluate_instances
from trainables.metrics.matching import ground_truth
from trainables.results import Instances

SLOPE = 20.0
COUNTED = "THRESHOLD_ENGINE_COUNTED"  # file that gets an x a picture to search, and a dot after
SECONDS = "THRESHOLD_ENGINE_SECONDS"  # that a search takes longer
HELD = "THRESHOLD_ENGINE_HELD"  # file with a number: while it is there, further searches wait
_Pair = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | float]


class ThresholdEngine:
    """One number is the whole model."""

    name: ClassVar[str] = "threshold"

    def train(self, trial: Trial) -> None:
        params = ThresholdParams.model_validate(dict(trial.params))
        threshold, history = params.start, []
        if trial.resume_from is not None:
            threshold = json.loads((trial.resume_from / "model.pt").read_text())["threshold"]
            history = json.loads((trial.resume_from / "history.json").read_text())
        data = trial.data
        train = [(_grey(data.read(i)), _target(data.annotations(i))) for i in data.images("train")]
        pictures = [data.read(image) for image in data.images("val")]
        truths = [ground_truth(data, image) for image in data.images("val")]
        for epoch in range(len(history) + 1, trial.train_to + 1):
            started = time.monotonic()
            time.sleep(params.epoch_seconds)
            loss, gradient = _loss(train, threshold)
            if epoch == params.nan_at or not math.isfinite(loss):
                raise Diverged(f"train/loss is nan in epoch {epoch}")
            threshold -= params.lr0 * gradient
            found = _Predictor(threshold, params.min_area, data.classes)(pictures)
            values = evaluate_instances(found, truths, data.classes, split_prefix="")
            values |= {"train/loss": loss, "epoch_seconds": time.monotonic() - started}
            history.append({"epoch": epoch, "values": values})
            model = {"threshold": threshold, "min_area": params.min_area, "classes": data.classes}
            trial.report(EpochMetrics(epoch, values), _save(trial.directory, model, history))

    def load(self, model: Path, device: Device) -> "_Predictor":
        content = json.loads((model / "model.pt" if model.is_dir() else model).read_text())
        return _Predictor(content["threshold"], content["min_area"], tuple(content["classes"]))

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        if form is not ExportForm.NATIVE:
            raise InfeasibleParams(f"a threshold has no {form} form")
        to.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(model / "model.pt" if model.is_dir() else model, to / "model.json"))


class _Predictor:
    def __init__(self, threshold: float, min_area: int, classes: tuple[str, ...]) -> None:
        self.threshold, self.min_area, self.classes = threshold, min_area, classes

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        _count("x" * len(images))
        time.sleep(float(os.environ.get(SECONDS, "0")))
        while _held():
            time.sleep(0.05)
        found = [self._find(_grey(image)) for image in images]
        _count(".")
        return found

    def _find(self, grey: npt.NDArray[np.float64]) -> Instances:
        n, labels = cv2.connectedComponents((grey > self.threshold).astype(np.uint8))
        parts = [labels == k for k in range(1, n)]
        parts = [part for part in parts if part.sum() >= self.min_area]
        scored = sorted(((float(grey[part].mean()), part) for part in parts), key=lambda p: -p[0])
        masks = [rle.encode(np.asfortranarray(part.astype(np.uint8))) for _, part in scored]
        boxes = rle.toBbox(masks) if masks else np.zeros((0, 4))
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([score for score, _ in scored], np.float32)
        return Instances(boxes.astype(np.float32), scores, np.zeros(len(masks), np.int64), masks)


def _count(marks: str) -> None:
    if counted := os.environ.get(COUNTED):
        with Path(counted).open("a") as file:
            file.write(marks)


def _held() -> bool:
    """Whether more pictures were counted than the file that holds searches says."""
    try:
        most = int(Path(os.environ[HELD]).read_text())
    except (KeyError, FileNotFoundError):
        return False
    return Path(os.environ[COUNTED]).read_text().count("x") > most


def _grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    grey: npt.NDArray[np.float64] = image.mean(axis=2) / 255
    return grey


def _target(annotations: Sequence[Annotation]) -> npt.NDArray[np.float64] | float:
    masks = [rle.decode(annotation.rle) for annotation in annotations]
    return np.max(masks, axis=0).astype(float) if masks else 0.0


def _loss(train: Sequence[_Pair], threshold: float) -> tuple[float, float]:
    """Mean squared error of a soft threshold, and its derivative."""
    losses, gradients = [], []
    for grey, target in train:
        soft = 1 / (1 + np.exp(-SLOPE * (grey - threshold)))
        losses.append(((soft - target) ** 2).mean())
        gradients.append((2 * (soft - target) * -SLOPE * soft * (1 - soft)).mean())
    return float(np.mean(losses)), float(np.mean(gradients))


def _save(directory: Path, model: object, history: object) -> Path:
    new, final = directory / "checkpoint.new", directory / "checkpoint"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    (new / "model.pt").write_text(json.dumps(model))
    (new / "history.json").write_text(json.dumps(history))
    shutil.rmtree(final, ignore_errors=True)
    new.rename(final)
    return final


ENGINE = ThresholdEngine

if TYPE_CHECKING:
    _: Engine = ThresholdEngine()
