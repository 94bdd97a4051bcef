"""What a pixel measures, with where it is known from and how surely."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

TOLERANCE: Final = 0.03
"""Relative difference of two sources from which on a picture is flagged."""

SQUARE: Final = 1e-6
"""Relative difference of both sides from which on a pixel is not square."""


class Source(StrEnum):
    """Where a pixel size is known from, the first wins."""

    GIVEN = "given"
    TABLE = "table"
    METADATA = "metadata"
    BAR = "bar"


@dataclass(frozen=True)
class Scale:
    """The size of a picture's pixels.

    Attributes:
        um_per_px_x: Width of a pixel in micrometres.
        um_per_px_y: Height of a pixel in micrometres.
        source: Where it is known from.
        rel_uncertainty: Relative standard uncertainty of the reading: half of the last digit of a
            number, one pixel of a bar. How well the microscope is calibrated is not in it.
        detail: The words or the tag it was read from.
    """

    um_per_px_x: float
    um_per_px_y: float
    source: Source
    rel_uncertainty: float
    detail: str

    @property
    def is_square(self) -> bool:
        """Whether both sides are equal."""
        return abs(self.um_per_px_x / self.um_per_px_y - 1) <= SQUARE

    @property
    def um_per_px(self) -> float:
        """Side of the square of a pixel's area, in micrometres."""
        return math.sqrt(self.um_per_px_x * self.um_per_px_y)

    @property
    def sides(self) -> tuple[float, float]:
        """Width and height of a pixel in micrometres."""
        return self.um_per_px_x, self.um_per_px_y

    def is_near(self, other: "Scale", within: float) -> bool:
        """Whether both sides differ by no more than this share from the other's."""
        pairs = zip(self.sides, other.sides, strict=True)
        return all(abs(a / b - 1) <= within for a, b in pairs)

    def differs_from(self, other: "Scale") -> bool:
        """Whether both say something else: by 3 %, or more where a bar is too short for that."""
        bars = [s.rel_uncertainty for s in (self, other) if s.source is Source.BAR]
        return not self.is_near(other, max([TOLERANCE, *bars]))


@dataclass(frozen=True)
class Area:
    """A rectangle of a picture.

    Attributes:
        x: First column.
        y: First row.
        width: Number of columns.
        height: Number of rows.
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Number of its pixels."""
        return self.width * self.height

    @property
    def text(self) -> str:
        """Its numbers as x,y,width,height."""
        return f"{self.x},{self.y},{self.width},{self.height}"


@dataclass(frozen=True)
class BarRecord:
    """A burnt-in scale bar as it was read.

    Attributes:
        text: Number and unit, "um" for µm.
        um: Length in micrometres.
        x0: First column of the bar, its outer edge.
        x1: Last column of the bar, its outer edge.
        y: A row through the bar.
    """

    text: str
    um: float
    x0: int
    x1: int
    y: int

    @property
    def length_px(self) -> int:
        """Number of its columns."""
        return self.x1 - self.x0 + 1


@dataclass(frozen=True)
class ScaleReading:
    """What is known about the scale of one picture.

    Attributes:
        path: File of the picture.
        page: Page of the file.
        name: Name of the picture as the user gave it.
        scale: Its scale, or None where none is known or sources contradict each other.
        flags: What a person should look at, each a reason in words.
        sources: Every scale that was found, whether it was taken or not.
        analysed: Rectangles that data bar, scale-bar box and frames leave; they do not overlap.
        bar: The burnt-in bar, or None.
        failure: Why the picture could not be read at all; empty where it could.
        reason: Why there is no scale; empty where there is one.
    """

    path: Path
    page: int
    name: str
    scale: Scale | None
    flags: tuple[str, ...] = ()
    sources: tuple[Scale, ...] = ()
    analysed: tuple[Area, ...] = ()
    bar: BarRecord | None = None
    failure: str = ""
    reason: str = ""

    def of(self, source: Source) -> Scale | None:
        """The scale that one source says."""
        return next((scale for scale in self.sources if scale.source is source), None)


def contradictions(scales: Sequence[Scale]) -> list[str]:
    """Pairs of sources that say something else, in words."""
    found = []
    for i, first in enumerate(scales):
        for second in scales[i + 1 :]:
            if first.differs_from(second):
                off = abs(second.um_per_px / first.um_per_px - 1)
                found.append(
                    f"{first.source} says {first.um_per_px:.6g} um/px and {second.source} "
                    f"{second.um_per_px:.6g} um/px, {off:.1%} apart"
                )
    return found
