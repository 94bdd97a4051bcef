"""Coordinates of particles, as their files give them, brought to pixels of their pictures.

Nothing of a file is believed that its pictures contradict: coordinates that all lie in the first
part of every picture, that reach beyond many, or that are fractions were made on another scale;
boxes of EMAN are counted from the last row where the picture is no MRC file. Such data are refused
with the option that says what is meant; where only one meaning is possible it is taken, and told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from trainables.datasets.coordinates import TABLES, Points
from trainables.datasets.geometry import reach_of_first_part
from trainables.datasets.particle_size import FRACTION, Length, ParticleSize
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import RawImage, RawSource
from trainables.datasets.raw.reading import RawReading
from trainables.datasets.units import UM
from trainables.files.words import counted

_FEW: Final = 3
"""Fewer coordinates do not tell whether they are all fractions, or all whole."""

_FIRST_PART: Final = 2 / 3
"""Coordinates that reach no further on both sides are questioned; those up to `_NEARLY` told."""

_NEARLY: Final = 0.9

_OUTSIDE: Final = 0.1
"""Share of coordinates beyond their pictures, and their number, that are questioned."""

_N_OUTSIDE: Final = 5

_MARGIN: Final = 0.05
"""Share of a side that coordinates may reach beyond it, as those of particles at the edge do."""

_BOX_SLACK_PX: Final = 1.0
"""A box may reach this far beyond its picture, as tools round."""

_MRC: Final = (".mrc", ".mrcs")

_UM_PER_ANGSTROM: Final = 1e-4

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Placing:
    """Particles of one picture.

    Attributes:
        source: Place of their file.
        image: The picture.
        points: The particles, in pixels of the picture once they are placed.
    """

    source: RawSource
    image: RawImage
    points: Points


def place(reading: RawReading, given: Sequence[Placing]) -> list[Placing]:
    """Particles in pixels of their pictures, from the first row on.

    Raises:
        DatasetError: The user must say what the coordinates mean, or the size of a pixel.
    """
    sizes = reading.sizes
    if sizes.unit is None and _are_fractions(given):
        sizes = replace(sizes, unit=FRACTION)
        n = sum(len(entry.points) for entry in given)
        reading.warnings.append(
            f"{_files(given)}: all {n} coordinates lie between 0 and 1; they are taken for "
            "fractions of the pictures' sides. --unit says otherwise"
        )
    _question_corners(sizes, given)
    placed = [replace(entry, points=_placed(reading, entry, sizes)) for entry in given]
    if sizes.unit is None:
        _question_scale(reading, placed)
    _note_boxes(reading, given)
    _tell_sizes(reading, given)
    if not sizes.half_pixel:
        _note_whole_numbers(reading, given)
    return placed


def question_rows(sizes: ParticleSize, given: Sequence[Placing]) -> None:
    """Ask from which row the boxes of pictures that are no MRC files are counted.

    Raises:
        DatasetError: There are some, and the user did not say it.
    """
    asked = [e for e in given if len(e.points) and e.image.file.suffix.lower() not in _MRC]
    if sizes.flip_y is not None or not asked:
        return
    n = sum(len(entry.points) for entry in asked)
    raise DatasetError(
        f"{_files(asked)}: {counted(n, 'box', 'boxes')} of pictures that are no MRC files, the "
        f"first is {asked[0].image.file}: EMAN counts their rows from the last one, other programs "
        "(segtune pick, too) from the first. Say which: --flip-y for the last row, as EMAN does, "
        "or --no-flip-y for the first"
    )


def _are_fractions(given: Sequence[Placing]) -> bool:
    centers = [entry.points.centers for entry in given if entry.points.unit == "px"]
    every = np.concatenate([*centers, np.zeros((0, 2))])
    every = every[np.isfinite(every).all(axis=1)]
    return len(every) >= _FEW and bool((every >= 0).all() and (every <= 1).all() and every.any())


def _placed(reading: RawReading, entry: Placing, sizes: ParticleSize) -> Points:
    points, image = entry.points, entry.image
    side = np.array([image.width, image.height], dtype=np.float64)
    centers = points.centers
    at_corner = points.boxes is not None and points.corner_assumed
    if points.boxes is not None and (
        _are_of_picture(entry) or (at_corner and sizes.xy == "center")
    ):
        centers = centers - points.boxes / 2
    scale = side if points.unit == "fraction" else _scale(sizes, image, side)
    if sizes.half_pixel and points.boxes is None and _are_whole(centers):
        centers = centers + 0.5
    centers = centers * scale - _shift(reading, entry)
    if sizes.flip_y:
        centers = np.stack([centers[:, 0], image.height - centers[:, 1]], axis=1)
    radii = _radii(reading, entry, float(scale[0]))
    return replace(points, centers=centers, radii=radii, unit="px", shifts=None, radius_unit="px")


def _radii(reading: RawReading, entry: Placing, scale: float) -> Floats | None:
    """Radii of the particles in pixels of the picture.

    Raises:
        DatasetError: They have a unit of length, and nobody said how large a pixel is.
    """
    points, sizes = entry.points, reading.sizes
    if points.radii is None:
        return None
    if points.radius_unit == "px":
        return points.radii * scale if isinstance(sizes.unit, Length) else points.radii
    um_per_px = sizes.um_per_px(entry.image.um_per_px)
    if um_per_px is not None:
        return points.radii * (UM[points.radius_unit] / um_per_px)
    said = (
        f"the radii of {entry.source.file} are in {points.radius_unit}, and nothing says how large "
        f"a pixel of {entry.image.file} is"
    )
    if sizes.radius is None:
        raise DatasetError(f"--pixel-size: expected the side of a pixel, as 1.77A: {said}")
    return None


def _are_of_picture(entry: Placing) -> bool:
    """Whether width and height of all rows are the picture's own, and no boxes."""
    side, boxes = [entry.image.width, entry.image.height], entry.points.boxes
    return boxes is not None and len(boxes) > 0 and bool((boxes == side).all())


