"""Messages about a folder in which no annotations are recognised: what is there, and what to do."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from trainables.datasets.images import SUFFIXES
from trainables.datasets.raw.folder import RawFolder
from trainables.files.words import counted

_SEPARATORS: Final = "_-. "

_KINDS_SHOWN: Final = 4

_KNOWN: Final = {
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".mat": "MATLAB",
    ".npz": "numpy archive",
    ".npy": "numpy array",
    ".zarr": "Zarr",
    ".parquet": "Parquet",
    ".tfrecord": "TFRecord",
    ".ndjson": "JSON lines without boxes",
    ".jsonl": "JSON lines without boxes",
    ".svg": "SVG",
    ".mha": "MetaImage",
    ".nrrd": "NRRD",
    ".cbox": "crYOLO boxes",
}
"""Kinds of files that are not read, by suffix."""

HOW_MASKS_LIE: Final = (
    "Masks are read where they bear their pictures' names in a folder masks beside images, or lie "
    "beside their pictures as NAME_masks.tif; in them 0 is background and each other number an "
    "object"
)


def what_it_looks_like(folder: RawFolder, names: Sequence[str]) -> str:
    """A message: the files of a folder, what they look like, and how masks should lie.

    Args:
        folder: A raw folder without annotations of a known format.
        names: Names of all formats.
    """
    others = [file for file in folder.files if file not in {*folder.images}]
    kinds = Counter(file.suffix.lower() or "no suffix" for file in others).most_common(_KINDS_SHOWN)
    listed = ", ".join(f"{n} {_kind_name(suffix)}" for suffix, n in kinds)
    what = f" ({listed})" if listed else ""
    return (
        f"found {counted(len(folder.images), 'picture')} and "
        f"{counted(len(others), 'other file')}{what}; "
        f"{_pairs(folder)}expected one of {', '.join(names)}. {HOW_MASKS_LIE}"
    )


def _kind_name(suffix: str) -> str:
    return f"{suffix}, {_KNOWN[suffix]}" if suffix in _KNOWN else suffix


def _pairs(folder: RawFolder) -> str:
    """A sentence about pictures that bear another one's name with an ending; "" without any."""
    endings: dict[str, list[PurePosixPath]] = {}
    for file in folder.images:
        for end in range(1, len(file.stem)):
            if file.stem[end] in _SEPARATORS and _is_picture(folder, file, file.stem[:end]):
                endings.setdefault(file.stem[end:], []).append(file)
    if not endings:
        return ""
    ending, files = max(endings.items(), key=lambda pair: len(pair[1]))
    example = files[0]
    return (
        f"{counted(len(files), 'picture bears', 'pictures bear')} another one's name and "
        f"{ending}, the first is {example}: if these are masks, name them "
        f"{example.stem.removesuffix(ending)}_masks{example.suffix} and "
        "so on; "
    )


def _is_picture(folder: RawFolder, file: PurePosixPath, stem: str) -> bool:
    return any(
        other.parent == file.parent and other.suffix.lower() in SUFFIXES
        for other in folder.by_stem.get(stem, [])
    )
