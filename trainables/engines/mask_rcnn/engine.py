"""Mask R-CNN on Detectron2, under segtune's contract.

Sources: He et al. 2017, "Mask R-CNN", arXiv:1703.06870; Lin et al. 2017, "Feature Pyramid Networks
for Object Detection", arXiv:1612.03144; Wu et al. 2019, Detectron2,
https://github.com/facebookresearch/detectron2 (Apache-2.0).
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from trainables.contract import Device, Engine, ExportForm, Trial
from trainables.engines.mask_rcnn.export import export_model
from trainables.engines.mask_rcnn.params import INFO, MaskRcnnParams
from trainables.engines.mask_rcnn.predictor import MaskRcnnPredictor, load_predictor
from trainables.engines.mask_rcnn.training import train_trial
from trainables.loop.asked import validated


class MaskRcnnEngine:
    """Instance segmentation with a Mask R-CNN."""

    name: ClassVar[str] = INFO.name

    def train(self, trial: Trial) -> None:
        train_trial(trial, validated(MaskRcnnParams, trial.params))

    def load(self, model: Path, device: Device) -> MaskRcnnPredictor:
        return load_predictor(model, device)

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        return export_model(model, to, form)


ENGINE = MaskRcnnEngine


if TYPE_CHECKING:
    _: Engine = MaskRcnnEngine()
