"""What is done with each picture of a measurement: read, searched, measured and written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from analysis.finding.finder import Found, searched
from analysis.finding.windows import Window
from analysis.measure.geometry.hulls import Feret
from analysis.measure.geometry.intensity import intensity_table
from analysis.measure.geometry.runs import Runs, packed, runs_of
from analysis.measure.geometry.shapes import box_table, shape_table
from analysis.measure.job.folder import LABELME, LABELS, OVERLAYS, ROIS, JobFolder, PictureRecord
from analysis.measure.outputs.labelme import DrawnParticle, LabelledPage, write_labelme
from analysis.measure.outputs.labels import write_labels
from analysis.measure.outputs.overlays import NumberedPicture, write_overlay
from analysis.measure.outputs.rims import rims
from analysis.measure.outputs.rois import write_rois
from analysis.measure.settings import MeasureSettings
from analysis.pictures.micrographs import Micrograph, source_of
from analysis.scale.reading import ScaleWishes, grey_of, scale_of_pixels
from analysis.scale.region import region_mask
from analysis.scale.scale import Area, ScaleReading, Source
from trainables.datasets.images import (
    DecodedPicture,
    Header,
    UnreadableImageError,
    probe,
    read_picture,
)
from trainables.files.errors import UserError
from trainables.results import Instances

if TYPE_CHECKING:
    import pyarrow as pa

PARTICLE, CLASS, SCORE, MASK = "particle", "class", "score", "mask"
"""Columns of a part beside those that are measured: number from 1, class name, confidence, counts
of the run-length encoding."""

ROW: Final = (
    *("width", "height", "particles", "capped", "cut", "windows", "passes", "quality"),
    *("um_per_px", "scale_source", "scale_rel_uncertainty"),
    *("analysed_x0", "analysed_y0", "analysed_x1", "analysed_y1", "analysed_px", "flags"),
)
"""What a picture's record says of it, in the order of the table of pictures."""


@dataclass(frozen=True)
class ReadPicture:
    """What is known of a picture before it is searched.

    Attributes:
        source: Its file as it was, as `source_of` gives it.
        width: Columns.
        height: Rows.
        n_pages: Pages of its file.
        um_per_px: Side of a pixel in micrometres, or None.
        scale_source: Where that is known from, or "".
        scale_rel_uncertainty: Relative standard uncertainty of it, or None.
        flags: What a person should look at, each a reason in words.
        left_out: Rectangles that are not searched: data bar, scale bar, frames.
        decoded: The picture, as it is stored and as models see it; it stays in the process that
            read it, and is None in any other.
    """

    source: Sequence[int | str]
    width: int
    height: int
    n_pages: int = 1
    um_per_px: float | None = None
    scale_source: str = ""
    scale_rel_uncertainty: float | None = None
    flags: tuple[str, ...] = ()
    left_out: tuple[Window, ...] = ()
    decoded: DecodedPicture | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to other processes."""
        return {**vars(self), "decoded": None}


@dataclass(frozen=True)
class Searched:
    """What was found in a picture.

    Attributes:
        found: The instances, and how they were found.
        classes: Names of the classes.
        flags: What a person should look at, each a reason in words.
    """

    found: Found
    classes: tuple[str, ...]
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureReader:
    """Reads what must be known of a picture before it is searched.

    Attributes:
        pictures: All pictures of the run.
        wishes: How scales are read; None where everything stays in pixels.
    """

    pictures: Sequence[Micrograph]
    wishes: ScaleWishes | None

    def __call__(self, number: int) -> ReadPicture:
        """Size, pages and scale of a picture, and what of it shows no specimen.

        Raises:
            UserError: It cannot be read.
        """
        picture = self.pictures[number]
        try:
            source = source_of(picture)
            header = probe(picture.path)
            decoded = read_picture(picture.path, picture.page, keep_stored=True)
        except OSError as error:
            raise UserError(f"it cannot be read: {error.strerror}") from error
        except UnreadableImageError as error:
            raise UserError(str(error)) from error
        wishes = self.wishes or ScaleWishes(source=Source.GIVEN)
        found = scale_of_pixels(picture, grey_of(decoded.pixels), wishes)
        read = ReadPicture(
            source,
            header.width,
            header.height,
            len(header.pages),
            flags=_pages_left_out(header) if picture.page == header.pages[0] else (),
            left_out=_left_out(found.reading.analysed, header.width, header.height),
            decoded=decoded,
        )
        return read if self.wishes is None else _scaled(read, found.reading)


def _pages_left_out(header: Header) -> tuple[str, ...]:
    """What is to be said of pages that are no pictures of the run; nothing of previews."""
    if not header.others:
        return ()
    pages = ", ".join(map(str, header.others))
    return (f"pages of another size than the first are left out (from 0: {pages})",)


def _left_out(areas: Sequence[Area], width: int, height: int) -> tuple[Window, ...]:
    """The rectangles of a picture that lie in none of some areas."""
    inside = region_mask(areas, (height, width)) if areas else np.ones((height, width), bool)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return (Window(0, 0, width, height),)
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    strips = (
        Window(0, 0, width, top),
        Window(0, bottom, width, height),
        Window(0, top, left, bottom),
        Window(right, top, width, bottom),
    )
    hole = ~inside[top:bottom, left:right]
    ys, xs = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    box = (left + xs[0], top + ys[0], left + xs[-1] + 1, top + ys[-1] + 1) if len(ys) else None
    found = [*(s for s in strips if s.width and s.height), *([Window(*box)] if box else [])]
    return tuple(Window(*map(int, window)) for window in found)


def _scaled(read: ReadPicture, reading: ScaleReading) -> ReadPicture:
    """A picture with what is known of its scale; without one, why there is none is a flag."""
    scale, flags = reading.scale, [*read.flags, *reading.flags]
    if scale is None:
        return replace(read, flags=tuple(dict.fromkeys([*flags, f"no scale: {reading.reason}"])))
    if not scale.is_square:
        flags.append(
            f"no scale: pixels are {scale.um_per_px_x:g} x {scale.um_per_px_y:g} um, not square"
        )
        return replace(read, flags=tuple(flags))
    return replace(
        read,
        um_per_px=scale.um_per_px,
        scale_source=str(scale.source),
        scale_rel_uncertainty=scale.rel_uncertainty,
        flags=tuple(flags),
    )


def in_colours(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A grey picture as one of three equal channels, as models take it."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def for_models(picture: Micrograph, read: ReadPicture) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 of a picture; it is read again where another process had read it."""
    return in_colours((read.decoded or read_picture(picture.path, picture.page)).pixels)


