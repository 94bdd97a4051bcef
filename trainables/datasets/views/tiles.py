"""Square tiles of micrographs with their targets, cut on the fly.

A training tile lies anywhere in a picture; beyond the edge of a picture smaller than the tile the
picture is mirrored, and its target there is `IGNORED`. What a tile is does not depend on who cuts
it, or when: the places of an epoch follow from the seed and the epoch's number alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from trainables.datasets.views.grey import GreyPicture
from trainables.files.words import counted

IGNORED: Final = -1.0
"""Target of a pixel of which nothing is known."""

_GAUSSIAN_REACH: Final = 4.0  # standard deviations; beyond, it is below 0.0004

_DISC_REACH: Final = 1.0

Tile = npt.NDArray[np.float32]
"""(S, S) float32."""

_Number = TypeVar("_Number", bound=np.generic)


class Place(NamedTuple):
    """Position of a tile in its picture.

    Attributes:
        scene: Index of the micrograph.
        top: Row of its first pixel; below 0 where the picture is smaller than the tile.
        left: Column of its first pixel.
    """

    scene: int
    top: int
    left: int


@dataclass(frozen=True)
class Target:
    """Kind of map that a network learns to give, pixel by pixel.

    Attributes:
        kind: "mask": 1 in every object. "disc": 1 within a share of the radius around each object's
            centre, so that touching particles come apart. "gaussian": falls from 1 at the centre.
        scale: Radius of the disc, or standard deviation of the Gaussian, in the object's radii.
    """

    kind: Literal["mask", "disc", "gaussian"] = "mask"
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the scale.

        Raises:
            ValueError: It is not above 0.
        """
        if not self.scale > 0:
            raise ValueError(f"expected a scale above 0, got {self.scale}")


class TileSampler:
    """Random tiles of labelled and unlabelled micrographs.

    Attributes:
        scenes: The micrographs.
        size: Side of a tile in pixels.
        target: Kind of map that is learned.
        seed: Seed of the places.
        near_fraction: Share in [0, 1] of the tiles that hold an object for certain, where there is
            one.
        n_tiles: Tiles of an epoch; by default as many as cover the pictures once.
    """

    def __init__(
        self,
        scenes: Sequence[GreyPicture],
        size: int,
        target: Target,
        seed: int,
        *,
        near_fraction: float = 0.5,
        n_tiles: int | None = None,
    ) -> None:
        """Check the settings.

        Raises:
            ValueError: There is no micrograph, or a number is out of its range.
        """
        if not scenes or size < 1 or not 0 <= near_fraction <= 1:
            raise ValueError(
                "expected micrographs, a size of at least 1 and near_fraction in [0, 1], got "
                f"{counted(len(scenes), 'micrograph')}, {size} and {near_fraction}"
            )
        self.scenes = tuple(scenes)
        self.size = size
        self.target = target
        self.seed = seed
        self.near_fraction = near_fraction
        areas = np.array([scene.grey.size for scene in scenes], dtype=np.float64)
        self.n_tiles = n_tiles or max(len(scenes), round(areas.sum() / size**2))
        self._share = areas / areas.sum()
        counts = np.array([len(scene.centers) for scene in scenes], dtype=np.float64)
        self._objects = counts / max(counts.sum(), 1)

    def places(self, epoch: int) -> list[Place]:
        """The places of an epoch, in the order in which they are trained."""
        rng = np.random.default_rng([self.seed, epoch])
        near = rng.random(self.n_tiles) < self.near_fraction * bool(self._objects.any())
        return [self._near_object(rng) if is_near else self._anywhere(rng) for is_near in near]

    def cut(self, place: Place) -> tuple[Tile, Tile]:
        """Normalised grey levels and target of a tile."""
        scene = self.scenes[place.scene]
        return (
            image_tile(scene, place.top, place.left, self.size),
            target_tile(scene, place.top, place.left, self.size, self.target),
        )

    def _anywhere(self, rng: np.random.Generator) -> Place:
        index = int(rng.choice(len(self.scenes), p=self._share))
        # Drawn beyond the edges and moved back, so that rims are seen as often as the rest.
        beyond = self.size // 2
        first = [int(rng.integers(-beyond, side - beyond)) for side in self.scenes[index].size]
        return self._moved_in(index, first)

    def _near_object(self, rng: np.random.Generator) -> Place:
        index = int(rng.choice(len(self.scenes), p=self._objects))
        x, y = self.scenes[index].centers[rng.integers(len(self.scenes[index].centers))]
        return self._moved_in(index, [int(at - rng.integers(self.size)) for at in (y, x)])

    def _moved_in(self, index: int, first: Sequence[int]) -> Place:
        """A place moved to where the tile lies in the picture, as far as it fits."""
        sides = zip(first, self.scenes[index].size, strict=True)
        top, left = (
            min(max(at, 0), side - self.size) if side >= self.size else (side - self.size) // 2
            for at, side in sides
        )
        return Place(index, top, left)


def cut(array: npt.NDArray[_Number], top: int, left: int, size: int) -> npt.NDArray[_Number]:
    """A (size, size) copy of a part of an (H, W) array, mirrored beyond its edges."""
    height, width = array.shape
    if top >= 0 and left >= 0 and top + size <= height and left + size <= width:
        return np.array(array[top : top + size, left : left + size])
    rows, columns = (_mirrored(first, size, n) for first, n in ((top, height), (left, width)))
    return np.array(array[np.ix_(rows, columns)])


