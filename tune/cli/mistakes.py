"""The command line's own mistakes, told as every other mistake of the user is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import typer

from search_spaces.names import nearest_name

Mistyped: Final = typer.BadParameter.__mro__[1]
"""What typer (or the click below it) raises for a command line that it cannot read."""

_UNKNOWN_VERB: Final = re.compile(r"No such command '(?P<name>.*?)'")

_NO_VERB: Final = "Missing command."

_EXTRA: Final = re.compile(r"unexpected extra arguments? ?(?:\(s\))? ?\((?P<names>.*)\)")


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