def _question_corners(sizes: ParticleSize, given: Sequence[Placing]) -> None:
    """Ask what x and y beside a width and a height are, where the pictures' edges do not show it.

    Raises:
        DatasetError: They may be the boxes' centres, and the user did not say it.
    """
    asked = [e for e in given if e.points.corner_assumed and len(e.points)]
    asked = [entry for entry in asked if not _are_of_picture(entry)]
    if sizes.xy or not asked:
        return
    n = sum(len(entry.points) for entry in asked)
    corner, center = (
        np.sum([_n_beyond(sizes, entry, shift) for entry in asked], axis=0) for shift in (0.0, 0.5)
    )
    if not corner[0] and (center[0] or (center[1] and not corner[1])):
        return
    raise DatasetError(
        f"{_files(asked)}: {counted(n, 'row has', 'rows have')} x and y beside a width and a "
        f"height: a box's corner or its centre? As corners {corner[1]} of the boxes reach beyond "
        f"their pictures, as centres {center[1]}. Say which: --xy corner or --xy center"
    )


def _n_beyond(sizes: ParticleSize, entry: Placing, shift: float) -> tuple[int, int]:
    """Number of particles, and of their boxes, that reach beyond their picture.

    Args:
        sizes: What the user said.
        entry: Particles, their places taken for the middles of boxes of which x, y are the corner.
        shift: Share of a box's sides by which they lie further up and left.
    """
    points, side = entry.points, np.array([entry.image.width, entry.image.height], dtype=np.float64)
    if points.boxes is None:
        return 0, 0
    scale = side if points.unit == "fraction" else _scale(sizes, entry.image, side)
    middles = (points.centers - points.boxes * shift) * scale
    beyond = np.maximum(-middles, middles - side).max(axis=1)
    of_boxes = beyond + (points.boxes * scale / 2).max(axis=1)
    return int((beyond > _BOX_SLACK_PX).sum()), int((of_boxes > _BOX_SLACK_PX).sum())


