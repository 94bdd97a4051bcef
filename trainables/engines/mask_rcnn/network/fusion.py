"""Fusion of the instances that several models found in one image.

Class-aware weighted non-maximum suppression: all instances in order of score times their model's
weight; each takes the instances of its class that overlap it enough for one object. Its mask, box
and class stay its own, as masks cannot be averaged; its score becomes the weighted mean of what the
models that found it gave. So scores stay comparable between objects that one model found and
objects that all found, and with those of a single model. A model of weight 0 has no say: its
instances are left out, as if it were not there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.results import Instances


@dataclass(frozen=True)
class Fusion:
    """Rule by which the instances of several models are fused.

    Attributes:
        weights: Weight of each model's say, by its name; 0 for none, at least one has a say.
        iou: Overlap of masks from which two finds are one object.
        max_det: Most instances reported in an image.
    """

    weights: Mapping[str, float]
    iou: float
    max_det: int

    def __call__(self, found: Mapping[str, Instances]) -> Instances:
        """Fuse the instances of one image; where a single model has a say, return its own.

        Args:
            found: Instances by the model's name; all with masks.

        Raises:
            ValueError: A model's weight is not known, none has a say, or an instance has no mask.
        """
        heard = {name: found[name] for name in self.voices(found)}
        if len(heard) == 1:
            return next(iter(heard.values()))
        pool = _Pool.of(heard, self.weights)
        fused = [pool.fuse(first, taken) for first, taken in pool.clusters(self.iou)]
        fused.sort(key=lambda entry: -entry[1])
        capped = len(fused) >= self.max_det or any(part.capped for part in heard.values())
        return replace(pool.instances(fused[: self.max_det]), capped=capped)

    def voices(self, models: Iterable[str]) -> list[str]:
        """Pick the models that have a say.

        Raises:
            ValueError: A model's weight is not known, or none has a say.
        """
        names = list(models)
        unknown = sorted(set(names) - self.weights.keys())
        if unknown:
            raise ValueError(f"expected a weight for each model, got none for {unknown}")
        heard = [name for name in names if self.weights[name] > 0]
        if not heard:
            raise ValueError(f"expected a weight above 0 for one of {names}, got 0 for all")
        return heard


@dataclass(frozen=True)
class _Pool:
    """Instances of all models in an image, one model after the other.

    Attributes:
        model: (N,) index of the model.
        weight: (N,) weight of the model.
        boxes: (N, 4) x1 y1 x2 y2, px.
        scores: (N,) confidences in [0, 1].
        classes: (N,) 0-based indices of classes.
        masks: N COCO run-length encodings.
    """

    model: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    masks: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, found: Mapping[str, Instances], weights: Mapping[str, float]) -> "_Pool":
        names, each = list(found), list(found.values())
        masks = [mask for instances in each for mask in instances.masks or ()]
        lengths = [len(instances) for instances in each]
        if len(masks) != sum(lengths):
            raise ValueError(f"expected a mask for each of {sum(lengths)}, got {len(masks)}")
        return cls(
            np.repeat(np.arange(len(each)), lengths),
            np.repeat([float(weights[name]) for name in names], lengths),
            np.concatenate([instances.boxes for instances in each]),
            np.concatenate([instances.scores.astype(np.float64) for instances in each]),
            np.concatenate([instances.classes for instances in each]),
            masks,
        )

    def clusters(self, iou: float) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Find each object's strongest instance, and all instances that are that object."""
        found = []
        for one in np.unique(self.classes):
            own = np.flatnonzero(self.classes == one)
            order = own[np.argsort(-(self.scores * self.weight)[own], kind="stable")]
            plain = [dict(self.masks[i]) for i in order]
            overlap = np.asarray(coco_mask.iou(plain, plain, [0] * len(plain))).reshape(
                len(order), len(order)
            )
            free = np.ones(len(order), np.bool_)
            for i in range(len(order)):
                if free[i]:
                    taken = free & (overlap[i] >= iou)
                    taken[i] = True
                    free &= ~taken
                    found.append((int(order[i]), order[taken]))
        return found

    def fuse(self, first: int, taken: npt.NDArray[np.int64]) -> tuple[int, float]:
        """Find an object's strongest instance and the weighted mean of the models' best scores."""
        best: dict[int, float] = {}
        for i in taken:
            model = int(self.model[i])
            best[model] = max(best.get(model, 0.0), float(self.scores[i]))
        weights = {int(self.model[i]): float(self.weight[i]) for i in taken}
        summed = sum(weights[model] * score for model, score in best.items())
        return first, summed / sum(weights.values())

    def instances(self, chosen: Sequence[tuple[int, float]]) -> Instances:
        indices = [i for i, _ in chosen]
        return Instances(
            self.boxes[indices].reshape(-1, 4),
            np.array([score for _, score in chosen], np.float32),
            self.classes[indices].astype(np.int64),
            tuple(self.masks[i] for i in indices),
        )
