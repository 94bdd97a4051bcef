"""Parsers of option values; a wrong value is refused with the nearest valid one."""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from search_spaces.names import nearest_name
from trainables.files.places import why_not_writable
from tune.errors import UsageError

Choice = TypeVar("Choice", bound=StrEnum)


def whole_number(
    option: str, least: int = 0, most: int | None = None
) -> Callable[[str | int], int]:
    """Make a reader of whole numbers for an option of this name.

    Args:
        option: Name of the option.
        least: The smallest number allowed.
        most: The largest number allowed; None for any.
    """
    allowed = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str | int) -> int:
        wanted = f"{option}: expected a whole number {allowed}, got {text}"
        try:
            value = int(text)
        except ValueError:
            raise UsageError(f"{wanted}{_nearest_number(str(text), least)}") from None
        if value < least:
            raise UsageError(f"{wanted}; the nearest is {least}")
        if most is not None and value > most:
            raise UsageError(f"{wanted}; the nearest is {most}")
        return value

    return read


def fraction(option: str) -> Callable[[str | float], float]:
    """Make a reader of numbers from 0 to 1, for an option of this name."""

    def read(text: str | float) -> float:
        if not _is_number(str(text)) or not 0 <= float(text) <= 1:
            hint = f"; did you mean {float(text) / 100:g}?" if _is_percentage(str(text)) else ""
            raise UsageError(f"{option}: expected a number from 0 to 1, got {text}{hint}")
        return float(text)

    return read


def positive_number(option: str) -> Callable[[str | float], float]:
    """Make a reader of finite numbers above 0, for an option of this name."""

    def read(text: str | float) -> float:
        if not _is_number(str(text)) or not 0 < float(text) < float("inf"):
            raise UsageError(f"{option}: expected a number above 0, got {text}")
        return float(text)

    return read


def one_of(option: str, choices: type[Choice]) -> Callable[[str], Choice]:
    """Make a reader of one of a few names, for an option of this name."""

    def read(text: str) -> Choice:
        names = [choice.value for choice in choices]
        if text not in names:
            raise UsageError(
                f"{option}: expected one of {', '.join(names)}, got "
                f"{text!r}{nearest_name(text.lower(), names)}"
            )
        return choices(text)

    return read


def shares(option: str) -> Callable[[str], str]:
    """Make a reader of three comma-separated numbers, for an option of this name."""

    def read(text: str) -> str:
        parts = text.split(",")
        if len(parts) != 3 or not all(_is_number(part) for part in parts):
            raise UsageError(
                f"{option}: expected the shares of train, val and test, such as 0.7,0.15,0.15, "
                f"got {text!r}{_nearest_shares(text)}"
            )
        return text

    return read


def place_here(named: str) -> Callable[[str | Path], Path]:
    """Make a reader of a folder or file of this machine, for what is called so on the command line.

    As a path an address would be a folder `gs:` of this machine.
    """

    def read(text: str | Path) -> Path:
        if "://" in str(text):
            raise UsageError(
                f"{named}: expected a place on this machine, got the address {text}; `segtune sync "
                "FROM TO` copies a folder to a bucket or back"
            )
        return Path(text)

    return read


def new_place(option: str) -> Callable[[str | Path], Path]:
    """Make a reader of a folder that can be made or written, for an option of this name."""

    def read(text: str | Path) -> Path:
        place = place_here(option)(text)
        if str(text).startswith("--"):
            raise UsageError(f"{option}: expected a folder, got the option {text}")
        if why := why_not_writable(place.absolute(), folder=True):
            raise UsageError(f"{option}: expected a folder to make, got {text}: {why}")
        return place

    return read


def new_file(option: str) -> Callable[[str | Path], Path]:
    """Make a reader of a file that can be written, for an option of this name."""

    def read(text: str | Path) -> Path:
        place = place_here(option)(text)
        why = why_not_writable(place.absolute(), folder=False)
        if not why and not place.absolute().parent.is_dir():
            why = f"there is no folder {place.parent}"
        if why:
            raise UsageError(f"{option}: expected a file to write, got {text}: {why}")
        return place

    return read


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_percentage(text: str) -> bool:
    return _is_number(text) and 1 < float(text) <= 100


def _nearest_number(text: str, least: int) -> str:
    if not _is_number(text) or not abs(float(text)) < 1e15:
        return ""
    return f"; the nearest is {max(least, round(float(text)))}"


def _nearest_shares(text: str) -> str:
    """Hint with the shares that are meant, where two or three numbers are there in any writing."""
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?|\.\d+", text)]
    if len(numbers) == 2 and 0 < sum(numbers) <= 1:
        numbers.append(1 - sum(numbers))
    if len(numbers) != 3 or not sum(numbers):
        return ""
    return f"; did you mean {','.join(f'{n / sum(numbers):.3g}' for n in numbers)}?"
