"""A prepared data set as torchvision's detectors take it, and the splits that are measured.

Every random number of a picture's augmentation comes from (seed, epoch, picture), so a training
that goes on in a new process, or with other loader processes, sees the same pictures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.engines.detector.augment import (
    Augmentation,
    Boxes,
    Pixels,
    meeting_point,
    mosaic,
)
from trainables.engines.detector.params import DetectorParams
from trainables.loop.epochs import EpochBatches, epoch_loader
from trainables.metrics.matching import GroundTruth, ground_truth

Sample = tuple[Tensor, dict[str, Tensor]]
"""A picture (3, H, W) float32 in 0 to 1, and its objects: `boxes` (n, 4) float32 in px, `labels`
(n,) int64 as the network numbers classes."""

Labels = npt.NDArray[np.int64]
"""(n,) Classes as the network numbers them."""

_LEAST_SIDE_PX: Final = 1e-3
"""torchvision refuses boxes without an area."""

_KEPT_BYTES: Final = 1 << 30
"""Largest size of a part's pictures that stay in memory."""


def network_input(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Convert (H, W, 3) uint8 RGB to (3, H, W) float32 in 0 to 1; the network does the rest.

    The network itself brings a picture to its size and normalises its colours, once.
    """
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255


class TrainingPictures(Dataset[Sample]):
    """Training split, whose items are asked for by (epoch, index).

    Attributes:
        records: Pictures that are trained on.
        augmentation: Augmentation of each.
        has_empty: Whether some of them have no objects; None where the data set has no such ones.
    """

    def __init__(self, data: PreparedDataset, params: DetectorParams, seed: int) -> None:
        every = data.images("train")
        filled = [record for record in every if data.annotations(record)]
        self.records = list(every) if params.keep_empty else filled
        self.has_empty = None if len(filled) == len(every) else len(self.records) > len(filled)
        self.augmentation = Augmentation.of(params)
        self._first_label = params.architecture.first_label
        self._data = data
        self._seed = seed
        size = sum(3 * record.width * record.height for record in self.records)
        self._kept: dict[int, npt.NDArray[np.uint8]] | None = {} if size <= _KEPT_BYTES else None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        rng = np.random.default_rng((self._seed, *key))
        others = self.augmentation.others(key[1], len(self.records), rng)
        pixels, boxes, labels = (
            self._mosaic([key[1], *others], rng) if others else self._one(key[1])
        )
        pixels, boxes, kept = self.augmentation(pixels, boxes, rng)
        kept &= (boxes[:, 2:] - boxes[:, :2] > _LEAST_SIDE_PX).all(axis=1)
        target = {
            "boxes": torch.from_numpy(boxes[kept]).float(),
            "labels": torch.from_numpy(labels[kept]),
        }
        return network_input(pixels), target

    def _one(self, index: int) -> tuple[Pixels, Boxes, Labels]:
        """A picture with its boxes and labels, as it is."""
        objects = self._data.annotations(self.records[index])
        boxes = np.array([item.box for item in objects], np.float64).reshape(-1, 4)
        labels = np.array([item.category for item in objects], np.int64) + self._first_label
        return self._read(index), boxes, labels

    def _mosaic(
        self, indices: Sequence[int], rng: np.random.Generator
    ) -> tuple[Pixels, Boxes, Labels]:
        """Four pictures in one, with the objects of which enough is left."""
        parts = [self._one(index) for index in indices]
        pixels, boxes, kept = mosaic([part[:2] for part in parts], *meeting_point(rng))
        labels = [part[2] for part in parts]
        there = np.concatenate(kept)
        return pixels, np.concatenate(boxes)[there], np.concatenate(labels)[there]

    def _read(self, index: int) -> npt.NDArray[np.uint8]:
        if self._kept is None:
            return self._data.read(self.records[index])
        if index not in self._kept:
            self._kept[index] = self._data.read(self.records[index])
        return self._kept[index]


def training_loader(
    data: PreparedDataset, params: DetectorParams, seed: int, workers: int
) -> DataLoader[Any]:
    """Make the loader of lists of samples; its batch sampler is an `EpochBatches`.

    Raises:
        InfeasibleParams: There is nothing to train on.
    """
    pictures = TrainingPictures(data, params, seed)
    batches = EpochBatches(len(pictures), params.batch_size, seed)
    return epoch_loader(pictures, batches, workers, data.root)


@dataclass
class MeasuredPictures:
    """Images that are measured after each epoch, unaugmented, one by one.

    Attributes:
        data: Data set.
        records: Images that are measured.
    """

    data: PreparedDataset
    records: Sequence[ImageRecord]

    def __post_init__(self) -> None:
        self.truths: list[GroundTruth] = [ground_truth(self.data, r) for r in self.records]
        self._kept: list[npt.NDArray[np.uint8]] | None = None

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.records)

    def load(self) -> None:
        """Read the images into memory, if they fit."""
        size = sum(3 * record.width * record.height for record in self.records)
        if self._kept is None and size <= _KEPT_BYTES:
            self._kept = [self.data.read(record) for record in self.records]

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield (H, W, 3) RGB in the order of the images."""
        if self._kept is not None:
            yield from self._kept
        else:
            yield from map(self.data.read, self.records)
