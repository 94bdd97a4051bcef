"""A trained Mask R-CNN."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from trainables.contract import Adjustable, Device, Predictor, Reporting
from trainables.engines.mask_rcnn.augmentation import input_size
from trainables.engines.mask_rcnn.checkpoint import SavedMaskRcnn, read_model
from trainables.engines.mask_rcnn.data import network_input
from trainables.engines.mask_rcnn.inference import find_instances, set_reporting
from trainables.engines.mask_rcnn.network.config import read_config
from trainables.engines.mask_rcnn.network.framework import build_model
from trainables.engines.mask_rcnn.network.fusion import Fusion
from trainables.engines.mask_rcnn.network.zoo import COMBO
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.results import Instances


def build_network(saved: SavedMaskRcnn, backbone: str) -> Any:
    """Build one network of a saved model, in evaluation mode on the CPU."""
    with torch.random.fork_rng(devices=[]):  # building draws weights that are overwritten at once
        net = build_model(read_config(saved.configs[backbone]))
    net.load_state_dict(dict(saved.weights[backbone]))
    net.requires_grad_(False)
    return net.eval()


def fusion_of(params: MaskRcnnParams) -> Fusion:
    """Rule by which a training's networks are fused; a single one is left alone."""
    weights: dict[str, float] = {params.backbone: 1.0}
    if params.backbone == "combo":
        weights = dict(zip(COMBO, (params.combo_weight, 1 - params.combo_weight), strict=True))
    return Fusion(weights, params.combo_iou, params.max_det)


def load_predictor(model: Path, device: Device) -> "MaskRcnnPredictor":
    """Read a trained model from a checkpoint folder or its model file.

    Raises:
        InfeasibleParams: There is no model of this engine.
    """
    return MaskRcnnPredictor(read_model(model), device)


class MaskRcnnPredictor:
    """Trained model that finds instances as validation did: a picture at a time.

    Instances with low scores are there, too; those from `confidence` on are what F1 was measured
    with.

    Attributes:
        classes: Class names in order.
        confidence: Score from which instances count, where the mask F1 was best on validation.
    """

    def __init__(self, saved: SavedMaskRcnn, device: Device) -> None:
        self.classes = tuple(saved.classes)
        self.confidence = saved.confidence
        place = torch.device(device.name)
        if place.type == "cpu":
            torch.set_num_threads(device.cpus)
        params = MaskRcnnParams.as_saved(saved.params)
        self._networks = {name: build_network(saved, name).to(place) for name in saved.weights}
        self._resize = input_size(params)
        self._fusion = fusion_of(params)
        self._reporting = Reporting(params.max_det, params.score_thresh)

    @property
    def reporting(self) -> Reporting:
        """Most instances and lowest score that it reports."""
        return self._reporting

    @reporting.setter
    def reporting(self, wanted: Reporting) -> None:
        self._reporting = wanted
        self._fusion = replace(self._fusion, max_det=wanted.max_det)
        for network in self._networks.values():
            set_reporting(network, wanted)

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find the instances in (H, W, 3) RGB images; one result an image, in order."""
        inputs = (network_input(image, self._resize) for image in images)
        return [find_instances(self._networks, self._fusion, item) for item in inputs]


if TYPE_CHECKING:

    def _fulfils(predictor: MaskRcnnPredictor) -> tuple[Predictor, Adjustable]:
        return predictor, predictor