def image_tile(scene: GreyPicture, top: int, left: int, size: int) -> Tile:
    """Grey levels of a tile, the picture's mean 0 and its standard deviation 1."""
    grey = cut(scene.grey, top, left, size)
    return np.asarray((grey.astype(np.float32) - scene.mean) / scene.std, dtype=np.float32)


def target_tile(scene: GreyPicture, top: int, left: int, size: int, target: Target) -> Tile:
    """Target of a tile in [0, 1]; `IGNORED` beyond the picture and where nothing is known."""
    if scene.mask is None:
        return np.full((size, size), IGNORED, np.float32)
    if target.kind == "mask":
        tile = cut(scene.mask, top, left, size).astype(np.float32)
    else:
        tile = _rendered(scene, top, left, size, target)
    return ignore_beyond(tile, top, left, scene.size)


def ignore_beyond(tile: Tile, top: int, left: int, picture: tuple[int, int]) -> Tile:
    """Mark the part of a tile that lies outside its picture (height, width) as `IGNORED`."""
    for axis, (first, side) in enumerate(zip((top, left), picture, strict=True)):
        at = np.arange(first, first + tile.shape[axis])
        outside = (at < 0) | (at >= side)
        tile[outside if axis == 0 else (slice(None), outside)] = IGNORED
    return tile


def grid(height: int, width: int, size: int, overlap_px: int) -> list[tuple[int, int]]:
    """Top and left of tiles that cover a picture, neighbours overlapping by at least `overlap_px`.

    The last of a row or column ends at the picture's edge. A picture smaller than a tile lies in
    its middle.

    Raises:
        ValueError: The overlap is not smaller than the tile.

    Example:
        >>> grid(100, 64, 64, 16)
        [(0, 0), (36, 0)]
    """
    if not 0 <= overlap_px < size:
        raise ValueError(f"expected an overlap of 0 to {size - 1}, got {overlap_px}")
    tops, lefts = (_firsts(side, size, size - overlap_px) for side in (height, width))
    return [(top, left) for top in tops for left in lefts]


class Mosaic:
    """A map of a whole picture, put together from overlapping tiles.

    A tile's weight falls towards its rim, where the network has seen the least of what is around.

    Attributes:
        height: Height of the picture, in pixels.
        width: Width of the picture, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.width = width
        self._sum = np.zeros((height, width), np.float32)
        self._weight = np.zeros((height, width), np.float32)

    def add(self, tile: Tile, top: int, left: int) -> None:
        """Take in a tile (S, S); what lies outside the picture is dropped."""
        size = tile.shape[0]
        ramp = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)).astype(np.float32)
        weight = np.minimum(ramp[:, None], ramp[None, :])
        rows, inner_rows = _overlap(top, size, self.height)
        columns, inner_columns = _overlap(left, size, self.width)
        part = weight[inner_rows, inner_columns]
        self._sum[rows, columns] += tile[inner_rows, inner_columns] * part
        self._weight[rows, columns] += part

    def result(self) -> npt.NDArray[np.float32]:
        """(H, W) float32.

        Raises:
            ValueError: The tiles do not cover the picture.
        """
        if not self._weight.all():
            raise ValueError(
                f"expected tiles over all of {self.width} x {self.height} pixels, "
                f"{int((self._weight == 0).sum())} are uncovered"
            )
        return np.asarray(self._sum / self._weight, dtype=np.float32)


def _mirrored(first: int, size: int, n: int) -> npt.NDArray[np.intp]:
    """Indices `first` to `first + size` folded into 0 to n - 1, edges repeated."""
    at = np.arange(first, first + size) % (2 * n)
    return np.where(at < n, at, 2 * n - 1 - at)


def _firsts(side: int, size: int, step: int) -> list[int]:
    if side <= size:
        return [(side - size) // 2]
    n = -(-(side - size) // step) + 1
    return [min(i * step, side - size) for i in range(n)]


def _overlap(first: int, size: int, side: int) -> tuple[slice, slice]:
    """The part of a side that a tile covers, in the picture and in the tile."""
    low, high = max(first, 0), min(first + size, side)
    return slice(low, high), slice(low - first, high - first)


def _rendered(scene: GreyPicture, top: int, left: int, size: int, target: Target) -> Tile:
    """Discs or Gaussians of the objects that reach into a tile; where they overlap, the highest."""
    tile = np.zeros((size, size), np.float32)
    reach = _DISC_REACH if target.kind == "disc" else _GAUSSIAN_REACH
    for x, y, scale in _reaching(scene, (top, left), size, target.scale, reach):
        rows, columns = (
            slice(max(int(at - reach * scale), 0), max(min(int(at + reach * scale) + 1, size), 0))
            for at in (y, x)
        )
        down = np.arange(rows.start, rows.stop)[:, None] + 0.5 - y
        right = np.arange(columns.start, columns.stop)[None, :] + 0.5 - x
        squared = (down**2 + right**2) / scale**2
        drawn = squared <= 1 if target.kind == "disc" else np.exp(-squared / 2)
        np.maximum(tile[rows, columns], drawn, out=tile[rows, columns], casting="unsafe")
    return tile


def _reaching(
    scene: GreyPicture, corner: tuple[int, int], size: int, scale: float, reach: float
) -> Iterator[Any]:
    """x, y in the tile and scale in pixels of the objects that reach into it."""
    scales = scene.radii * scale
    x, y = scene.centers[:, 0] - corner[1], scene.centers[:, 1] - corner[0]
    far = reach * scales
    near = (x > -far) & (y > -far) & (x < size + far) & (y < size + far)
    yield from np.stack([x, y, scales], axis=1)[near].tolist()
