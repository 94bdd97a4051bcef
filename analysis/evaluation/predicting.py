"""A model's predictions on many pictures, kept on the disk.

Thousands of pictures with hundreds of instances each do not fit into memory; read back one by one
they do. Nothing but run-length encodings is ever kept of a mask.
"""

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from analysis.evaluation.classes import ClassMap
from analysis.evaluation.lazy import Lazy
from analysis.evaluation.plan import AT_ONCE
from trainables.contract import Predictor
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.metrics.matching import GroundTruth, ground_truth
from trainables.results import Instances

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predicted:
    """Pictures, the predictions of a model on each, and the true objects of each.

    Attributes:
        images: The pictures.
        predictions: One a picture, read from a file when asked for.
        truths: One a picture.
        seconds: Time that the model took, without reading the pictures.
    """

    images: Sequence[ImageRecord]
    predictions: Sequence[Instances]
    truths: Sequence[GroundTruth]
    seconds: float


def predict(  # noqa: PLR0913  the model, the pictures, and where the result goes
    predictor: Predictor,
    data: PreparedDataset,
    images: Sequence[ImageRecord],
    classes: ClassMap,
    *,
    file: IO[bytes],
    progress: Progress,
    at_once: int = AT_ONCE,
) -> Predicted:
    """Find instances in pictures.

    Args:
        predictor: The model.
        data: Holds the pictures.
        images: Pictures to predict on.
        classes: Classes of model and data.
        file: Open for writing and reading; must stay open as long as the result is used.
        at_once: Number of pictures a call of the model.
        progress: Told how many of how many are done.

    Raises:
        DatasetError: A picture is missing or was changed; no other takes its place.
    """
    places: list[int] = []
    seconds = 0.0
    for start in range(0, len(images), at_once):
        pictures = [data.read(image) for image in images[start : start + at_once]]
        started = time.monotonic()
        found = predictor(pictures)
        seconds += time.monotonic() - started
        for instances in found:
            places.append(file.seek(0, 2))
            pickle.dump(classes.predictions(instances), file, pickle.HIGHEST_PROTOCOL)
        progress(len(places), len(images))

    def read(index: int) -> Instances:
        """The predictions of a picture, read from the file."""
        file.seek(places[index])
        instances: Instances = pickle.load(file)
        return instances

    def truth(index: int) -> GroundTruth:
        """The true objects of a picture, of the classes that are measured."""
        return classes.truth(ground_truth(data, images[index]))

    return Predicted(images, Lazy(len(places), read), Lazy(len(images), truth), seconds)
