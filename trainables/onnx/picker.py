"""An ONNX file that maps particles, and picks them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainables.contract import Picker, Predictor
from trainables.metrics.particles import MIN_CONFIDENCE
from trainables.onnx.finder import batches
from trainables.onnx.manifest import INPUT, LEVELS, Particles, Tiles
from trainables.onnx.maps import Grey, Map, from_tiles, in_grey, levels_of, sigmoid, tile_side
from trainables.onnx.peaks import discs, pick_particles
from trainables.onnx.session import Array, Session
from trainables.results import Instances, Picks

_AT_ONCE_PX = 1 << 21
"""Most pixels that go through a network together, beyond a single tile."""


class OnnxPicker:
    """A model that picks particles as the engine that trained it.

    Attributes:
        classes: Class names in order.
        confidence: Confidence at which the particle F1 was best on validation.
        radius_px: Radius of a particle.
        min_distance_px: Least distance of two picks.
        match_radius: Largest distance of a hit in the metrics, in particle radii.
        um_per_px: Side of a pixel of the training pictures, or None where nobody said it.
    """

    def __init__(self, session: Session, size: Tiles, finds: Particles) -> None:
        self.classes = session.manifest.classes
        self.confidence = session.manifest.confidence
        self.radius_px = finds.radius_px
        self.min_distance_px = finds.min_distance_px
        self.match_radius = finds.match_radius
        self.um_per_px = finds.um_per_px
        self._session = session
        self._tile_px = size.tile_px
        self._finds = finds

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Find the particles in (H, W, 3) RGB images; one result an image, in order."""
        category = self._finds.category - 1
        return [
            discs(self.picks(map_), self.radius_px, category, image.shape[:2])
            for image, map_ in zip(images, self.probabilities(images), strict=True)
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
        known = levels or levels_of(grey)
        return sigmoid(
            from_tiles(grey, self._tile_px, lambda tile: self._logits([tile], [known])[0])
        )

    def probabilities(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Map]:
        """Predict the maps of images; small ones of one size go through the network together."""
        shapes = [image.shape[:2] for image in images]
        found: dict[int, Map] = {}
        for indices in batches(shapes):
            height, width = shapes[indices[0]]
            side = tile_side(height, width, self._tile_px)
            if side < max(height, width) or side**2 * len(indices) > _AT_ONCE_PX:
                found |= {i: self.probability(images[i]) for i in indices}
            else:
                found |= zip(indices, self._together([images[i] for i in indices]), strict=True)
        return [found[i] for i in range(len(images))]

    def _together(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Map]:
        """Maps of images of one size, each of which is one tile."""
        greys = [in_grey(image) for image in images]
        tiles = [tile for grey in greys for tile in self._tiles(grey)]
        logits = iter(self._logits(tiles, [levels_of(grey) for grey in greys]))
        return [sigmoid(from_tiles(grey, self._tile_px, lambda _: next(logits))) for grey in greys]

    def inputs(self, image: npt.NDArray[np.uint8]) -> list[dict[str, Array]]:
        """What goes into the file for an (H, W, 3) RGB image, tile by tile, by input."""
        grey = in_grey(image)
        return [_given([tile], [levels_of(grey)]) for tile in self._tiles(grey)]

    def _tiles(self, grey: Grey) -> list[Grey]:
        """The tiles that a picture is predicted in."""
        tiles: list[Grey] = []

        def remember(tile: Grey) -> Map:
            tiles.append(tile)
            return np.zeros(tile.shape, np.float32)

        from_tiles(grey, self._tile_px, remember)
        return tiles

    def _logits(
        self, tiles: Sequence[Grey], levels: Sequence[tuple[float, float]]
    ) -> npt.NDArray[np.float32]:
        """Logits (B, S, S) of tiles (S, S) in grey."""
        (logits,) = self._session.run(["logit"], **_given(tiles, levels))
        return logits

    def picks(
        self,
        probability: Map,
        *,
        min_confidence: float = MIN_CONFIDENCE,
        min_distance_px: float | None = None,
    ) -> Picks:
        """Find the particles of a map, most confident first."""
        return pick_particles(
            probability,
            self._finds.drawn_px,
            min_distance_px=min_distance_px or self.min_distance_px,
            min_confidence=min_confidence,
        )


def _given(tiles: Sequence[Grey], levels: Sequence[tuple[float, float]]) -> dict[str, Array]:
    """Tiles in grey, and the levels of their pictures, as the file takes them."""
    image = np.repeat(np.stack(tiles)[:, None], 3, axis=1)
    return {INPUT: image, LEVELS: np.array(levels, np.float32)}


if TYPE_CHECKING:

    def _fulfils(predictor: OnnxPicker) -> tuple[Predictor, Picker]:
        return predictor, predictor
