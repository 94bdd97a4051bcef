"""A prepared data set as Detectron2's networks take it, and the splits that are measured.

Nothing is registered with Detectron2: its catalogues are global and live as long as the process.
Every random number of a picture's augmentation comes from (seed, epoch, picture), so a training
that goes on in a new process, or with other loader processes, sees the same pictures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pycocotools import mask as coco_mask
from torch.utils.data import DataLoader, Dataset

from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import Annotation, ImageRecord
from trainables.engines.mask_rcnn.augmentation import Augmentation, augmentations, input_size
from trainables.engines.mask_rcnn.network.framework import (
    BitMasks,
    Instances,
    filter_empty_instances,
)
from trainables.engines.mask_rcnn.network.framework import transforms as T  # noqa: N812  Detectron2's name
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.loop.epochs import EpochBatches, epoch_loader
from trainables.metrics.matching import GroundTruth, ground_truth

NetworkInput = dict[str, Any]
"""Input of Detectron2's networks for an image: `image` (3, h, w) uint8 BGR, `height` and `width` of
the original, `instances` with `gt_boxes`, `gt_classes` and `gt_masks`."""

_KEPT_BYTES = 1 << 30
"""Largest size of a measured split that stays in memory, ready for the network."""


def picture_input(pixels: npt.NDArray[np.uint8]) -> NetworkInput:
    """Convert pixels of the network's size to its input.

    Args:
        pixels: (h, w, 3) uint8 BGR.
    """
    return {"image": torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))}


def network_input(pixels: npt.NDArray[np.uint8], resize: Augmentation) -> NetworkInput:
    """Convert a picture to a network's input outside of training, without its objects.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        resize: Transform that gives it the network's size (`augmentation.input_size`).
    """
    blue_first = np.ascontiguousarray(pixels[..., ::-1])
    resized = resize.get_transform(blue_first).apply_image(blue_first)
    return {**picture_input(resized), "height": pixels.shape[0], "width": pixels.shape[1]}


def training_input(
    data: PreparedDataset, record: ImageRecord, transforms: Sequence[Augmentation]
) -> NetworkInput:
    """Augment a picture and its objects; draws from numpy's global generator.

    An object of which nothing is left in the picture is left out.

    Raises:
        DatasetError: The picture is missing, broken, or not the one that was prepared.
    """
    drawn = T.AugInput(np.ascontiguousarray(data.read(record)[..., ::-1]))
    done = T.AugmentationList(list(transforms))(drawn)
    instances = _instances(data.annotations(record), done, drawn.image.shape[:2])
    sizes = {"height": record.height, "width": record.width}
    return {**picture_input(drawn.image), **sizes, "instances": instances}


def _instances(objects: Sequence[Annotation], done: Any, size: tuple[int, int]) -> Any:
    """Convert objects for training: masks as they now lie in the picture, boxes tight on them."""
    masks = [done.apply_segmentation(coco_mask.decode(item.mask)) for item in objects]
    stack = np.stack(masks) if masks else np.zeros((0, *size), np.uint8)
    instances = Instances(size)
    instances.gt_masks = BitMasks(torch.from_numpy(stack))
    instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
    instances.gt_classes = torch.tensor([item.category for item in objects], dtype=torch.int64)
    return filter_empty_instances(instances) if masks else instances


class TrainingPictures(Dataset[NetworkInput]):
    """Training split, whose items are asked for by (epoch, index).

    Attributes:
        records: Pictures that are trained on.
        transforms: Augmentations of each picture, in order.
        has_empty: Whether some of them have no objects; None where the data set has no such ones.
    """

    def __init__(self, data: PreparedDataset, params: MaskRcnnParams, seed: int) -> None:
        every = data.images("train")
        filled = [record for record in every if data.annotations(record)]
        self.records = list(every) if params.keep_empty else filled
        self.has_empty = None if len(filled) == len(every) else len(self.records) > len(filled)
        self.transforms = augmentations(params)
        self._data = data
        self._seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> NetworkInput:
        state = np.random.get_state()  # noqa: NPY002  Detectron2 draws from this one
        np.random.seed(np.random.SeedSequence((self._seed, *key)).generate_state(4))  # noqa: NPY002
        try:
            return training_input(self._data, self.records[key[1]], self.transforms)
        finally:
            np.random.set_state(state)  # noqa: NPY002


def training_loader(
    data: PreparedDataset, params: MaskRcnnParams, seed: int, workers: int
) -> DataLoader[Any]:
    """Make the loader of lists of network inputs; its batch sampler is an `EpochBatches`.

    Raises:
        InfeasibleParams: There is nothing to train on.
    """
    pictures = TrainingPictures(data, params, seed)
    batches = EpochBatches(len(pictures), params.ims_per_batch, seed)
    return epoch_loader(pictures, batches, workers, data.root)


@dataclass
class MeasuredPictures:
    """Images that are measured after each epoch, unaugmented, one by one.

    Attributes:
        data: Data set.
        records: Images that are measured.
        params: Hyperparameters of the training.
        objects: Whether the inputs hold the images' objects, from which losses are taken.
        truths: Objects in each image.
    """

    data: PreparedDataset
    records: Sequence[ImageRecord]
    params: MaskRcnnParams
    objects: bool = True

    def __post_init__(self) -> None:
        self.truths: list[GroundTruth] = [ground_truth(self.data, r) for r in self.records]
        self._resize = input_size(self.params)
        self._kept: list[NetworkInput] | None = None

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.records)

    def load(self) -> None:
        """Read the images into memory, if they fit."""
        if self._kept is None and self._bytes() <= _KEPT_BYTES:
            self._kept = [self._read(record) for record in self.records]

    def __iter__(self) -> Iterator[NetworkInput]:
        """Yield the networks' inputs in the order of the images; not to be changed."""
        if self._kept is not None:
            yield from self._kept
        else:
            yield from map(self._read, self.records)

    def _read(self, record: ImageRecord) -> NetworkInput:
        if self.objects:
            return training_input(self.data, record, [self._resize])
        return network_input(self.data.read(record), self._resize)

    def _bytes(self) -> int:
        """Most memory that the inputs take: three colours and a mask an object."""
        area = self.params.min_size * self.params.max_size
        masks = sum(map(len, self.truths)) if self.objects else 0
        return area * (3 * len(self.records) + masks)