def _scale(sizes: ParticleSize, image: RawImage, side: Floats) -> Floats:
    """Pixels of one unit of the coordinates, along x and y.

    Raises:
        DatasetError: Its length is none in pixels, and nobody said how large they are.
    """
    if sizes.unit is None:
        return np.ones(2)
    if not isinstance(sizes.unit, Length):
        return side
    if sizes.unit.unit == "px":
        return np.full(2, sizes.unit.value)
    um_per_px = sizes.um_per_px(image.um_per_px)
    if um_per_px is None:
        raise DatasetError(
            f"--pixel-size: expected the side of a pixel, as 1.77A, for --unit {sizes.unit.text}, "
            f"got none, and {image.file} does not say it either"
        )
    return np.full(2, sizes.unit.um / um_per_px)


def _shift(reading: RawReading, entry: Placing) -> Floats:
    """Shifts of the particles in pixels of the picture.

    Raises:
        DatasetError: They are in Å, and nobody said how large a pixel is.
    """
    shifts = entry.points.shifts
    if shifts is None:
        return np.zeros(2)
    if entry.points.shift_unit == "A":
        um_per_px = reading.sizes.um_per_px(entry.image.um_per_px)
        if um_per_px is None:
            raise DatasetError(
                f"--pixel-size: expected the side of a pixel, as 1.77A, for the shifts in Å of "
                f"{entry.source.file}, got none, and {entry.image.file} does not say it either"
            )
        shifts = shifts * _UM_PER_ANGSTROM / um_per_px
    reading.notes.append(
        f"{entry.source}: refined shifts of up to {np.nanmax(np.abs(shifts)):.3g} px are taken off"
    )
    return np.asarray(shifts)


def _question_scale(reading: RawReading, placed: Sequence[Placing]) -> None:
    """Ask for the unit of coordinates that do not fit their pictures.

    Raises:
        DatasetError: They reach beyond many, or lie in the first part of all.
    """
    relative = [
        entry.points.centers / [entry.image.width, entry.image.height]
        for entry in placed
        if len(entry.points)
    ]
    every = np.concatenate([*relative, np.zeros((0, 2))])
    every = every[np.isfinite(every).all(axis=1)]
    if len(every) == 0:
        return
    beyond = ((every < 0) | (every > 1)).any(axis=1)
    n_pictures = sum(bool(((part < 0) | (part > 1)).any()) for part in relative)
    many = beyond.sum() >= _N_OUTSIDE and beyond.mean() >= _OUTSIDE
    far = every.max() > 1 + _MARGIN or every.min() < -_MARGIN
    if many and far and 2 * n_pictures >= len(relative):  # of a few pictures, each is told
        raise DatasetError(_beyond(placed, every, int(beyond.sum())))
    reach = reach_of_first_part(every)
    if reach is not None and reach.max() <= _FIRST_PART:
        raise DatasetError(_within(placed, reach, len(every)))
    if reach is not None and reach.max() <= _NEARLY:
        reading.warnings.append(_within(placed, reach, len(every)))
    else:
        _warn_of_single_pictures(reading, [entry for entry in placed if len(entry.points)])


def _warn_of_single_pictures(reading: RawReading, placed: Sequence[Placing]) -> None:
    """Say which pictures have all their particles in their first part, where others do not."""
    for entry in placed:
        spots = entry.points.centers / [entry.image.width, entry.image.height]
        reach = reach_of_first_part(spots)
        if reach is not None and reach.max() <= _FIRST_PART:
            reading.warnings.append(
                f"{entry.source.file}: all {len(spots)} coordinates of {entry.image.file} lie in "
                f"the first {reach[0]:.2f} x {reach[1]:.2f} of its sides, unlike those of other "
                "pictures: were they made on a smaller one (binned)? Look at the contact sheets"
            )


def _within(placed: Sequence[Placing], reach: Floats, n: int) -> str:
    factor = max(1 / reach.max(), 1)
    rounded = np.floor(factor) if factor >= 2 else round(factor, 2)
    return (
        f"{_files(placed)}: all {n} coordinates lie in the first {reach[0]:.2f} x {reach[1]:.2f} "
        f"of the sides of {counted(len(placed), 'picture')}: were they made on smaller pictures "
        f"(binned), or are they in another unit? Say so: --unit {rounded:g}px (one unit is so "
        "many pixels), --unit 1A or 1nm; --unit 1px takes them as they are"
    )


