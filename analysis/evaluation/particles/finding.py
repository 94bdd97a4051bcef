"""The picks of a model in many pictures, beside the particles that are there.

Places and confidences are kept of each picture; of its map of probabilities only counts of pixels,
so that memory does not grow with the size of the pictures.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analysis.errors import EvaluateError
from analysis.evaluation.classes import ClassMap
from analysis.evaluation.predicting import Progress
from trainables.contract import Picker, Predictor
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import Annotation, ImageRecord
from trainables.datasets.views.grey import centers_of, object_mask, radii_of
from trainables.metrics.overlays.particle_scores import PickedPicture
from trainables.metrics.particles import (
    ParticleCurve,
    ParticleMetrics,
    evaluate_particles,
    particle_curve,
)
from trainables.metrics.pixels import PixelCounts
from trainables.results import Picks

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Picked:
    """Pictures with the picks of a model.

    Attributes:
        pictures: Pictures in the order they were given.
        pixels: Counts of the pixels of all pictures; None of boxes, as nobody knows which pixels
            are the objects' own.
        seconds: Time that the model took, without reading the pictures.
    """

    pictures: Sequence[PickedPicture]
    pixels: PixelCounts | None
    seconds: float

    def pixel_metrics(self) -> dict[str, float]:
        """Every figure of the pixels by its name; none of boxes."""
        return {} if self.pixels is None else self.pixels.as_metrics()

    def metrics(self, match_radius: float, confidence: float | None) -> ParticleMetrics:
        """The metrics of all pictures together.

        Args:
            match_radius: Largest distance of a pick from its particle, in the picture's particle
                radii.
            confidence: Lowest confidence of a pick that counts; None for the one with the best F1.
        """
        return evaluate_particles(*self._compared(match_radius), confidence=confidence)

    def curve(self, match_radius: float) -> ParticleCurve:
        """Precision and recall over confidence, of all pictures together."""
        return particle_curve(*self._compared(match_radius))

    def _compared(self, match_radius: float) -> tuple[list[Picks], list[Floats], list[float]]:
        return (
            [picture.picks for picture in self.pictures],
            [picture.centers for picture in self.pictures],
            [match_radius * picture.radius_px for picture in self.pictures],
        )


def as_picker(predictor: Predictor, model: Path) -> Picker:
    """A predictor that gives picks and probabilities.

    Raises:
        EvaluateError: It does not, though its engine says that it is measured by them.
    """
    if not isinstance(predictor, Picker):
        raise EvaluateError(
            f"{model}: expected a model that gives picks and probabilities "
            f"(trainables.contract.Picker), got {type(predictor).__name__}"
        )
    return predictor


def pick_pictures(
    picker: Picker,
    data: PreparedDataset,
    images: Sequence[ImageRecord],
    classes: ClassMap,
    progress: Progress = lambda done, total: None,
) -> Picked:
    """Pick the particles of pictures.

    Args:
        picker: Model that picks.
        data: Holds the pictures.
        images: Pictures to pick in.
        classes: Classes of model and data; objects of other classes are no particles here.
        progress: Told how many of how many are done.

    Raises:
        DatasetError: A picture is missing or was changed; no other takes its place.
    """
    pixels, pictures, seconds = PixelCounts(), [], 0.0
    for image in images:
        picture = data.read(image)
        started = time.monotonic()
        probability = picker.probability(picture)
        picks = picker.picks(probability)
        seconds += time.monotonic() - started
        objects = _particles(data, image, classes)
        if not data.boxes_only:
            pixels.add(probability, object_mask(objects, image).astype(np.float32))
        radii = radii_of(objects)
        radius = float(np.median(radii)) if len(radii) else picker.radius_px
        pictures.append(PickedPicture(image, picks, centers_of(objects), radius))
        progress(len(pictures), len(images))
    return Picked(pictures, None if data.boxes_only else pixels, seconds)


def _particles(data: PreparedDataset, image: ImageRecord, classes: ClassMap) -> list[Annotation]:
    """The objects of a picture that are of a class that is measured."""
    return [item for item in data.annotations(image) if classes.of_data[item.category] >= 0]
