"""Sizes of particles and pixels as the user writes them: `9px`, `80A`, `8nm`, `1.77A`.

Formats of coordinates know where a particle is, not how large: the radius is given for all.
In Å or nm it needs the pixel size, which stands in an MRC file's header or is given too. How long a
unit of the coordinates is, and from where they are counted, is the user's to say as well.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Final, Literal

from trainables.datasets.prepared import DatasetError
from trainables.datasets.units import UM, unit_named

MIN_RADIUS_PX: Final = 2.0

HEADER_TOLERANCE: Final = 0.05
"""A given pixel size that differs more than this from the header's is called out."""

ANGSTROM_PER_UM: Final = 1e4

FRACTION: Final = "fraction"
"""Unit of coordinates that are fractions of the picture's sides."""

_UNITS: Final = ("A", "nm", "um", "mm", "pm")

_NUMBER: Final = r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?"

_LENGTH: Final = re.compile(rf"\s*([+-]?{_NUMBER})\s*(\S*)\s*")


class TooSmallPictureError(DatasetError):
    """A picture that is smaller than a particle of the radius that was asked for."""


@dataclass(frozen=True)
class Length:
    """A length as written.

    Attributes:
        value: Above 0.
        unit: "px", "pm", "A", "nm", "um" or "mm".
        text: The user's own words.
    """

    value: float
    unit: str
    text: str

    @property
    def um(self) -> float:
        """The length in micrometres; not for one in pixels."""
        return self.value * UM[self.unit]


@dataclass(frozen=True)
class ParticleSize:
    """Radius of the particles and size of a pixel, for formats of coordinates.

    Attributes:
        radius: Radius of every particle, or None.
        pixel_size: Side of a pixel of every picture, or None for what its header says.
        unit: Length of one unit of the coordinates, `FRACTION` of the picture's sides, or None
            where the user did not say it: a pixel.
        flip_y: Whether y is counted from the last row, or None where the user did not say it.
        half_pixel: Whether whole coordinates number pixels, whose middle is meant.
        xy: What x and y beside a width and a height are, or None where the user did not say it.
    """

    radius: Length | None = None
    pixel_size: Length | None = None
    unit: Length | Literal["fraction"] | None = None
    flip_y: bool | None = None
    half_pixel: bool = False
    xy: Literal["corner", "center"] | None = None

    def um_per_px(self, header_um: float | None) -> float | None:
        """Pixel size of a picture, the given one first."""
        return self.pixel_size.um if self.pixel_size else header_um

    def contradicts(self, header_um: float) -> bool:
        """Whether the given pixel size is not the one of a picture's header."""
        if self.pixel_size is None:
            return False
        return abs(self.pixel_size.um / header_um - 1) > HEADER_TOLERANCE

    def radius_px(self, picture: str, um_per_px: float | None, shorter_side_px: int) -> float:
        """Radius of the particles of a picture, in its pixels.

        Args:
            picture: Its name, for the message.
            um_per_px: Its pixel size, or None.
            shorter_side_px: Its height or its width.

        Raises:
            DatasetError: No radius was given, its unit needs a pixel size that nobody said, or it
                cannot be one: below two pixels.
            TooSmallPictureError: It is more than half the picture.
        """
        if self.radius is None:
            raise DatasetError(
                "--radius: expected the particles' radius, as 9px, 80A or 8nm, got none; "
                f"coordinates ({picture}) say where a particle is, not how large"
            )
        if self.radius.unit == "px":
            radius, how = self.radius.value, ""
        elif um_per_px is None:
            raise DatasetError(
                f"--pixel-size: expected the side of a pixel, as 1.77A, for --radius "
                f"{self.radius.text}, got none, and {picture} does not say it either; or give "
                "--radius in px"
            )
        else:
            radius = self.radius.um / um_per_px
            how = f", which is {radius:.3g} px at {um_per_px * ANGSTROM_PER_UM:.4g} Å a pixel"
        if MIN_RADIUS_PX <= radius <= shorter_side_px / 2:
            return radius
        kind = DatasetError if radius < MIN_RADIUS_PX else TooSmallPictureError
        raise kind(
            f"--radius: expected {MIN_RADIUS_PX:g} to {shorter_side_px / 2:g} px (half of "
            f"{picture}), got {self.radius.text}{how}; is the unit right?"
        )


def particle_size(
    radius: str | None,
    pixel_size: str | None,
    *,
    unit: str | None = None,
    flip_y: bool | None = None,
    half_pixel: bool = False,
    xy: str | None = None,
) -> ParticleSize:
    """The sizes and places that the options of the command line say.

    Raises:
        DatasetError: One of them is no length above 0, or a pixel size in pixels.
    """
    return ParticleSize(
        unit=None if unit is None else _read_unit(unit),
        flip_y=flip_y,
        half_pixel=half_pixel,
        xy=None if xy is None else _read_xy(xy),
        radius=None if radius is None else read_length("--radius", radius, "9px, 80A or 8nm"),
        pixel_size=(
            None
            if pixel_size is None
            else read_length("--pixel-size", pixel_size, "1.77A", pixels=False)
        ),
    )


def _read_xy(text: str) -> Literal["corner", "center"]:
    """What x and y of a box are."""
    word = text.strip().casefold()
    if word == "corner":
        return "corner"
    if word in ("center", "centre"):
        return "center"
    raise DatasetError(f"--xy: expected corner or center, got {text!r}")


def _read_unit(text: str) -> Length | Literal["fraction"]:
    """Length of one unit of the coordinates; `A` alone is `1A`."""
    if text.strip().casefold() in (FRACTION, "fractions"):
        return FRACTION
    one = f"1{text.strip()}" if text.strip()[:1].isalpha() else text
    length = read_length("--unit", one, "4px, 1A, 1nm or fraction")
    return replace(length, text=text.strip())


def read_length(option: str, text: str, examples: str, *, pixels: bool = True) -> Length:
    """A length as the user writes it.

    Args:
        option: Its name, for the message.
        text: The words to read.
        examples: Lengths that are right, for the message.
        pixels: Whether it may be in pixels.

    Raises:
        DatasetError: It is no length above 0 with a unit.
    """
    units = [*(["px"] if pixels else []), *_UNITS]
    match = _LENGTH.fullmatch(text)
    unit = _unit(match[2]) if match else ""
    if match and unit in units and 0 < float(match[1]) < float("inf"):
        return Length(float(match[1]), unit, text.strip())
    hint = ""
    pointed = _LENGTH.fullmatch(text.replace(",", ".", 1))
    if match and not match[2]:
        missing = f", which has none of {', '.join(_UNITS)}"
        hint = f"; did you mean {match[1]}px?" if pixels else missing
    elif match and pointed and match[2].startswith(",") and _unit(pointed[2]) in units:
        hint = f"; did you mean {pointed[0].strip()}?"
    elif match and match[2] and unit not in units:
        hint = f"; the unit {match[2]!r} is none of {', '.join(units)}"
    raise DatasetError(
        f"{option}: expected a length above 0 with its unit, as {examples}, got {text!r}{hint}"
    )


def _unit(text: str) -> str:
    """The unit by its plain name; unknown ones as they are."""
    return unit_named(text) or unicodedata.normalize("NFKC", text).casefold()
