"""The scales of any number of pictures, as one table."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.errors import ScaleError
from analysis.pictures.buckets import shown
from analysis.pictures.micrographs import Micrograph, find_micrographs
from analysis.scale.bar.ocr import HOW_TO_INSTALL, ocr_is_installed, require_ocr
from analysis.scale.debug import write_debug_picture
from analysis.scale.reading import ScaleWishes, read_scale
from analysis.scale.roi import read_roi
from analysis.scale.scale import Scale, ScaleReading, Source
from analysis.scale.table import read_table
from search_spaces.names import nearest_name
from trainables.datasets.particle_size import read_length
from trainables.files.errors import UserError
from trainables.files.whole import write_table

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

AUTO: Final = "auto"

_AT_ONCE: Final = 4
"""Pictures in memory at a time."""

_NAMED: Final = 5  # pictures named in a message

_DIGITS: Final = 9
"""Digits of a number in the table: more than any source has."""


@dataclass(frozen=True)
class ScaleResult:
    """The scales of pictures.

    Attributes:
        readings: A reading of every picture, in the order asked for.
        out: The table that was written, or None.
        searched: Whether burnt-in scale bars were looked for.
    """

    readings: Sequence[ScaleReading]
    out: Path | None
    searched: bool

    @property
    def failed(self) -> list[ScaleReading]:
        """Pictures that could not be read."""
        return [reading for reading in self.readings if reading.failure]

    def lines(self) -> list[str]:
        """The result in lines for the user."""
        known = [reading for reading in self.readings if reading.scale is not None]
        counts = [
            f"{sum(r.scale.source is source for r in known if r.scale)} {words}"
            for source, words in _FROM.items()
            if any(r.scale and r.scale.source is source for r in known)
        ]
        how = f": {', '.join(counts)}" if counts else ""
        lines = [f"{len(known)} of {len(self.readings)} pictures have a scale{how}"]
        flagged = sum(bool(reading.flags) for reading in self.readings)
        if flagged:
            lines.append(f"{flagged} flagged: look at the column flags")
        if self.out is not None:
            lines.append(f"wrote {self.out}")
        return lines

    def warnings(self) -> list[str]:
        """Pictures without a scale, in lines for stderr; empty where all have one."""
        without = [reading for reading in self.readings if reading.scale is None]
        lines = [f"  {reading.name}: {reading.reason}" for reading in without[:_NAMED]]
        if without:
            lines.insert(0, f"{len(without)} of {len(self.readings)} pictures have no scale:")
        if len(without) > _NAMED:
            lines.append(f"  ... and {len(without) - _NAMED} more")
        if without and not self.searched:
            lines.append(f"burnt-in scale bars were not looked for: {HOW_TO_INSTALL}")
        return lines


_FROM: Final[Mapping[Source, str]] = {
    Source.GIVEN: "as given",
    Source.TABLE: "from the table",
    Source.METADATA: "from metadata",
    Source.BAR: "from the burnt-in bar",
}


def plan_scale(
    source: str | None, pixel_size: str | None, table: Path | None, roi: str | None
) -> ScaleWishes:
    """Check how scales are to be read; all problems at once.

    Args:
        source: "auto" or None for all sources, or the only one that counts.
        pixel_size: Side of a pixel with its unit, "4.5nm".
        table: CSV file of pixel sizes.
        roi: Part of every picture in which the bar is looked for, "x,y,w,h".

    Raises:
        ScaleError: A value is wrong, a source lacks its option, or a package is not installed.
    """
    problems: list[str] = []

    def checked(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except UserError as error:
            problems.append(str(error))
            return None

    chosen = checked(lambda: _source(source))
    size = checked(lambda: _length(pixel_size))
    known = checked(lambda: None if table is None else read_table(table))
    part = checked(lambda: None if roi is None else read_roi(roi))
    if chosen is Source.GIVEN and pixel_size is None:
        problems.append("--source given: expected --pixel-size beside it, such as 4.5nm, got none")
    if chosen is Source.TABLE and table is None:
        problems.append("--source table: expected --table FILE beside it, got none")
    if chosen is Source.BAR:
        checked(require_ocr)
    if problems:
        listed = [f"scale: {len(problems)} problems", *problems]
        raise ScaleError(problems[0] if len(problems) == 1 else "\n  ".join(listed))
    return ScaleWishes(chosen, size, known, part)


def read_scales(
    micrographs: Sequence[Micrograph],
    wishes: ScaleWishes,
    out: Path | None = None,
    debug: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> ScaleResult:
    """Read the scales of pictures, and write them down.

    Args:
        micrographs: The pictures.
        wishes: How their scales are to be read.
        out: CSV file to write, or None.
        debug: Folder for a picture of what was looked at in each, or None.
        progress: Told how many of how many are done.

    Raises:
        OSError: A file cannot be written.
    """
    if debug is not None:
        debug.mkdir(parents=True, exist_ok=True)
    readings = []
    for reading in _read_all(micrographs, wishes.among(micrographs), debug):
        readings.append(reading)
        progress(len(readings), len(micrographs))
    if out is not None:
        write_table([_row(reading) for reading in readings], out)
    return ScaleResult(readings, out, wishes.source is not None or ocr_is_installed())


def scale_pictures(
    asked: Sequence[str],
    wishes: ScaleWishes,
    out: Path | None,
    debug: Path | None,
    progress: Progress,
) -> ScaleResult:
    """Find pictures and read their scales.

    Raises:
        PicturesError: There are no such pictures.
        OSError: A file cannot be written.
    """
    return read_scales(find_micrographs(asked, debug), wishes, out, debug, progress)


def _read_all(
    micrographs: Sequence[Micrograph], wishes: ScaleWishes, debug: Path | None
) -> Iterator[ScaleReading]:
    """Readings in the order of the pictures, a few at a time."""

    def read(micrograph: Micrograph) -> ScaleReading:
        try:
            found = read_scale(micrograph, wishes)
            if debug is not None:
                write_debug_picture(debug / f"{micrograph.stem}.png", found, wishes.roi)
        except OSError:
            raise  # of the folder of debug pictures, which is the same for all
        except Exception as error:  # whatever it is, the others go on
            log.warning("%s: not expected, left out", micrograph.name, exc_info=True)
            why = f"{type(error).__name__}: {error}"
            return ScaleReading(
                micrograph.file, micrograph.page, micrograph.name, None, failure=why, reason=why
            )
        return found.reading

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(micrographs), _AT_ONCE):
            yield from pool.map(read, micrographs[start : start + _AT_ONCE])


def _source(text: str | None) -> Source | None:
    names = [AUTO, *(source.value for source in Source)]
    if text is None or text == AUTO:
        return None
    if text not in names:
        raise ScaleError(
            f"--source: expected one of {', '.join(names)}, got "
            f"{text!r}{nearest_name(text.lower(), names)}"
        )
    return Source(text)


def _length(text: str | None) -> Any:
    return None if text is None else read_length("--pixel-size", text, "4.5nm", pixels=False)


def _row(reading: ScaleReading) -> dict[str, Any]:
    """A row of the table; what is not known is empty, never 1.0."""
    scale, bar = reading.scale, reading.bar
    square = scale is not None and scale.is_square
    row: dict[str, Any] = {
        "file": shown(reading.path),
        "page": reading.page,
        "um_per_px": _number(scale.um_per_px) if scale and square else "",
        "um_per_px_x": _number(scale.um_per_px_x) if scale else "",
        "um_per_px_y": _number(scale.um_per_px_y) if scale else "",
        "source": scale.source.value if scale else "",
        "rel_uncertainty": f"{scale.rel_uncertainty:.3g}" if scale else "",
        "detail": scale.detail if scale else "",
        "state": "failed" if reading.failure else "done",
        "reason": reading.reason,
        "flags": "; ".join(reading.flags),
    }
    row |= {f"{source.value}_um_per_px": _said(reading.of(source)) for source in Source}
    row |= {
        "bar_text": bar.text if bar else "",
        "bar_um": _number(bar.um) if bar else "",
        "bar_x0": bar.x0 if bar else "",
        "bar_x1": bar.x1 if bar else "",
        "bar_y": bar.y if bar else "",
        "bar_px": bar.length_px if bar else "",
        "analysed": " ".join(area.text for area in reading.analysed),
        "analysed_px": sum(a.pixels for a in reading.analysed) if reading.analysed else "",
    }
    return row


def _said(scale: Scale | None) -> str:
    return "" if scale is None else _number(scale.um_per_px)


def _number(value: float) -> str:
    return f"{value:.{_DIGITS}g}"
