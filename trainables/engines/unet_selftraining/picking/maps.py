"""Map of probabilities of a whole picture, and the particles in it.

Validation, pseudo-labels and a trained model in use all go this way, so they see the same maps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainables.datasets.views.grey import GreyPicture
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.metrics.particles import MIN_CONFIDENCE
from trainables.onnx.maps import Map, from_tiles
from trainables.onnx.peaks import pick_particles
from trainables.results import Picks

_FLIPS: Final[Sequence[tuple[int, ...]]] = ((), (-1,), (-2,), (-2, -1))

_HALF_WIDTH: Final = 1.18  # a Gaussian falls to a half at so many standard deviations


@dataclass(frozen=True)
class MapReading:
    """Rules by which a network's output becomes particles.

    Attributes:
        params: Hyperparameters, of which tiles, flips, target and distances count.
        radius_px: Radius of a particle.
        device: Device that the network is on.
    """

    params: UnetParams
    radius_px: float
    device: torch.device

    def logits(self, network: nn.Module, picture: Map) -> Map:
        """Predict logits (H, W) of a standardised picture (H, W), the mean of overlapping tiles."""
        network.eval()

        def predict(tile: Map) -> Map:
            map_ = self._forward(network, torch.from_numpy(tile)[None, None].to(self.device))
            return np.asarray(map_[0, 0].cpu().numpy(), dtype=np.float32)

        return from_tiles(picture, self.params.tile_px, predict)

    @property
    def flips(self) -> Sequence[tuple[int, ...]]:
        """Axes of the flips whose predictions are averaged; () leaves the picture as it is."""
        return _FLIPS if self.params.flip_average else _FLIPS[:1]

    @property
    def min_distance_px(self) -> float:
        """Least distance of two picks."""
        return self.params.min_distance * self.radius_px

    @property
    def drawn_px(self) -> float:
        """Radius of a particle as the network draws it."""
        shares = {
            "mask": 1.0,
            "disc": self.params.target_scale,
            "gaussian": _HALF_WIDTH * self.params.target_scale,
        }
        return shares[self.params.target] * self.radius_px

    def picks(
        self,
        probability: Map,
        *,
        min_confidence: float = MIN_CONFIDENCE,
        min_distance_px: float | None = None,
    ) -> Picks:
        """Find the particles of a map (H, W), most confident first."""
        return pick_particles(
            probability,
            self.drawn_px,
            min_distance_px=min_distance_px or self.min_distance_px,
            min_confidence=min_confidence,
        )

    @torch.inference_mode()
    def _forward(self, network: nn.Module, tiles: Tensor) -> Tensor:
        amp = self.params.amp and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.float16, enabled=amp):
            maps = [network(tiles.flip(axes)).flip(axes) for axes in self.flips]
        return torch.stack(maps).float().mean(dim=0)


def standardised(grey: npt.NDArray[np.uint8], mean: float, std: float) -> Map:
    """Bring a picture to mean 0 and standard deviation 1."""
    return np.asarray((grey.astype(np.float32) - mean) / std, dtype=np.float32)


def scene_picture(scene: GreyPicture) -> Map:
    """Picture of a micrograph as the network sees it, unaugmented."""
    return standardised(scene.grey, scene.mean, scene.std)


def probabilities(logits: Map) -> Map:
    """Convert logits of any shape to probabilities."""
    return np.asarray(torch.sigmoid(torch.from_numpy(logits)).numpy(), dtype=np.float32)
