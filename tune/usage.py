"""The command line's own mistakes, told as every other mistake of the user is."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import typer

from search_spaces.names import nearest_name
from tune.errors import UsageError

Mistyped: Final = typer.BadParameter.__mro__[1]
"""What typer (or the click below it) raises for a command line that it cannot read."""

_UNKNOWN_VERB: Final = re.compile(r"No such command '(?P<name>.*?)'")
_NO_VERB: Final = "Missing command."
_EXTRA: Final = re.compile(r"unexpected extra arguments? ?(?:\(s\))? ?\((?P<names>.*)\)")

Choice = TypeVar("Choice", bound=StrEnum)


# --- values


def whole_number(option: str, least: int = 0) -> Callable[[str | int], int]:
    """A reader of whole numbers of at least `least`, for an option of this name."""

    def read(text: str | int) -> int:
        wanted = f"{option}: expected a whole number of at least {least}, got {text}"
        try:
            value = int(text)
        except ValueError:
            raise UsageError(f"{wanted}{_nearest_number(str(text), least)}") from None
        if value < least:
            raise UsageError(f"{wanted}; the nearest is {least}")
        return value

    return read


def fraction(option: str) -> Callable[[str | float], float]:
    """A reader of numbers from 0 to 1, for an option of this name."""

    def read(text: str | float) -> float:
        if not _is_number(str(text)) or not 0 <= float(text) <= 1:
            hint = f"; did you mean {float(text) / 100:g}?" if _is_percentage(str(text)) else ""
            raise UsageError(f"{option}: expected a number from 0 to 1, got {text}{hint}")
        return float(text)

    return read


def positive_number(option: str) -> Callable[[str | float], float]:
    """A reader of finite numbers above 0, for an option of this name."""

    def read(text: str | float) -> float:
        if not _is_number(str(text)) or not 0 < float(text) < float("inf"):
            raise UsageError(f"{option}: expected a number above 0, got {text}")
        return float(text)

    return read


def one_of(option: str, choices: type[Choice]) -> Callable[[str], Choice]:
    """A reader of one of a few names, for an option of this name."""

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
    """A reader of three comma-separated numbers, for an option of this name."""

    def read(text: str) -> str:
        parts = text.split(",")
        if len(parts) != 3 or not all(_is_number(part) for part in parts):
            raise UsageError(
                f"{option}: expected the shares of train, val and test, such as 0.7,0.15,0.15, "
                f"got {text!r}{_nearest_shares(text)}"
            )
        return text

    return read


def new_place(option: str) -> Callable[[str | Path], Path]:
    """A reader of a folder that can be made or written, for an option of this name."""

    def read(text: str | Path) -> Path:
        place = Path(text)
        if str(text).startswith("--"):
            raise UsageError(f"{option}: expected a folder, got the option {text}")
        if why := _why_not_writable(place.absolute(), folder=True):
            raise UsageError(f"{option}: expected a folder to make, got {text}: {why}")
        return place

    return read


def new_file(option: str) -> Callable[[str | Path], Path]:
    """A reader of a file that can be written, for an option of this name."""

    def read(text: str | Path) -> Path:
        place = Path(text)
        why = _why_not_writable(place.absolute(), folder=False)
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
    """The same shares with what lacks, where two or three numbers of any writing are there."""
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?|\.\d+", text)]
    if len(numbers) == 2 and 0 < sum(numbers) <= 1:
        numbers.append(1 - sum(numbers))
    if len(numbers) != 3 or not sum(numbers):
        return ""
    return f"; did you mean {','.join(f'{n / sum(numbers):.3g}' for n in numbers)}?"


def _why_not_writable(place: Path, *, folder: bool) -> str:
    """Why nothing can be written at an absolute path, or ""."""
    if any(len(os.fsencode(part)) > 255 for part in place.parts):
        return "the name is too long"
    there = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if there == place and place.is_dir() != folder:
        return "there is a file of this name" if folder else "it is a folder"
    if there != place and not there.is_dir():
        return f"{there} is a file"
    if not os.access(there, os.W_OK):
        return f"{there} may not be written to"
    return ""


# --- the line


def usage_message(error: Exception, arguments: Sequence[str], verbs: Iterable[str]) -> str:
    """One message for a command line that typer could not read.

    Args:
        error: A `Mistyped`.
        arguments: The command line.
        verbs: All there are.
    """
    verbs = list(verbs)
    text = getattr(error, "message", "") or str(error)
    context: Any = getattr(error, "ctx", None)
    said = context.command_path.partition(" ")[2] if context is not None else ""
    verb = said or next((word for word in arguments if word in verbs), "")
    unknown = _UNKNOWN_VERB.search(text)
    if unknown or text == _NO_VERB:
        what = _unknown_verb(unknown["name"] if unknown else "", list(context.command.commands))
    else:
        what = _what(error, text)
    return f"{verb}: {what}" if verb else what


def _unknown_verb(name: str, verbs: Sequence[str]) -> str:
    got = f"{name!r}{nearest_name(name, verbs)}" if name else "none"
    return f"expected one of {', '.join(verbs)}, got {got}"


def _what(error: Any, text: str) -> str:
    context: Any = getattr(error, "ctx", None)
    parameters = list(context.command.params) if context is not None else []
    kind = type(error).__name__
    if kind == "NoSuchOption":
        return _unknown_option(error.option_name, parameters)
    if kind == "MissingParameter":
        return _missing(parameters, context.params)
    if kind == "BadOptionUsage":
        wants = "no value, got one" if "does not take" in text else "a value, got none"
        return f"{error.option_name}: expected {wants}"
    extra = _EXTRA.search(text)
    if extra:
        return f"{_expected_arguments(parameters)}, got also {extra['names']}"
    return str(error.format_message())


def _unknown_option(name: str, parameters: Sequence[Any]) -> str:
    options = [
        option for p in parameters if _is_option(p) for option in p.opts if option[:2] == "--"
    ]
    known = [*options, "--help"]
    return f"expected one of {', '.join(known)}, got {name}{nearest_name(name, known)}"


def _missing(parameters: Sequence[Any], given: Mapping[str, Any]) -> str:
    """Everything that is required and was not given, not only the first."""
    lacking = [_explained(p) for p in parameters if p.required and given.get(p.name) is None]
    return f"expected {' and '.join(lacking)}, got none"


def _explained(parameter: Any) -> str:
    about = (getattr(parameter, "help", "") or "").rstrip(".")
    return f"{_shown(parameter)} ({about})" if about else _shown(parameter)


def _expected_arguments(parameters: Sequence[Any]) -> str:
    names = [_shown(p) for p in parameters if not _is_option(p)]
    if not names:
        return "expected no argument"
    noun = "one argument" if len(names) == 1 else f"{len(names)} arguments"
    return f"expected {noun} ({', '.join(names)})"


def _shown(parameter: Any) -> str:
    return str(parameter.opts[0] if _is_option(parameter) else parameter.name.upper())


def _is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")