@dataclass(frozen=True)
class Seen:
    """The particles of a picture.

    Attributes:
        instances: The particles.
        classes: Class names.
        runs: Their masks, read once for all that is made of them; None of a model of boxes.
    """

    instances: Instances
    classes: Sequence[str]
    runs: Runs | None


@dataclass(frozen=True)
class PictureMeasurer:
    """Measures what was found and writes it down, the record last.

    Attributes:
        pictures: All pictures of the run.
        folder: Folder of the run.
        settings: Settings.
        of_each: Settings of each picture as they stand in its record.
    """

    pictures: Sequence[Micrograph]
    folder: JobFolder
    settings: MeasureSettings
    of_each: Sequence[Mapping[str, Any]]

    def __call__(self, number: int, read: ReadPicture, found: Searched) -> None:
        """Measure and write a picture's particles."""
        picture, result = self.pictures[number], found.found
        decoded = read.decoded or read_picture(picture.path, picture.page, keep_stored=True)
        assert decoded.stored is not None
        seen = Seen(result.instances, found.classes, runs_in(result.instances, read))
        particles = measured(seen, decoded.stored, read, self.settings.feret)
        self.folder.write_part(picture, particles)
        self._draw(picture, read, seen, decoded.pixels)
        self.folder.write_record(
            picture,
            PictureRecord(
                picture=picture.name,
                settings=self.of_each[number],
                source=read.source,
                row=_row(read, found),
                classes=found.classes,
                removed=result.removed,
            ),
        )

    def _draw(
        self, picture: Micrograph, read: ReadPicture, seen: Seen, pixels: npt.NDArray[np.uint8]
    ) -> None:
        """Write label image, overlay and outlines, as far as they are asked for."""
        folder, runs = self.folder, seen.runs
        if folder.writes(OVERLAYS):
            drawn = NumberedPicture(
                picture.name, pixels, seen.instances, runs, read.um_per_px, read.left_out
            )
            write_overlay(drawn, seen.classes, folder.file(OVERLAYS, picture))
        if runs is None:
            return
        if folder.writes(LABELS):
            write_labels(runs, folder.file(LABELS, picture))
        if not (folder.writes(LABELME) or folder.writes(ROIS)):
            return
        particles = drawn_particles(seen.instances, seen.classes, runs)
        if folder.writes(LABELME):
            page = LabelledPage(picture.file, picture.page, (read.height, read.width), pixels)
            write_labelme(particles, page, folder.file(LABELME, picture))
        if folder.writes(ROIS):
            write_rois(particles, picture.page, read.n_pages, folder.file(ROIS, picture))


