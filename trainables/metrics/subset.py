"""Choice of the training pictures that are measured, and their affordable number."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.datasets.records import ImageRecord


def train_subset(images: Sequence[ImageRecord], n: int, seed: int) -> tuple[ImageRecord, ...]:
    """The training images that are measured every epoch: always the same ones.

    The choice depends on the seed and the images' file names only, not on their order or folder,
    and a larger subset contains the smaller ones.

    Returns:
        min(n, all) images, sorted by file name.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"expected at least 1 training image to measure, got n={n}")

    def draw(image: ImageRecord) -> bytes:
        return hashlib.blake2b(f"{seed}/{image.path.name}".encode(), digest_size=16).digest()

    return tuple(sorted(sorted(images, key=draw)[:n], key=lambda image: image.path.name))


def affordable_images(
    epoch_seconds: float,
    seconds_per_image: float,
    n_validation: int,
    n_train: int,
    share: float = 0.15,
) -> int:
    """Number of training images that may be measured each epoch.

    Args:
        epoch_seconds: An epoch's time without these metrics, training and validation.
        seconds_per_image: Time to predict and evaluate one image.
        n_validation: Images of the validation part.
        n_train: Images of the training part.
        share: Part of `epoch_seconds` that the metrics may take.

    Returns:
        As many as the share pays for, at most the validation part's (or the training part's)
        size, and at least 1: of one image the share may be exceeded.

    Raises:
        ValueError: A time is negative or not finite.

    Example:
        >>> affordable_images(10.0, 0.1, n_validation=50, n_train=200)
        15
    """
    times = (epoch_seconds, seconds_per_image)
    if not all(math.isfinite(t) and t >= 0 for t in times):
        raise ValueError(
            f"expected finite times >= 0, got epoch_seconds={epoch_seconds} and "
            f"seconds_per_image={seconds_per_image}"
        )
    most = max(1, min(n_validation, n_train))
    if seconds_per_image * most <= share * epoch_seconds:
        return most
    return max(1, int(share * epoch_seconds / seconds_per_image))
