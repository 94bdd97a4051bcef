"""Batches that the U-Net learns from: tiles of micrographs with human or pseudo-labels.

A batch depends on the seed, the epoch and its number alone, whoever cuts it and whenever.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.contract import InfeasibleParams, Trial
from trainables.datasets.views.grey import GreyPicture, grey_view
from trainables.datasets.views.tiles import (
    IGNORED,
    Place,
    Target,
    TileSampler,
    cut,
    ignore_beyond,
    image_tile,
    target_tile,
)
from trainables.engines.unet_selftraining.augment import Augmentation, augment
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.loop.split.team import ALONE, Rank

Map = npt.NDArray[np.float32]

LabelMaps = Mapping[int, npt.NDArray[np.float16]]
"""Pseudo-labels (H, W) by the id of their picture."""

Batch = tuple[Tensor, Tensor]
"""Images and labels, (N, 1, S, S) float32 each."""

Made = TypeVar("Made")

_TURNS: Final = Augmentation(
    rotate_p=0,
    flip_p=0.5,
    quarter_turns=True,
    elastic_p=0,
    noise_p=0,
    contrast_p=0,
    blur_p=0,
    ice_p=0,
)

AUGMENTATIONS: Final[Mapping[str, Augmentation | None]] = {
    "none": None,
    "turns": _TURNS,
    "seed": Augmentation(quarter_turns=True),
}
"""Augmentations by the value of the hyperparameter `augment`."""


@dataclass(frozen=True)
class Micrographs:
    """Micrographs of a trial.

    Attributes:
        labelled: Labelled pictures of the training part.
        unlabelled: Pictures without labels, for the rounds.
        validation: Pictures of the validation part.
        radius_px: Median radius of the training part's particles.
        target: Form of the map that is learned.
    """

    labelled: tuple[GreyPicture, ...]
    unlabelled: tuple[GreyPicture, ...]
    validation: tuple[GreyPicture, ...]
    radius_px: float
    target: Target

    @property
    def taught(self) -> tuple[GreyPicture, ...]:
        """Pictures that the rounds train on."""
        return (*self.labelled, *self.unlabelled)


def open_micrographs(trial: Trial, params: UnetParams) -> Micrographs:
    """Open the pictures of a trial; grey copies of them lie beside the data set, once for all.

    Raises:
        InfeasibleParams: There is no particle to learn from.
    """
    data = trial.data
    home = data.root if os.access(data.root, os.W_OK) else trial.directory
    view = grey_view(data, home / "views" / "grey")
    labelled = tuple(view.scene(image) for image in data.images("train"))
    radii = np.concatenate([scene.radii for scene in labelled] or [np.zeros(0)])
    if not len(radii):
        raise InfeasibleParams(f"{data.root}: expected particles in the training part, got none")
    return Micrographs(
        labelled=labelled,
        unlabelled=tuple(view.scene(image) for image in data.unlabelled()),
        validation=tuple(view.scene(image) for image in data.images("val")),
        radius_px=float(np.median(radii)),
        target=Target(params.target, params.target_scale),
    )


def whole_target(scene: GreyPicture, target: Target) -> Map:
    """Make the target (H, W) of a picture; all ignored where it is unlabelled."""
    height, width = scene.size
    return target_tile(scene, 0, 0, max(height, width), target)[:height, :width]


def ring_target(params: UnetParams) -> Target:
    """Target that is above 0 where a marked particle says what is around it."""
    return Target("disc", params.ring_scale)


def forget_far(labels: Map, ring: Map) -> Map:
    """Turn background to unknown where the `ring` of no particle reaches."""
    labels[(labels == 0) & (ring <= 0)] = IGNORED
    return labels


@dataclass(frozen=True)
class Lessons:
    """Batches of a phase.

    Attributes:
        sampler: Sampler of the tiles' places.
        batch_size: Number of tiles a batch; the last of an epoch may have fewer.
        augmentation: Random changes of each tile, or None.
        ring: Target that is above 0 where the background around particles is known, or None where
            all that no human marked is background; of the supervised phase.
        pseudo: Pseudo-labels of the pictures, or None in the supervised phase.
    """

    sampler: TileSampler
    batch_size: int
    augmentation: Augmentation | None
    ring: Target | None = None
    pseudo: LabelMaps | None = None

    def __len__(self) -> int:
        return math.ceil(self.sampler.n_tiles / self.batch_size)

    def batches(
        self, epoch: int, workers: int, rank: Rank = ALONE, *, pinned: bool = False
    ) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, made by threads ahead of their use.

        Args:
            epoch: Number of the epoch, 0-based.
            workers: Number of threads.
            rank: Process whose part of each batch is made; it may have no tile.
            pinned: Whether a GPU takes them, from memory that it can read while it computes.
        """
        places = self.sampler.places(epoch)

        def make(number: int) -> Batch:
            first = number * self.batch_size
            n = min(self.batch_size, len(places) - first)
            batch = self._batch(epoch, places, [first + at for at in rank.share(n)])
            return (batch[0].pin_memory(), batch[1].pin_memory()) if pinned else batch

        return prefetched(make, len(self), workers)

    def _batch(self, epoch: int, places: Sequence[Place], chosen: Sequence[int]) -> Batch:
        shape = (len(chosen), 1, self.sampler.size, self.sampler.size)
        images, labels = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for at, index in enumerate(chosen):
            images[at, 0], labels[at, 0] = self._tile(places[index], epoch, index)
        return torch.from_numpy(images), torch.from_numpy(labels)

    def _tile(self, place: Place, epoch: int, index: int) -> tuple[Map, Map]:
        scene = self.sampler.scenes[place.scene]
        image = image_tile(scene, place.top, place.left, self.sampler.size)
        labels = self._labels(scene, place)
        if self.augmentation is None:
            return image, labels
        random = np.random.default_rng([self.sampler.seed, epoch, index])
        changed = augment(image, labels, self.augmentation, random)
        return changed.image, changed.labels

    def _labels(self, scene: GreyPicture, place: Place) -> Map:
        at = place.top, place.left, self.sampler.size
        if self.pseudo is not None:
            tile = cut(self.pseudo[scene.record.id], *at).astype(np.float32)
            return ignore_beyond(tile, place.top, place.left, scene.size)
        labels = target_tile(scene, *at, self.sampler.target)
        if self.ring is None:
            return labels
        return forget_far(labels, target_tile(scene, *at, self.ring))


