"""A prepared data set as an engine of pixels wants it: grey pictures that are read in parts.

A PNG can only be decoded whole. So each picture is decoded once, as 8-bit grey, into a file that
is mapped into memory: a tile costs the pages it lies on, and processes share them. The pixels that
belong to an object of any class lie beside it in the same way.

8 bits are enough for micrographs of 32-bit floats, of which the 0.1 and 99.9 percentiles became 0
and 255 when they were prepared: rounding adds a twelfth of the squared step to the variance of the
noise, 0.08 % in a real micrograph whose noise is a 24th of that range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.datasets import geometry
from trainables.datasets.prepared import PreparedDataset, check_pictures
from trainables.datasets.records import Annotation, ImageRecord
from trainables.datasets.views.marker import view_marker, write_view_marker
from trainables.files.whole import locked, new_folder

VIEW_VERSION: Final = 1

_PARTS: Final = ("train", "val")

_LEAST_RADIUS_PX: Final = 1.0

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class GreyPicture:
    """A micrograph as an engine of pixels sees it.

    Attributes:
        record: The picture's record in the data set.
        grey: (H, W) uint8, mapped into memory, read only.
        mask: (H, W) uint8, 1 where an object is, mapped too; None for an unlabelled micrograph.
        centers: (N, 2) float64, x y of the objects in pixels: as given, else the mask's centroid.
        radii: (N,) float64 in pixels: as given, else that of a disc of the mask's area. A box gives
            its middle, and the radius of the disc of its sides' geometric mean; `mask` is then of
            these discs, as nobody drew the objects' own pixels.
        mean: Mean of all pixels.
        std: Standard deviation of all pixels, above 0.
        boxes: Whether of the objects boxes alone are known.
    """

    record: ImageRecord
    grey: Grey
    mask: Grey | None
    centers: npt.NDArray[np.float64]
    radii: npt.NDArray[np.float64]
    mean: float
    std: float
    boxes: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.record.height, self.record.width


@dataclass(frozen=True)
class GreyView:
    """A data set's pictures as grey levels, on disk and ready to be mapped.

    Attributes:
        data: The data set.
        root: Folder of the view.
        levels: Mean and standard deviation of each picture, by its id.
    """

    data: PreparedDataset
    root: Path
    levels: Mapping[int, tuple[float, float]]

    def scene(self, image: ImageRecord) -> GreyPicture:
        """A picture of train, val or the unlabelled ones, opened but not read."""
        annotations = self.data.annotations(image)
        mean, std = self.levels[image.id]
        return GreyPicture(
            record=image,
            grey=np.load(_grey_file(self.root, image), mmap_mode="r"),
            mask=np.load(_mask_file(self.root, image), mmap_mode="r") if image.labelled else None,
            centers=centers_of(annotations),
            radii=radii_of(annotations),
            mean=mean,
            std=std,
            boxes=self.data.boxes_only,
        )


def grey_view(data: PreparedDataset, to: Path) -> GreyView:
    """Write train, val and the unlabelled pictures as mapped files; the test part is not there.

    A view of the same pictures that is already there is used as it is.

    Args:
        data: A prepared data set.
        to: Folder to make; an older view there is replaced.

    Raises:
        DatasetError: Something else is at `to`, or the data set was changed.
    """
    check_pictures(data)
    to = Path(to).absolute()
    marker = _existing(data, to)
    if marker is None:
        with locked(to, wait=True):
            marker = _existing(data, to)  # another process may have made it while we waited
            if marker is None:
                with new_folder(to) as folder:
                    marker = {"levels": _write(data, folder)}
                    write_view_marker(folder, data, VIEW_VERSION, marker)
    levels = {int(image): (mean, std) for image, (mean, std) in marker["levels"].items()}
    return GreyView(data, to, levels)


def _existing(data: PreparedDataset, to: Path) -> Mapping[str, Any] | None:
    marker = view_marker(data, to, VIEW_VERSION)
    whole = all(_grey_file(to, image).is_file() for image in _images(data))
    if marker is None or "levels" not in marker or not whole:
        return None
    return marker


def _images(data: PreparedDataset) -> list[ImageRecord]:
    return [*data.unlabelled(), *data.images("train"), *data.images("val")]


def _write(data: PreparedDataset, folder: Path) -> dict[str, tuple[float, float]]:
    """Write every picture; mean and standard deviation by id."""
    levels = {}
    for image in _images(data):
        grey = cv2.cvtColor(data.read(image), cv2.COLOR_RGB2GRAY)
        np.save(_grey_file(folder, image), grey)
        levels[str(image.id)] = (float(grey.mean()), float(max(grey.std(), 1.0)))
        if image.labelled:
            np.save(_mask_file(folder, image), object_mask(data.annotations(image), image))
    return levels


def object_mask(annotations: Sequence[Annotation], image: ImageRecord) -> Grey:
    """(H, W) uint8, 1 where one of these objects of a picture is."""
    rles = [_rle(item, image) for item in annotations]
    if not rles:
        return np.zeros((image.height, image.width), np.uint8)
    return np.ascontiguousarray(coco_mask.decode(geometry.merge(rles)))


def centers_of(annotations: Sequence[Annotation]) -> npt.NDArray[np.float64]:
    """(N, 2) float64, x y of objects in pixels: as given, else of the mask's or box's centre."""
    return np.array([_center(item) for item in annotations], dtype=np.float64).reshape(-1, 2)


def radii_of(annotations: Sequence[Annotation]) -> npt.NDArray[np.float64]:
    """(N,) float64 in pixels: as given, else of the disc of the mask's area or in the box."""
    return np.array([_radius(item) for item in annotations], dtype=np.float64)


def _grey_file(folder: Path, image: ImageRecord) -> Path:
    return folder / f"{image.id}_grey.npy"


def _mask_file(folder: Path, image: ImageRecord) -> Path:
    return folder / f"{image.id}_mask.npy"


def _center(item: Annotation) -> tuple[float, float]:
    if item.disc is not None:
        return item.disc.x, item.disc.y
    if item.rle is None:
        x1, y1, x2, y2 = item.box
        return (x1 + x2) / 2, (y1 + y2) / 2
    mask, (left, top) = geometry.crop(item.rle)
    rows, columns = np.nonzero(mask)
    return float(columns.mean() + left + 0.5), float(rows.mean() + top + 0.5)


def _radius(item: Annotation) -> float:
    if item.disc is not None:
        return item.disc.radius
    if item.area is None:
        x1, y1, x2, y2 = item.box
        return max(_LEAST_RADIUS_PX, float(np.sqrt((x2 - x1) * (y2 - y1))) / 2)
    return float(np.sqrt(item.area / np.pi))


def _rle(item: Annotation, image: ImageRecord) -> geometry.Rle:
    """An object's mask, or the disc in its box."""
    if item.rle is not None:
        return item.rle
    return geometry.disc(*_center(item), _radius(item), image.width, image.height)
