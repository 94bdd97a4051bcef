"""A trained detector."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainables.contract import Adjustable, Device, Predictor, Reporting
from trainables.engines.detector.checkpoint import SavedDetector, read_model
from trainables.engines.detector.inference import find_objects
from trainables.engines.detector.network.anchors import Anchors
from trainables.engines.detector.network.build import build_for_use, set_reporting
from trainables.engines.detector.params import DetectorParams
from trainables.results import Instances


def build_saved(saved: SavedDetector) -> nn.Module:
    """Build the network of a saved model, in evaluation mode on the CPU."""
    params = DetectorParams.as_saved(saved.params)
    anchors = None if saved.anchors is None else Anchors.of_plain(dict(saved.anchors))
    with torch.random.fork_rng(devices=[]):  # building draws weights that are overwritten at once
        net = build_for_use(params, len(saved.classes), anchors)
    net.load_state_dict(dict(saved.weights))
    return net.requires_grad_(False).eval()


def load_predictor(model: Path, device: Device) -> "DetectorPredictor":
    """Read a trained model from a checkpoint folder or its model file.

    Raises:
        InfeasibleParams: There is no model of this engine.
    """
    return DetectorPredictor(read_model(model), device)


class DetectorPredictor:
    """Trained model that finds objects as validation did: a picture at a time.

    Objects with low scores are there, too; those from `confidence` on are what F1 was measured
    with.

    Attributes:
        classes: Class names in order.
        confidence: Score from which objects count, where the box F1 was best on validation.
    """

    def __init__(self, saved: SavedDetector, device: Device) -> None:
        self.classes = tuple(saved.classes)
        self.confidence = saved.confidence
        self._device = torch.device(device.name)
        if self._device.type == "cpu":
            torch.set_num_threads(device.cpus)
        params = DetectorParams.as_saved(saved.params)
        self._first_label = params.architecture.first_label
        self._net = build_saved(saved).to(self._device)
        self._reporting = Reporting(params.max_det, params.score_thresh)

    @property
    def reporting(self) -> Reporting:
        """Most objects and lowest score that it reports."""
        return self._reporting

    @reporting.setter
    def reporting(self, wanted: Reporting) -> None:
        self._reporting = wanted
        set_reporting(self._net, wanted)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find the objects in (H, W, 3) RGB images; one result an image, in order."""
        return [find_objects(self._net, image, self._first_label, self._device) for image in images]


if TYPE_CHECKING:

    def _fulfils(predictor: DetectorPredictor) -> tuple[Predictor, Adjustable]:
        return predictor, predictor
