"""YOLO -seg on Ultralytics, under segtune's contract.

Source: Jocher et al., Ultralytics YOLO, https://github.com/ultralytics/ultralytics (AGPL-3.0).
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import ValidationError

from trainables.contract import Device, Engine, ExportForm, InfeasibleParams, Trial
from trainables.yolo_seg.export import export_model
from trainables.yolo_seg.params import INFO, YoloSegParams
from trainables.yolo_seg.predictor import YoloSegPredictor, load_predictor
from trainables.yolo_seg.training import train_trial


class YoloSegEngine:
    """Instance segmentation with a YOLO -seg model."""

    name: ClassVar[str] = INFO.name

    def train(self, trial: Trial) -> None:
        try:
            params = YoloSegParams.model_validate(dict(trial.params))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}"
                for e in error.errors()
            )
            raise InfeasibleParams(problems) from error
        train_trial(trial, params)

    def load(self, model: Path, device: Device) -> YoloSegPredictor:
        return load_predictor(model, device)

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        return export_model(model, to, form)


ENGINE = YoloSegEngine

if TYPE_CHECKING:
    _: Engine = YoloSegEngine()
