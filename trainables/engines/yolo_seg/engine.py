"""YOLO -seg on Ultralytics, under segtune's contract.

Source: Jocher et al., Ultralytics YOLO, https://github.com/ultralytics/ultralytics (AGPL-3.0).
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from trainables.contract import Device, Engine, ExportForm, Trial
from trainables.engines.yolo_seg.export import export_model
from trainables.engines.yolo_seg.params import INFO, YoloSegParams
from trainables.engines.yolo_seg.predictor import YoloSegPredictor, load_predictor
from trainables.engines.yolo_seg.training import train_trial
from trainables.loop.asked import validated


class YoloSegEngine:
    """Instance segmentation with a YOLO -seg model."""

    name: ClassVar[str] = INFO.name

    def train(self, trial: Trial) -> None:
        train_trial(trial, validated(YoloSegParams, trial.params))

    def load(self, model: Path, device: Device) -> YoloSegPredictor:
        return load_predictor(model, device)

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        return export_model(model, to, form)


ENGINE = YoloSegEngine


if TYPE_CHECKING:
    _: Engine = YoloSegEngine()
