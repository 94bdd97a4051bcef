"""U-Net that picks particles and teaches itself, under segtune's contract.

Sources: Ronneberger et al. 2015, "U-Net", arXiv:1505.04597; Tarvainen and Valpola 2017, "Mean
teachers are better role models", arXiv:1703.01780 (a teacher of averaged weights).
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from trainables.contract import Device, Engine, ExportForm, Trial
from trainables.engines.unet_selftraining.export import export_model
from trainables.engines.unet_selftraining.params import INFO, UnetParams
from trainables.engines.unet_selftraining.picking.predictor import UnetPredictor, load_predictor
from trainables.engines.unet_selftraining.training import train_trial
from trainables.loop.asked import validated


class UnetEngine:
    """Particle picking with a U-Net, in rounds of pseudo-labels."""

    name: ClassVar[str] = INFO.name

    def train(self, trial: Trial) -> None:
        train_trial(trial, validated(UnetParams, trial.params))

    def load(self, model: Path, device: Device) -> UnetPredictor:
        return load_predictor(model, device)

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        return export_model(model, to, form)


ENGINE = UnetEngine


if TYPE_CHECKING:
    _: Engine = UnetEngine()
