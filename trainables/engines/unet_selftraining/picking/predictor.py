"""Trained picker of particles."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainables.contract import Device, Picker, Predictor
from trainables.engines.unet_selftraining.checkpoint import SavedUnet, read_model
from trainables.engines.unet_selftraining.network.network import build_network
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import (
    MapReading,
    probabilities,
    standardised,
)
from trainables.engines.unet_selftraining.run import network_settings
from trainables.metrics.particles import MIN_CONFIDENCE
from trainables.onnx.maps import Map, in_grey, levels_of
from trainables.onnx.peaks import discs
from trainables.results import Instances, Picks


def load_predictor(model: Path, device: Device) -> "UnetPredictor":
    """Read a trained model from a checkpoint folder or its model file.

    Raises:
        InfeasibleParams: There is no model of this engine.
    """
    return UnetPredictor(read_model(model), device)


def trained_network(saved: SavedUnet, params: UnetParams) -> nn.Module:
    """Build the network of a saved model, on the CPU."""
    with torch.random.fork_rng(devices=[]):  # building draws weights that are overwritten at once
        network = build_network(network_settings(params))
    network.load_state_dict(dict(saved.weights))
    return network


class UnetPredictor:
    """Trained model that picks particles as validation did.

    Picks of a low confidence are there, too; those from `confidence` on are what F1 was measured
    with. A pick's mask is a disc of the radius that particles had in training.

    Attributes:
        classes: Class names in order.
        confidence: Confidence at which the particle F1 was best on validation.
        radius_px: Radius of a particle.
        min_distance_px: Least distance of two picks.
        match_radius: Largest distance of a hit in the metrics, in particle radii.
        um_per_px: Side of a pixel of the training pictures, or None where nobody said it.
    """

    def __init__(self, saved: SavedUnet, device: Device) -> None:
        self.classes = tuple(saved.classes)
        self.confidence = saved.confidence
        self.radius_px = saved.radius_px
        self.um_per_px = saved.um_per_px
        self._category = saved.category
        place = torch.device(device.name)
        if place.type == "cpu":
            torch.set_num_threads(device.cpus)
        params = UnetParams.as_saved(saved.params)
        self._network = trained_network(saved, params).to(place).eval()
        self._reading = MapReading(params, saved.radius_px, place)
        self.min_distance_px = self._reading.min_distance_px
        self.match_radius = params.match_radius

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find the particles in (H, W, 3) RGB images; one result an image, in order."""
        return [
            discs(self.picks(self.probability(i)), self.radius_px, self._category, i.shape[:2])
            for i in images
        ]

    def probability(
        self, image: npt.NDArray[np.uint8], levels: tuple[float, float] | None = None
    ) -> Map:
        """Predict a map (H, W) float32 of an (H, W, 3) RGB or (H, W) grey image.

        Args:
            image: Picture, or a part of it.
            levels: Mean and standard deviation of the whole picture in grey; default: the image's.
        """
        grey = in_grey(image)
        mean, std = levels or levels_of(grey)
        picture = standardised(grey, mean, max(std, 1.0))
        return probabilities(self._reading.logits(self._network, picture))

    def picks(
        self,
        probability: Map,
        *,
        min_confidence: float = MIN_CONFIDENCE,
        min_distance_px: float | None = None,
    ) -> Picks:
        """Find the particles of a map, most confident first."""
        return self._reading.picks(
            probability, min_confidence=min_confidence, min_distance_px=min_distance_px
        )


if TYPE_CHECKING:

    def _fulfils(predictor: UnetPredictor) -> tuple[Predictor, Picker]:
        return predictor, predictor
