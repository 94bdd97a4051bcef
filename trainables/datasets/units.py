"""Units of length by all their names, and lengths as people write them."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

UM: Final[Mapping[str, float]] = {
    "pm": 1e-6,
    "A": 1e-4,
    "nm": 1e-3,
    "um": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}
"""Micrometres in a unit."""

_NAMES: Final[Mapping[str, str]] = {
    "a": "A",
    "å": "A",
    "ang": "A",
    "angstrom": "A",
    "angstroms": "A",
    "ångström": "A",
    "μm": "um",  # a Greek letter, to which the micro sign is folded
    "micron": "um",
    "microns": "um",
    "micrometer": "um",
    "micrometers": "um",
    "micrometre": "um",
    "micrometres": "um",
    "nanometer": "nm",
    "nanometers": "nm",
    "nanometre": "nm",
    "picometer": "pm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "\\u00b5m": "um",  # as ImageJ writes it
}

_DIGITS: Final = re.compile(r"[-+]?(\d*)\.?(\d*)(?:[eE]([-+]?\d+))?")


def unit_named(text: str) -> str | None:
    """The unit of a name, or None for one that is no length.

    >>> unit_named("µm"), unit_named("Å"), unit_named("microns"), unit_named("pixel")
    ('um', 'A', 'um', None)
    """
    folded = unicodedata.normalize("NFKC", text.strip()).casefold()
    name = _NAMES.get(folded, folded)
    return name if name in UM else None


def rounding(number: str) -> float:
    """Half a unit of the last digit of a number, as a fraction of it: how roughly it is written.

    A number of fewer than three digits counts as one of three, as nobody writes 4.50 for 4.5.

    >>> rounding("0.00586") == 0.5 / 586, rounding("4.5") == rounding("4.50") == 0.5 / 450
    (True, True)
    """
    match = _DIGITS.match(number.strip())
    digits = (match[1] + match[2]).lstrip("0").ljust(3, "0") if match else ""
    return 0.5 / int(digits) if digits and int(digits) else 0.0
