"""Particle coordinates beside micrographs: JSON, STAR, EMAN box, tables and cryoSPARC's files.

What the files mean is told in `trainables.datasets.coordinates`, and what is asked about them in
`trainables.datasets.raw.placing`. A particle becomes a disc of the
radius that is asked for, cut at the picture's edges, and keeps its centre and radius.

A micrograph that no file speaks of is unlabelled: what is in it is not known. It is kept as such,
where it lies in the folder of a labelled one or in one named `unlabelled`, and is no negative. One
that a file speaks of without naming a particle is a negative.

A file without a column for the micrograph belongs to the picture of its own name, or to the one
with the longest name that its own begins with: `grid2_007_autopick.star` to `grid2_007.mrc`. What
is called `stack_p2.box` is about the third section of `stack.mrcs`.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from trainables.datasets.coordinates import OWN_NAME, TABLES, Points
from trainables.datasets.images import SUFFIXES
from trainables.datasets.particle_size import ANGSTROM_PER_UM, MIN_RADIUS_PX, TooSmallPictureError
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind, RawImage, RawSource
from trainables.datasets.raw.folder import LeavesFolderError, NotFoundError, RawFolder, split_of
from trainables.datasets.raw.naming import picture_named_like
from trainables.datasets.raw.placing import Placing, place, question_rows
from trainables.datasets.raw.reading import RawReading
from trainables.datasets.records import ParticleDisc
from trainables.files.words import counted

JSON: Final = (".json",)

STAR: Final = (".star",)

BOX: Final = (".box",)

CSV: Final = TABLES

CS: Final = (".cs",)

SAME_PX: Final = 1.0
"""Two centres nearer than this are one particle, listed twice."""

_FARTHEST_PX: Final = 1e12
"""Coordinates beyond are no pixels: their squares may be no numbers."""

_FEW: Final = 3
"""Fewer coordinates do not tell whether most of them are wrong."""

_UNLABELLED: Final = frozenset({"unlabelled", "unlabeled"})

_SECTION: Final = re.compile(r"_p(\d+)(?![^_\-. ])")
"""What follows a stack's name in that of a file about one of its sections."""


def count_images(folder: RawFolder, suffixes: tuple[str, ...]) -> int:
    """Micrographs that the files of one kind speak of."""
    return sum(1 for _ in _micrographs(folder, suffixes))


def count_here(folder: RawFolder, suffixes: tuple[str, ...]) -> int:
    """Micrographs that the files of one kind speak of and that are here."""
    return sum(
        picture_named_like(folder, file) is not None
        if name == OWN_NAME
        else folder.has(findable(folder, name, file), file)
        for file, name, _ in _micrographs(folder, suffixes)
    )


def read(reading: RawReading, suffixes: tuple[str, ...]) -> None:
    """Read the files of one kind, and take in the micrographs that they do not speak of.

    Raises:
        DatasetError: No radius is known, or it cannot be one in any picture; or the user must say
            what the coordinates mean.
    """
    reading.notes.append(f"the format has no classes; every object is {reading.object_class!r}")
    given = list(_given(reading, suffixes))
    if suffixes == BOX:
        question_rows(reading.sizes, given)
    placed = place(reading, given)
    _warn_of_radii(reading, placed)
    too_small: list[TooSmallPictureError] = []
    for entry in placed:
        if not reading.claim(entry.image, replace(entry.source, image=None)):
            continue
        try:
            _add_particles(reading, entry)
        except TooSmallPictureError as error:
            reading.problem(Kind.SMALL_PICTURE, entry.source, str(error))
            too_small.append(error)
    if too_small and not any(image.objects for image in reading.images.values()):
        raise too_small[0]  # the radius is wrong, not the pictures
    _add_unlabelled(reading)
    _warn_of_pixel_sizes(reading)
    _warn_of_crowding(reading)


def _given(reading: RawReading, suffixes: tuple[str, ...]) -> Iterator[Placing]:
    """Particles with their pictures, as the files give them."""
    for file, name, points in _micrographs(reading.folder, suffixes):
        source = RawSource(file, name, n_objects=len(points))
        for image, its_points in _pictures(reading, source, points):
            image.split = split_of(image.file)
            image.um_per_px = reading.sizes.um_per_px(image.um_per_px)
            yield Placing(source.of(image), image, its_points)


def _pictures(
    reading: RawReading, source: RawSource, points: Points
) -> Iterator[tuple[RawImage, Points]]:
    """Pictures that particles are on: one, or as many as the sections of a stack they name."""
    if source.place == OWN_NAME:
        image = _own_picture(reading, source)
    else:
        image = reading.image(findable(reading.folder, source.place, source.file), source)
    if image is None:
        return
    if points.sections is None or reading.pages(image.file) == 1:
        yield image, points
        return
    for section in np.unique(points.sections).tolist():
        page = reading.open(image.file, section - 1) if section > 0 else None
        if page is not None:
            yield page, points.taken(np.flatnonzero(points.sections == section))


