"""Numbers of a prepared data set that say how it can be trained on: pictures, objects, sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import Annotation, ImageRecord


@dataclass(frozen=True)
class DataFacts:
    """Numbers of a prepared data set; sizes and objects are those of train and val.

    Attributes:
        n_train: Pictures to train on.
        n_val: Pictures to validate on.
        n_test: Pictures kept for the end; nothing else here is of them.
        n_unlabelled: Micrographs of which nothing is known.
        n_classes: Classes of the objects.
        grey: Whether no picture has a colour.
        coordinates: Whether every object is a particle given by its centre.
        smallest: Sides (width, height) of the picture with the fewest pixels.
        largest: Sides of the picture with the most pixels.
        long_px: Longer side of the median picture.
        short_px: Shorter side of the median picture.
        train_mpx: Megapixels of all pictures to train on.
        n_objects: Objects.
        most_objects: Objects in the picture that has the most.
        small_px: Shorter side of an object's box that nine objects in ten exceed.
        median_px: Longer side of the median object's box.
        large_px: Longer side of the largest object's box.
        boxes: Whether the objects are boxes without masks.
    """

    n_train: int
    n_val: int
    n_test: int
    n_unlabelled: int
    n_classes: int
    grey: bool
    coordinates: bool
    smallest: tuple[int, int]
    largest: tuple[int, int]
    long_px: float
    short_px: float
    train_mpx: float
    n_objects: int
    most_objects: int
    small_px: float
    median_px: float
    large_px: float
    boxes: bool = False

    @property
    def pictures(self) -> str:
        """The sizes of the pictures in words, in pixels."""
        least, most = (f"{width} x {height}" for width, height in (self.smallest, self.largest))
        return least if least == most else f"{least} to {most}"


def data_facts(data: PreparedDataset) -> DataFacts:
    """Measure a data set by its annotations; no picture is opened.

    Raises:
        DatasetError: `annotations.json` is not the one that was prepared.
    """
    train, val = data.images("train"), data.images("val")
    pictures = sorted((*train, *val), key=_pixels)
    found = [data.annotations(picture) for picture in pictures]
    objects = [item for items in found for item in items]
    boxes = _box_sides(objects)
    sides = np.array([(image.width, image.height) for image in pictures] or [(1, 1)])
    return DataFacts(
        n_train=len(train),
        n_val=len(val),
        n_test=data.counts()["test"],
        n_unlabelled=data.n_unlabelled,
        n_classes=len(data.classes),
        grey=data.grey,
        coordinates=bool(objects) and all(item.disc is not None for item in objects),
        smallest=(int(sides[0, 0]), int(sides[0, 1])),
        largest=(int(sides[-1, 0]), int(sides[-1, 1])),
        long_px=float(np.median(sides.max(axis=1))),
        short_px=float(np.median(sides.min(axis=1))),
        train_mpx=sum(map(_pixels, train)) / 1e6,
        n_objects=len(objects),
        most_objects=max(map(len, found), default=0),
        small_px=float(np.percentile(boxes.min(axis=1), 10)),
        median_px=float(np.median(boxes.max(axis=1))),
        large_px=float(boxes.max()),
        boxes=data.boxes_only,
    )


def _pixels(image: ImageRecord) -> int:
    return image.width * image.height


def _box_sides(
    objects: Sequence[Annotation],
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """(n, 2) float64: width and height of every object's box, in pixels; a pixel where none is."""
    sides = [(x2 - x1, y2 - y1) for x1, y1, x2, y2 in (item.box for item in objects)]
    return np.array(sides or [(1.0, 1.0)], dtype=np.float64)