def runs_in(instances: Instances, read: ReadPicture) -> Runs | None:
    """The masks of a picture's particles, if they have any."""
    return None if instances.masks is None else runs_of(instances.masks, (read.height, read.width))


def drawn_particles(
    instances: Instances, classes: Sequence[str], runs: Runs
) -> list[DrawnParticle]:
    """The particles of a picture with their outlines."""
    assert instances.masks is not None
    names, scores = instances.classes.tolist(), instances.scores.tolist()
    found = zip(names, scores, instances.masks, rims(runs), strict=True)
    return [
        DrawnParticle(number, classes[name], score, mask, outer, holes)
        for number, (name, score, mask, (outer, holes)) in enumerate(found, start=1)
    ]


def measured(seen: Seen, stored: npt.NDArray[Any], read: ReadPicture, feret: Feret) -> "pa.Table":
    """The table of a picture's particles, in pixels.

    Args:
        seen: The particles.
        stored: The picture as it is in its file.
        read: What is known of the picture.
        feret: Which hulls lengths are taken from.
    """
    import pyarrow as pa  # put off: slow to import

    instances, region = seen.instances, analysed_rectangle(read)
    if seen.runs is None:
        columns = box_table(instances.boxes.astype(np.float64), region)
    else:
        columns = {
            **shape_table(seen.runs, feret=feret, analysed=region),
            **intensity_table(seen.runs, stored),
        }
    masks = [None] * len(instances) if instances.masks is None else _counts(instances.masks)
    return pa.table(
        {
            PARTICLE: pa.array(np.arange(1, len(instances) + 1), pa.int32()),
            CLASS: pa.array([seen.classes[i] for i in instances.classes.tolist()], pa.string()),
            SCORE: pa.array(instances.scores, pa.float32()),
            **{name: pa.array(values, pa.float64()) for name, values in columns.items()},
            MASK: pa.array(masks, pa.string()),
        }
    )


def empty_part() -> "pa.Table":
    """The table of a picture without particles, for its columns."""
    none = Instances(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int), ())
    read = ReadPicture((0, 0), 1, 1)
    seen = Seen(none, (), runs_in(none, read))
    return measured(seen, np.zeros((1, 1), np.uint8), read, "mean")


def _counts(masks: Sequence[Mapping[str, Any]]) -> list[str]:
    return [packed(mask).decode("ascii") for mask in masks]


def analysed_rectangle(read: ReadPicture) -> tuple[int, int, int, int]:
    """The rectangle that is searched: the picture without excluded strips along its borders."""
    left, top, right, bottom = searched(Window(0, 0, read.width, read.height), read.left_out)
    return left, top, right, bottom


def analysed_px(read: ReadPicture) -> int:
    """Number of pixels that are searched."""
    left, top, right, bottom = analysed_rectangle(read)
    inside = np.ones((bottom - top, right - left), bool)
    for hole in read.left_out:
        rows = slice(max(hole.top - top, 0), max(hole.bottom - top, 0))
        inside[rows, max(hole.left - left, 0) : max(hole.right - left, 0)] = False
    return int(inside.sum())


def _row(read: ReadPicture, result: Searched) -> dict[str, Any]:
    """A picture's row in the table of pictures, without its name."""
    found = result.found
    left, top, right, bottom = analysed_rectangle(read)
    return {
        "width": read.width,
        "height": read.height,
        "particles": len(found.instances),
        "capped": found.capped,
        "cut": found.n_cut,
        "windows": found.windows,
        "passes": found.passes,
        "quality": round(found.quality, 6),
        "um_per_px": read.um_per_px,
        "scale_source": read.scale_source,
        "scale_rel_uncertainty": read.scale_rel_uncertainty,
        "analysed_x0": left,
        "analysed_y0": top,
        "analysed_x1": right,
        "analysed_y1": bottom,
        "analysed_px": analysed_px(read),
        "flags": "; ".join([*read.flags, *result.flags]),
    }
