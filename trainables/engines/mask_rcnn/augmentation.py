"""Augmentation: random changes of a picture before it is trained with."""

from typing import Any

from trainables.engines.mask_rcnn.network.framework import transforms as T  # noqa: N812  Detectron2's name
from trainables.engines.mask_rcnn.params import MaskRcnnParams

Augmentation = Any
"""A transform of Detectron2's, which has no type of its own for them."""


def augmentations(params: MaskRcnnParams) -> list[Augmentation]:
    """Augmentations of a training picture in order; the first gives it the network's size."""
    low, high = (round(params.min_size * (1 + sign * params.scale_jitter)) for sign in (-1, 1))
    resize = T.ResizeShortestEdge((low, high), params.max_size, "range")
    return [resize, *_AUGMENTS[params.augment]()]


def input_size(params: MaskRcnnParams) -> Augmentation:
    """Transform that gives a picture the network's size, as in training without jitter."""
    return T.ResizeShortestEdge((params.min_size, params.min_size), params.max_size, "range")


def _flip() -> list[Augmentation]:
    return [T.RandomFlip(0.5, horizontal=True)]


def _flips() -> list[Augmentation]:
    return [*_flip(), T.RandomFlip(0.5, horizontal=False, vertical=True)]


def _seed() -> list[Augmentation]:
    turned = T.RandomRotation([-20, 20], expand=False)
    return [*_flips(), turned, T.RandomBrightness(0.8, 1.2)]


def _strong() -> list[Augmentation]:
    return [
        *_flips(),
        T.RandomRotation([0, 90, 180, 270], sample_style="choice"),
        T.RandomCrop("relative_range", (0.7, 0.7)),
        T.RandomBrightness(0.7, 1.3),
        T.RandomContrast(0.7, 1.3),
    ]


_AUGMENTS = {"none": list, "flip": _flip, "seed": _seed, "strong": _strong}