def _beyond(placed: Sequence[Placing], every: Floats, n: int) -> str:
    reach = every.max()
    why = (
        "are they counted from the middle of the picture?"
        if (every.min(axis=0) < -0.1).all()
        else "were they made on larger pictures, or are they in another unit?"
    )
    return (
        f"{_files(placed)}: {n} of {len(every)} coordinates lie outside their pictures and reach "
        f"{reach:.2g} times as far: {why} Say so: --unit {1 / max(reach, 1):.2g}px (one unit is so "
        "many pixels), --unit 1A or 1nm; --unit 1px leaves out those that lie outside"
    )


def _note_boxes(reading: RawReading, given: Sequence[Placing]) -> None:
    boxes = [e for e in given if e.points.boxes is not None and e.source.file.suffix in TABLES]
    n = sum(len(entry.points) for entry in boxes)
    if n:
        reading.notes.append(
            f"{_files(boxes)}: {counted(n, 'particle')} given as boxes, in whose middle the "
            "centres are; x and y beside a width and a height are taken for a box's corner"
        )


def _tell_sizes(reading: RawReading, given: Sequence[Placing]) -> None:
    """Say which numbers may be sizes of particles, and are not read."""
    sizes = reading.sizes
    unknown = [
        entry
        for entry in given
        if entry.points.radius_unit != "px" and sizes.um_per_px(entry.image.um_per_px) is None
    ]
    if unknown and sizes.radius:
        n = sum(len(entry.points) for entry in unknown)
        reading.warnings.append(
            f"{_files(unknown)}: the radii of {counted(n, 'particle')} are in "
            f"{unknown[0].points.radius_unit}, and nothing says how large a pixel is "
            f"(--pixel-size): --radius {sizes.radius.text} is taken for them"
        )
    unread = [entry for entry in given if entry.points.sizes and len(entry.points)]
    if unread:
        names = ", ".join(dict.fromkeys(name for entry in unread for name in entry.points.sizes))
        n = sum(len(entry.points) for entry in unread)
        reading.warnings.append(
            f"{_files(unread)}: the column {names} of {counted(n, 'particle')} is not read: is it "
            "a size? Radii stand in a column radius or diameter, with a unit as in radius_nm; "
            "--radius is taken"
        )
    third = [e for e in given if e.source.file.suffix == ".json" and e.points.scores is not None]
    numbers = np.concatenate([*(e.points.scores for e in third if e.points.scores is not None), []])
    if len(numbers) and (numbers.min() < 0 or numbers.max() > 1):
        reading.warnings.append(
            f"{_files(third)}: the third numbers of {counted(len(numbers), 'particle')} "
            f"({numbers.min():g} to {numbers.max():g}) are no confidences from 0 to 1, and are not "
            "read: are they radii? --radius is taken"
        )


def _note_whole_numbers(reading: RawReading, given: Sequence[Placing]) -> None:
    points = [entry for entry in given if entry.points.unit == "px" and len(entry.points)]
    pixels = [entry for entry in points if entry.points.boxes is None]
    n = sum(len(entry.points) for entry in pixels)
    if n >= _FEW and all(_are_whole(entry.points.centers) for entry in pixels):
        reading.notes.append(
            f"{_files(pixels)}: all {n} coordinates are whole numbers, and taken as they are, from "
            "the corner of the first pixel on; if they number pixels, --half-pixel puts each into "
            "the middle of its pixel"
        )


def _are_whole(centers: Floats) -> bool:
    finite = centers[np.isfinite(centers).all(axis=1)]
    return len(finite) > 0 and bool((finite == np.rint(finite)).all())


def _files(given: Sequence[Placing]) -> str:
    """Names of the files, the first and how many more."""
    files = list(dict.fromkeys(entry.source.file for entry in given))
    more = f" and {counted(len(files) - 1, 'more file')}" if len(files) > 1 else ""
    return f"{files[0]}{more}"