def make_lessons(
    micrographs: Micrographs, params: UnetParams, seed: int, pseudo: LabelMaps | None = None
) -> Lessons:
    """Make the batches of the supervised phase, or with pseudo-labels those of a round.

    An epoch has equally many tiles in every phase.
    """
    covering = sum(scene.grey.size for scene in micrographs.labelled) / params.tile_px**2
    sampler = TileSampler(
        micrographs.labelled if pseudo is None else micrographs.taught,
        params.tile_px,
        micrographs.target,
        seed,
        near_fraction=params.near_fraction,
        n_tiles=params.tiles or max(len(micrographs.labelled), round(covering)),
    )
    ring = ring_target(params) if params.background == "ring" else None
    augmentation = AUGMENTATIONS[params.augment]
    return Lessons(sampler, params.batch_size, augmentation, ring, pseudo)


def prefetched(make: Callable[[int], Made], n: int, workers: int) -> Generator[Made, None, None]:
    """Yield make(0), ..., make(n - 1), made by threads, few of them ahead of their use."""
    with ThreadPoolExecutor(workers, "tiles") as pool:
        waiting = deque(pool.submit(make, number) for number in range(min(n, workers + 1)))
        try:
            for number in range(n):
                ready = waiting.popleft().result()
                following = number + workers + 1
                if following < n:
                    waiting.append(pool.submit(make, following))
                yield ready
        finally:
            for left in waiting:
                left.cancel()