def _micrographs(
    folder: RawFolder, suffixes: tuple[str, ...]
) -> Iterator[tuple[PurePosixPath, str, Points]]:
    """Files with the micrographs they name and their particles."""
    for file in folder.with_suffix(*suffixes):
        if suffixes == JSON and not _names_pictures(folder, folder.document(file)):
            continue
        found = folder.coordinates(file) or {}
        if suffixes == CSV and OWN_NAME in found and picture_named_like(folder, file) is None:
            continue  # a table of something else
        for name, points in found.items():
            yield file, name, points


def _names_pictures(folder: RawFolder, document: Any) -> bool:
    """Whether a key of a JSON file is a picture's name."""
    lists = isinstance(document, dict) and all(isinstance(v, list) for v in document.values())
    keys = document if lists else ()
    names = (PureWindowsPath(str(key)).name for key in keys)
    return any(
        PurePosixPath(name).suffix.lower() in SUFFIXES or name in folder.by_stem for name in names
    )


def _own_picture(reading: RawReading, source: RawSource) -> RawImage | None:
    picture = picture_named_like(reading.folder, source.file)
    if picture is not None:
        section = _SECTION.match(source.file.stem, len(picture.stem))
        stack = section is not None and reading.pages(picture) > 1
        return reading.open(picture, int(section[1]) if section and stack else None)
    reason = f"no picture is called {source.file.stem}.*, or as the beginning of that"
    if source.file.suffix.lower() in (*STAR, *CSV):
        column = "rlnMicrographName" if source.file.suffix.lower() in STAR else "image_name"
        reason += f", and no column {column} says which pictures are meant"
    reading.problem(Kind.LABEL_WITHOUT_IMAGE, source, reason)
    return None


def findable(folder: RawFolder, name: str, beside: PurePosixPath) -> str:
    """A micrograph's name as a picture of the folder has it.

    Programs write the path in their own project, and the suffix of the file that they read; here
    it may lie elsewhere, as a PNG.
    """
    with contextlib.suppress(NotFoundError, LeavesFolderError):
        return str(folder.find(name, beside))
    base = PureWindowsPath(name).name
    if base in folder.by_name:
        return base
    stem = PurePosixPath(base).stem if PurePosixPath(base).suffix.lower() in SUFFIXES else base
    same = folder.by_stem.get(stem, [])
    return same[0].name if len(same) == 1 else base


def _add_particles(reading: RawReading, entry: Placing) -> None:
    image, points, source = entry.image, entry.points, entry.source
    if reason := _of_another_picture(image, points):
        reading.problem(Kind.OUTSIDE, source, reason)
        return
    if reading.sizes.radius is None and points.boxes is not None and source.file.suffix in CSV:
        raise DatasetError(
            f"{source.file}: each row has a box; say what it is: --boxes where it is an object's "
            "own box, or --radius 9px (80A, 8nm) where its middle is a particle's centre"
        )
    radii = _radii(reading, image, points)
    twice = _listed_before(points)
    for number, (x, y) in enumerate(points.centers.tolist()):
        here = source.at(", ".join(filter(None, (source.place, f"row {points.rows[number]}"))))
        if number in twice:
            reason = f"within {SAME_PX:g} px of row {points.rows[twice[number]]}"
            reading.problem(Kind.PARTICLE_TWICE, here, reason)
        else:
            reading.add_disc(image, ParticleDisc(x, y, radii[number]), here)


def _of_another_picture(image: RawImage, points: Points) -> str:
    """The reason why coordinates cannot be of this picture, or "".

    Where most lie outside, those that lie inside are at wrong places too.
    """
    centers = points.centers[np.isfinite(points.centers).all(axis=1)]
    size = np.array([image.width, image.height])
    outside = ((centers < 0) | (centers > size)).any(axis=1)
    if 2 * outside.sum() <= len(centers) or len(centers) < _FEW:
        return ""
    x, y = centers.max(axis=0)
    return (
        f"{outside.sum()} of {len(centers)} coordinates are not in {image.width} x {image.height} "
        f"pixels, they reach to ({x:g}, {y:g}): were they made on a larger picture, about "
        f"{max(x / image.width, y / image.height):.2g} times as large? None of them is used"
    )


def _radii(reading: RawReading, image: RawImage, points: Points) -> list[float]:
    """Radius of each particle: of its row where that can be one, else the one asked for."""
    if not len(points):
        return []
    usable = _usable_radii(points)
    if usable.all() and points.radii is not None:
        return [float(radius) for radius in points.radii]
    side = min(image.width, image.height)
    radius = reading.sizes.radius_px(str(image.file), image.um_per_px, side)
    given = np.full(len(points), radius) if points.radii is None else points.radii
    return [float(value) for value in np.where(usable, given, radius)]


