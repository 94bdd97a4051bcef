"""Measurement error: how far off counts and sizes are that are read from a model's predictions.

A model may find nearly every object (a high F1 asks for an IoU of 0.5 only) and yet draw all of
them 10 % too large, or count two where there is one. Whoever reports a number density or a size
distribution needs these errors, too.

An object's size is its equivalent diameter d = sqrt(4 A / pi), the diameter of the disc that has
as many pixels as its mask; A is the number of the mask's pixels at the size of the original image.
A prediction counts if its score is at least the confidence at which F1 is taken, whether it
matches a true object or not. Definitions (smaller is better, 0 is perfect):

- **count_error**: the sum of |n_pred - n_true| over images and classes, divided by the number of
  all true objects. Objects missed in one image do not make up for false ones in another. It may
  exceed 1.
- **diameter_bias**: |mean(d_pred) / mean(d_true) - 1|, over all objects of all images together.
- **diameter_shift**: the same without the absolute value: negative where objects are drawn too
  small. It is reported, but nothing to be minimised.
- **diameter_shift_8_to_16px** and so on, in classes from 2^k to 2^(k+1) px: mean(d_pred) /
  mean(d_true) - 1 of the true objects whose diameter lies there and which were found, as in P and R
  (`trainables.metrics.matching`). Only where these are at least `ENOUGH`: a name may be missing.
- **size_distance**: the Wasserstein-1 distance of predicted and true diameters of a class, divided
  by the class's mean true diameter; the mean over the classes that have true objects, weighted by
  their number. It sees what a mean hides: sizes all drawn alike, small ones missed.

Nothing predicted counts as diameter 0: of a class of which nothing is predicted size_distance is
1, and without any prediction count_error = diameter_bias = size_distance = 1 and diameter_shift =
-1. Where the truth holds no object at all nothing was shown and the values are the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.metrics.matching import GroundTruth, ImageMatch, first_of_each_class
from trainables.metrics.names import MEASURE, MEASURE_NAMES, shift_of_size

if TYPE_CHECKING:
    from trainables.results import Instances


Floats = npt.NDArray[np.float64]

_Sized = tuple[npt.NDArray[np.int64], Floats]
"""Classes and diameters of the objects of one image."""


@dataclass(frozen=True)
class Measurement:
    """Measurement error over a set of images; see the module for the definitions.

    Attributes:
        count_error: As defined there.
        diameter_shift: As defined there.
        size_distance: As defined there.
        by_size: Errors of diameters by their full names, of size classes with enough objects.
    """

    count_error: float
    diameter_shift: float
    size_distance: float
    by_size: Mapping[str, float] = field(default_factory=dict)

    @property
    def diameter_bias(self) -> float:
        """Relative error of the mean diameter."""
        return abs(self.diameter_shift)

    def as_metrics(self) -> dict[str, float]:
        """The values under the agreed keys: `measure/count_error`, ..."""
        whole = {f"{MEASURE}/{name}": float(getattr(self, name)) for name in MEASURE_NAMES}
        return {**whole, **self.by_size}


NOTHING_SHOWN = Measurement(count_error=1.0, diameter_shift=-1.0, size_distance=1.0)


ENOUGH: Final = 20
"""Objects of a size class that were found, below which nothing is said of it."""


def measurement_error(
    predictions: Sequence[Instances],
    truths: Sequence[GroundTruth],
    n_classes: int,
    *,
    confidence: float,
    max_detections: int,
    matches: Sequence[ImageMatch] = (),
) -> Measurement:
    """Compare what is counted and sized with the truth.

    Args:
        predictions: One an image, with masks.
        truths: One an image, in the same order, with masks.
        n_classes: Length of the class list both count in.
        confidence: A prediction counts if its score is at least this.
        max_detections: At most so many predictions of a class in an image take part.
        matches: One an image; without them nothing is said of size classes.
    """
    found = [_counted(p, confidence, max_detections) for p in predictions]
    true = [(t.classes, diameters(t.masks or ())) for t in truths]
    found_counts, true_counts = _counts(found, n_classes), _counts(true, n_classes)
    found_sizes, true_sizes = _by_class(found, n_classes), _by_class(true, n_classes)
    every_true = np.concatenate([np.zeros(0), *true_sizes])
    if not every_true.sum():
        return NOTHING_SHOWN
    every_found = np.concatenate([np.zeros(0), *found_sizes])
    mean_found = every_found.mean() if len(every_found) else 0.0
    return Measurement(
        count_error=float(np.abs(found_counts - true_counts).sum() / true_counts.sum()),
        diameter_shift=float(mean_found / every_true.mean() - 1),
        size_distance=_size_distance(found_sizes, true_sizes),
        by_size=_by_size(predictions, true, matches, confidence, max_detections),
    )


def _by_size(
    predictions: Sequence[Instances],
    true: Sequence[_Sized],
    matches: Sequence[ImageMatch],
    confidence: float,
    max_detections: int,
) -> dict[str, float]:
    """Errors of diameters of the objects that were found, by size class."""
    pairs: list[tuple[float, float]] = []
    for prediction, (_, sizes), match in zip(predictions, true, matches, strict=False):
        counted = (match.truth_index >= 0) & (match.scores >= confidence)
        first = first_of_each_class(prediction.classes, max_detections)[counted]
        masks = prediction.masks or ()
        found = diameters([masks[i] for i in first])
        pairs += zip(found.tolist(), sizes[match.truth_index[counted]].tolist(), strict=True)
    found_sizes, true_sizes = np.array(pairs).reshape(-1, 2).T
    octave = np.floor(np.log2(np.maximum(true_sizes, 1))).astype(int)
    return {
        shift_of_size(2**low): float(found_sizes[octave == low].sum() / of_class.sum() - 1)
        for low in np.unique(octave).tolist()
        if len(of_class := true_sizes[octave == low]) >= ENOUGH
    }


def diameters(masks: Sequence[Mapping[str, Any]]) -> Floats:
    """(N,) equivalent diameters of N run-length encodings, in pixels.

    Example:
        >>> square = coco_mask.encode(np.asfortranarray(np.ones((10, 10), np.uint8)))
        >>> diameters([square]).round(4).tolist()
        [11.2838]
    """
    # one by one: given more than 255 masks at once, pycocotools 2.0.11 raises OverflowError
    areas = np.array([int(coco_mask.area(dict(mask))) for mask in masks], dtype=np.float64)
    equivalent: Floats = np.sqrt(4 * areas / math.pi)
    return equivalent


def _counted(prediction: Instances, confidence: float, max_detections: int) -> _Sized:
    first = first_of_each_class(prediction.classes, max_detections)
    kept = first[prediction.scores[first].astype(np.float64) >= confidence]
    masks = prediction.masks or ()
    return prediction.classes[kept], diameters([masks[i] for i in kept])


def _counts(images: Sequence[_Sized], n_classes: int) -> npt.NDArray[np.int64]:
    """(images, classes) numbers of objects."""
    rows = [np.bincount(classes, minlength=n_classes) for classes, _ in images]
    return np.array(rows, dtype=np.int64).reshape(-1, n_classes)


def _by_class(images: Sequence[_Sized], n_classes: int) -> list[Floats]:
    """Diameters of each class over all images."""
    return [
        np.concatenate([np.zeros(0), *(sizes[classes == c] for classes, sizes in images)])
        for c in range(n_classes)
    ]


def _size_distance(found: Sequence[Floats], true: Sequence[Floats]) -> float:
    weights = [len(sizes) for sizes in true]
    distances = [
        _relative_distance(f, t) if len(t) else 0.0 for f, t in zip(found, true, strict=True)
    ]
    return float(np.average(distances, weights=weights))


def _relative_distance(found: Floats, true: Floats) -> float:
    if not len(found):
        return 1.0
    from scipy.stats import wasserstein_distance  # put off: it takes a second to import

    mean = float(true.mean())
    return float(wasserstein_distance(found, true)) / mean if mean else 1.0
