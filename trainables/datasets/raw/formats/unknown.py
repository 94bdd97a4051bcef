"""Messages about a folder in which no annotations are recognised: what is there, and what to do."""

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from trainables.datasets.images import SUFFIXES
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder
from trainables.datasets.raw.formats import particles
from trainables.datasets.raw.formats.masks.layout import (
    IMAGE_FOLDERS,
    LABEL_FOLDERS,
    label_place,
    without_ending,
)
from trainables.files.text import read_text
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

_NEEDED: Final = {
    particles.CSV: "a header with the columns x and y (or x_coord, X-Coordinate, xmin, ...), and "
    "rows of pictures that are here; of boxes xmin, ymin, xmax, ymax and label",
    particles.STAR: "a table with the columns rlnCoordinateX and rlnCoordinateY",
    particles.BOX: "x, y, width and height in each row",
    particles.CS: "location/center_x_frac and location/center_y_frac",
    particles.JSON: '{"image.png": [[x, y], ...], ...} with names of pictures that are here',
}
"""What coordinates look like, by the suffixes of their files."""

_ROW_CELLS: Final = 2  # at the least, of coordinates

_MOST_CELLS: Final = 5  # a name, two coordinates, a confidence, a radius

_LINE_SHOWN: Final = 60

_COLUMNS_SHOWN: Final = 6

_WITH_COLUMNS: Final = (".csv", ".tsv", *particles.STAR)

_STAR_COLUMN: Final = re.compile(r"^_(rln\w+)", re.MULTILINE)

_PICTURE_FOLDERS: Final = frozenset(
    {*IMAGE_FOLDERS, "train", "val", "valid", "test", "pictures", "micrographs", "raw"}
)

_ANNOTATIONS: Final = (".json", ".xml", ".csv", ".star", ".txt", ".yaml", ".geojson")

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
    if folder.images and not others and (beside := _labels_beside(folder)):
        return beside
    kinds = Counter(file.suffix.lower() or "no suffix" for file in others).most_common(_KINDS_SHOWN)
    listed = ", ".join(f"{n} {_kind_name(suffix)}" for suffix, n in kinds)
    what = f" ({listed})" if listed else ""
    return (
        f"found {counted(len(folder.images), 'picture')} and "
        f"{counted(len(others), 'other file')}{what}; "
        f"{_pairs(folder)}{_other_case(folder)}expected one of {', '.join(names)}. {HOW_MASKS_LIE}"
    )


def why_no_coordinates(folder: RawFolder, asked: str) -> str:
    """A message: what the first possible file of coordinates lacks; "" without one.

    Args:
        folder: A raw folder without annotations of a known format.
        asked: The format that was asked for, or "".
    """
    for table in folder.with_suffix(*particles.CSV):
        if row := _first_row(folder, table):
            return (
                f"{table} has no header: its first line is {row!r}. Give it one, as "
                "image_name,x_coord,y_coord; where the file bears its picture's name, x,y"
            )
    kinds = [(".csv", ".tsv"), particles.STAR, particles.BOX, particles.CS]
    kinds += [particles.JSON] if asked == "coordinates" else []
    for suffixes in kinds:
        file = next(iter(folder.with_suffix(*suffixes)), None)
        needed = next(text for known, text in _NEEDED.items() if {*suffixes} <= {*known})
        if file is not None:
            has = _columns(folder, file)
            return f"{file} holds no coordinates{has}: expected {needed}"
    return ""


def _first_row(folder: RawFolder, file: PurePosixPath) -> str:
    """The first line of a table where it is a row of coordinates, or ""."""
    try:
        line = read_text(folder.path(file)).partition("\n")[0].strip()
    except (OSError, ValueError, LeavesFolderError):
        return ""
    cells = re.split(r"[,;\t]\s*" if re.search(r"[,;\t]", line) else r"\s+", line)
    numbers = [bool(re.fullmatch(r"[-+]?\d+([.,]\d*)?(e[-+]?\d+)?", cell, re.I)) for cell in cells]
    is_row = sum(numbers) >= _ROW_CELLS and all(numbers[1:]) and len(cells) <= _MOST_CELLS
    return line[:_LINE_SHOWN] if is_row else ""


def _columns(folder: RawFolder, file: PurePosixPath) -> str:
    """The columns of a STAR file or a table in a few words, and what they say of particles."""
    try:
        text = read_text(folder.path(file)) if file.suffix.lower() in _WITH_COLUMNS else ""
    except (OSError, ValueError, LeavesFolderError):
        return ""
    if file.suffix.lower() in particles.STAR:
        columns = _STAR_COLUMN.findall(text)
    else:
        columns = [
            cell.strip(' "') for cell in re.split(r"[,;\t]", text.partition("\n")[0].strip())
        ]
        columns = [cell for cell in columns if cell]
    if not columns:
        return ""
    more = " and others" if len(columns) > _COLUMNS_SHOWN else ""
    has = f", but the columns {', '.join(columns[:_COLUMNS_SHOWN])[:_LINE_SHOWN]}{more}"
    if "rlnImageName" in columns:
        has += " (particles that were cut out, without their places; the STAR file of the picking "
        has += "or of the extraction has them)"
    return has


def _labels_beside(folder: RawFolder) -> str:
    """A message about a folder of pictures whose labels lie beside it; "" without any there.

    Names are looked at, and no file is opened: it lies outside.
    """
    above = folder.root.parent
    with contextlib.suppress(OSError):
        names = sorted(path.name for path in above.iterdir() if path != folder.root)
        found = [name for name in names if _may_be_labels(name)]
        if found and folder.root.name.lower() in _PICTURE_FOLDERS:
            return (
                f"it holds {counted(len(folder.images), 'picture')} and nothing else; beside it "
                f"lies {found[0]}: give the folder that holds both, {above}"
            )
    return ""


def _may_be_labels(name: str) -> bool:
    """Whether a name is one of a folder of labels, or of a file of annotations."""
    return name.lower() in LABEL_FOLDERS or PurePosixPath(name).suffix.lower() in _ANNOTATIONS


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


def _other_case(folder: RawFolder) -> str:
    """A sentence about masks that bear their pictures' names in another case; "" without any."""
    stems = {file.stem.casefold(): file for file in folder.images if label_place(file) is None}
    masks = [file for file in folder.images if label_place(file) is not None]
    for file in masks:
        picture = stems.get(without_ending(file.stem).casefold())
        if picture is not None:
            return f"{file} and {picture} differ in case, so they are no pair: rename one; "
    return ""


def _is_picture(folder: RawFolder, file: PurePosixPath, stem: str) -> bool:
    return any(
        other.parent == file.parent and other.suffix.lower() in SUFFIXES
        for other in folder.by_stem.get(stem, [])
    )
