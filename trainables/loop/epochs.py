"""The parts around an epoch that every training loop shares."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from trainables.contract import Diverged, InfeasibleParams, Trial
from trainables.metrics.subset import affordable_images

_SHARE: Final = 0.10
"""Of an epoch, for the training part's metrics; they must stay within 0.15."""


def finite(losses: Mapping[str, float], epoch: int) -> dict[str, float]:
    """The losses of a 0-based epoch.

    Raises:
        Diverged: One is not finite.
    """
    bad = [f"{name} is {value}" for name, value in losses.items() if not np.isfinite(value)]
    if bad:
        raise Diverged(f"{' and '.join(bad)} in epoch {epoch + 1}")
    return dict(losses)


def train_metrics_due(trial: Trial, epoch: int) -> bool:
    """Whether the training part is measured after this 0-based epoch."""
    every = trial.train_metrics.every
    return every > 0 and (epoch + 1) % every == 0


def measured_train_images(
    trial: Trial, epoch_seconds: float, seconds_per_image: float, n_validation: int
) -> int:
    """Number of training images to measure: as the study says, else as many as are affordable.

    Args:
        trial: Says what is wanted.
        epoch_seconds: An epoch's time without these metrics, training and validation.
        seconds_per_image: Time to predict and evaluate one image.
        n_validation: Images of the validation part.
    """
    wanted = trial.train_metrics.images
    n_train = len(trial.data.images("train"))
    if wanted is not None:
        return min(wanted, n_train)
    return affordable_images(epoch_seconds, seconds_per_image, n_validation, n_train, _SHARE)


class EpochBatches:
    """Batches of (epoch, index): every picture once an epoch, in an order of the epoch's own.

    Attributes:
        epoch: Epoch whose batches come next, 0-based; set it before the loader is iterated.
        size: Number of pictures a batch; the last batch may have fewer.
    """

    def __init__(self, n_pictures: int, size: int, seed: int) -> None:
        self.epoch = 0
        self.size = size
        self._n_pictures = n_pictures
        self._seed = seed

    def __len__(self) -> int:
        return math.ceil(self._n_pictures / self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._n_pictures)
        for start in range(0, self._n_pictures, self.size):
            yield [(self.epoch, int(index)) for index in order[start : start + self.size]]


def epoch_loader(
    pictures: Dataset[Any], batches: EpochBatches, workers: int, root: Path
) -> DataLoader[Any]:
    """Make the loader of lists of samples, as a data set of pictures makes them.

    Args:
        pictures: Makes the sample of an (epoch, index).
        batches: Its batch sampler.
        workers: Number of loader processes.
        root: Folder of the data, for the message.

    Raises:
        InfeasibleParams: There is nothing to train on.
    """
    if not len(batches):
        raise InfeasibleParams(f"expected training images, got none in {root}")
    return DataLoader(
        pictures,
        batch_sampler=batches,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


def _as_it_is(batch: list[Any]) -> list[Any]:
    return batch
