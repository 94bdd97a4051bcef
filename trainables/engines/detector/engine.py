"""torchvision's detectors under segtune's contract.

Sources: Ren et al. 2015, "Faster R-CNN", arXiv:1506.01497; Lin et al. 2017, "Focal Loss for Dense
Object Detection", arXiv:1708.02002 (RetinaNet); Tian et al. 2019, "FCOS", arXiv:1904.01355; Liu et
al. 2016, "SSD", arXiv:1512.02325; torchvision, https://github.com/pytorch/vision (BSD-3-Clause).
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from trainables.contract import Device, Engine, ExportForm, Trial
from trainables.engines.detector.export import export_model
from trainables.engines.detector.params import INFO, DetectorParams
from trainables.engines.detector.predictor import DetectorPredictor, load_predictor
from trainables.engines.detector.training import train_trial
from trainables.loop.asked import validated


class DetectorEngine:
    """Detection of objects as boxes with one of torchvision's networks."""

    name: ClassVar[str] = INFO.name

    def train(self, trial: Trial) -> None:
        train_trial(trial, validated(DetectorParams, trial.params))

    def load(self, model: Path, device: Device) -> DetectorPredictor:
        return load_predictor(model, device)

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        return export_model(model, to, form)


ENGINE = DetectorEngine


if TYPE_CHECKING:
    _: Engine = DetectorEngine()
