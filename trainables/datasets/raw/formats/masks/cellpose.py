"""Cellpose's `x_seg.npy`: a dictionary with the label array of the picture `x` under `masks`.

It is pickled, and a pickle may run anything. This reader makes nothing but arrays and plain values
of it; a file that asks for more is refused by the name of what it asks for. Numbers are instance
labels: 0 is background, each other number an object. Layers of a stack are pages.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainables.datasets import geometry
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import RawFolder, split_of
from trainables.datasets.raw.formats.masks.layout import picture_called, without_ending
from trainables.datasets.raw.reading import RawReading
from trainables.files.pickles import unpickle_arrays

NAME = "cellpose"

TITLE = "cellpose's _seg.npy"

SUFFIXES: Final = (".npy",)

_ENDING: Final = "_seg"

Labels = npt.NDArray[Any]


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """Files of cellpose."""
    files = [file for file in folder.with_suffix(*SUFFIXES) if file.stem.endswith(_ENDING)]
    return [file for file in files if folder.parsed(file, read_masks) is not None]


def count_images(folder: RawFolder) -> int:
    """Files whose picture is there."""
    return sum(_picture_of(folder, file) is not None for file in annotation_files(folder))


def read(reading: RawReading) -> None:
    """Read every file of cellpose."""
    reading.notes.append(f"the format has no classes; every object is {reading.object_class!r}")
    for file in annotation_files(reading.folder):
        labels = reading.folder.parsed(file, read_masks)
        assert labels is not None  # only files that were parsed are listed
        layers = labels.reshape(-1, *labels.shape[-2:])
        source = RawSource(file, n_objects=len(np.unique(labels)) - 1)
        picture = _picture_of(reading.folder, file)
        if picture is None:
            reason = f"no picture {without_ending(file.stem)}.* beside it"
            reading.problem(Kind.LABEL_WITHOUT_IMAGE, source, reason)
        elif len(layers) != (n_pages := reading.pages(picture)):
            reason = f"it has {len(layers)} layers, {picture} {n_pages} pages"
            reading.problem(Kind.SIZE_DIFFERS, source, reason)
        else:
            _read_layers(reading, picture, RawSource(file), layers)


def read_masks(path: Path) -> Labels | None:
    """The label array of a file, (H, W) or (layers, H, W); None if it holds other things.

    Raises:
        ValueError: It is no array file, asks for more than arrays, or its masks are no labels.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header: Callable[[Any], tuple[Any, Any, np.dtype[Any]]] = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
        if dtype != np.dtype(object) or shape != ():
            return None  # an array, not a dictionary
        found = _unpickled(file)
    if not isinstance(found, dict) or "masks" not in found:
        return None
    labels = np.asarray(found["masks"])
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iu":
        got = f"{labels.dtype} {labels.shape}"
        raise ValueError(f"expected masks of whole numbers in 2 or 3 dimensions, got {got}")
    return labels


def _unpickled(file: Any) -> Any:
    """The one value of a pickled array.

    Raises:
        ValueError: It is no pickle of arrays and plain values.
    """
    try:
        array = unpickle_arrays(file)
        return array.item() if isinstance(array, np.ndarray) and array.shape == () else None
    except Exception as error:  # of broken bytes it raises almost anything
        raise ValueError(str(error) or type(error).__name__) from error


def _picture_of(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    return picture_called(folder, file.stem.removesuffix(_ENDING), file.parent)


def _read_layers(
    reading: RawReading, picture: PurePosixPath, source: RawSource, layers: Labels
) -> None:
    for number, labels in enumerate(layers):
        image = reading.open(picture, number)
        if image and reading.claim(image, source):
            image.split = split_of(image.file)
            _read_labels(reading, image, source, labels, f"layer {number}, " * (len(layers) > 1))


def _read_labels(
    reading: RawReading, image: RawImage, source: RawSource, labels: Labels, place: str
) -> None:
    if reading.fits(image, (labels.shape[1], labels.shape[0]), source):
        for value, rle in geometry.encode_labels(labels).items():
            outline = Outline(masks=[rle])
            reading.add(image, reading.object_class, outline, source.at(f"{place}value {value}"))