def _usable_radii(points: Points) -> npt.NDArray[np.bool_]:
    """Whether each particle has a radius that can be one in pixels."""
    if points.radii is None:
        return np.zeros(len(points), dtype=bool)
    return np.asarray(np.nan_to_num(points.radii) >= MIN_RADIUS_PX)


def _warn_of_radii(reading: RawReading, placed: list[Placing]) -> None:
    """Say which radii of the files are not used.

    Raises:
        DatasetError: There are such, and no other one is given.
    """
    with_radii = [entry for entry in placed if entry.points.radii is not None and len(entry.points)]
    aside = [entry for entry in with_radii if not _usable_radii(entry.points).all()]
    if not aside:
        return
    radii = np.concatenate([e.points.radii for e in aside if e.points.radii is not None])
    wrong = radii[~(np.nan_to_num(radii) >= MIN_RADIUS_PX)]
    numbers = wrong[np.isfinite(wrong)]
    values = f" ({numbers.min():g} to {numbers.max():g})" if len(numbers) else ""
    said = (
        f"{aside[0].source.file}: the radii of {len(wrong)} of "
        f"{counted(sum(len(entry.points) for entry in with_radii), 'particle')}{values} cannot be "
        f"pixels, of which a radius has at least {MIN_RADIUS_PX:g}"
    )
    if reading.sizes.radius is None:
        raise DatasetError(f"{said}: in what unit are they? Give --radius for them")
    reading.warnings.append(f"{said}; --radius {reading.sizes.radius.text} is taken for them")


def _listed_before(points: Points) -> dict[int, int]:
    """Particles that are there already: index to the index of the first one."""
    finite = np.flatnonzero((np.abs(points.centers) < _FARTHEST_PX).all(axis=1))
    pairs = cKDTree(points.centers[finite]).query_pairs(SAME_PX, output_type="ndarray")
    twice: dict[int, int] = {}
    for first, second in sorted(map(tuple, finite[pairs].tolist())):
        if first not in twice:
            twice.setdefault(second, first)
    return twice


def _add_unlabelled(reading: RawReading) -> None:
    labelled = list(reading.images.values())
    folders = {image.file.parent for image in labelled}
    stems = {image.file.stem for image in labelled}
    taken = 0
    for picture in reading.folder.images:
        named = any(part.lower() in _UNLABELLED for part in picture.parts[:-1])
        if picture.stem in stems or not (named or picture.parent in folders):
            continue
        image = reading.open(picture)
        if image is not None:
            image.labelled, image.split = False, split_of(picture)
            image.um_per_px = reading.sizes.um_per_px(image.um_per_px)
            taken += 1
    if taken:
        reading.notes.append(
            f"{counted(taken, 'micrograph is', 'micrographs are')} named by no coordinates: "
            "unlabelled, not negative. Only training without labels uses such; an empty list of "
            "coordinates says that there is nothing in a micrograph"
        )


def _warn_of_crowding(reading: RawReading) -> None:
    """Say where the particles are nearer to each other than one of them is large.

    Whoever errs in the unit of the radius or in the pixel size sees it here.
    """
    distances, radii = [], []
    for image in reading.images.values():
        discs = [item.disc for item in image.objects if item.disc is not None]
        if len(discs) > 1:
            centers = np.array([(disc.x, disc.y) for disc in discs])
            distances.append(cKDTree(centers).query(centers, k=2)[0][:, 1])
            radii += [disc.radius for disc in discs]
    if not radii:
        return
    distance, radius = float(np.median(np.concatenate(distances))), float(np.median(radii))
    if distance < radius:
        asked = reading.sizes.radius
        given = f", from --radius {asked.text}" if asked else ""
        reading.warnings.append(
            f"particles of {radius:.3g} px radius{given}, cover each other's centres: the nearest "
            f"one is {distance:.3g} px away in the median. Are the unit and the pixel size right? "
            "Look at the contact sheets"
        )


def _warn_of_pixel_sizes(reading: RawReading) -> None:
    """Say where the pixel size given is not the one of the pictures' headers."""
    given = reading.sizes.pixel_size
    if given is None:
        return
    headers = {image.file: reading.header(image.file) for image in reading.images.values()}
    sizes = {file: header.um_per_px for file, header in headers.items() if header}
    wrong = [(file, um) for file, um in sizes.items() if um and reading.sizes.contradicts(um)]
    if wrong:
        file, um = wrong[0]
        n = len(wrong)
        say = "header of 1 micrograph says" if n == 1 else f"headers of {n} micrographs say"
        reading.warnings.append(
            f"the pixel size {given.text} is used, but the {say} another: {file} "
            f"{um * ANGSTROM_PER_UM:.4g} \N{LATIN CAPITAL LETTER A WITH RING ABOVE}"
        )
