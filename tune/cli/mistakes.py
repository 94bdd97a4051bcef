"""The command line's own mistakes, told as every other mistake of the user is.

What typer cannot read it raises as one of click's exceptions, which it brings along in a package of
its own (earlier versions take click's). They are asked for by class and attribute, never by their
words. For two mistakes there is no class, an unknown verb and a word too many: `Verbs` and `Verb`
find them before typer does.
"""

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from search_spaces.names import nearest_name, nearest_option
from tune.errors import UsageError

_click: Final[Any] = importlib.import_module(typer.BadParameter.__module__)

Mistyped: Final[type[Exception]] = _click.UsageError
"""Class of everything that typer raises for a command line that it cannot read."""


_IN_BRACES: Final = re.compile(r"\{(.+?)\}")


def _no_type(ctx: Any) -> str:
    """The type behind an argument's name: none, as the name says what it is."""
    del ctx
    return ""


# --- what is found before typer finds it
class Verb(TyperCommand):
    """A verb, which refuses words beyond its arguments."""

    def __init__(self, *args: Any, **more: Any) -> None:
        """Set up as typer does, its arguments without the types of the code."""
        super().__init__(*args, **more)
        for parameter in self.params:
            if isinstance(parameter, TyperArgument):
                setattr(parameter, "display_type_rich", _no_type)  # noqa: B010  a method of typer's

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Options and arguments by their names alone: `RAW`, not `{RAW}`."""
        return [_IN_BRACES.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def get_short_help_str(self, limit: int = 45) -> str:
        """The whole first paragraph of the help, never cut at `limit`."""
        del limit
        return first_paragraph(self.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after the verb.

        Raises:
            UsageError: There are too many.
        """
        ctx.allow_extra_args = True  # they are refused here, in our words
        surplus = super().parse_args(ctx, args)
        if surplus:
            raise UsageError(
                f"{_verb(ctx)}: {_expected_arguments(self.params)}, got also {' '.join(surplus)}"
            )
        return surplus


class Verbs(TyperGroup):
    """A group of verbs, which refuses one that it does not have."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """The whole first paragraph of the help, never cut at `limit`."""
        del limit
        return first_paragraph(self.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that is meant.

        Raises:
            UsageError: There is no such verb.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise UsageError(_prefixed(_verb(ctx), _unknown_verb(name, list(self.commands))))
        return super().resolve_command(ctx, args)


def first_paragraph(text: str | None) -> str:
    """First paragraph of a text on one line.

    >>> first_paragraph("Run a study, and   report.")
    'Run a study, and report.'
    """
    return " ".join((text or "").partition("\n\n")[0].split())


# --- what typer finds
def usage_message(error: Exception, arguments: Sequence[str], verbs: Iterable[str]) -> str:
    """Make one message of a command line that typer could not read.

    Args:
        error: Exception of the class `Mistyped`.
        arguments: Words of the command line.
        verbs: Verbs of the command line.
    """
    context: Any = getattr(error, "ctx", None)
    said = _verb(context) if context is not None else ""
    verb = said or next((word for word in arguments if word in set(verbs)), "")
    return _prefixed(verb, _what(error, context, arguments))


def _what(error: Any, context: Any, arguments: Sequence[str]) -> str:
    parameters = list(context.command.params) if context is not None else []
    match error:
        case _click.NoSuchOption():
            return _unknown_option(error.option_name, parameters)
        case _click.MissingParameter():
            return _missing(parameters, context.params)
        case _click.BadOptionUsage():
            given = any(word.startswith(f"{error.option_name}=") for word in arguments)
            wants = "no value, got one" if given else "a value, got none"
            return f"{error.option_name}: expected {wants}"
        case _click.BadParameter():
            return str(error.format_message())
    if context is not None and isinstance(context.command, TyperGroup):
        return _unknown_verb("", list(context.command.commands))
    return str(error.format_message())


def _verb(context: Any) -> str:
    """The verb of a context, "best show" of a group's; "" where there is none yet."""
    return str(context.command_path.partition(" ")[2])


def _prefixed(verb: str, what: str) -> str:
    return f"{verb}: {what}" if verb else what


def _unknown_verb(name: str, verbs: Sequence[str]) -> str:
    got = f"{name!r}{nearest_name(name, verbs)}" if name else "none"
    return f"expected one of {', '.join(verbs)}, got {got}"


def _unknown_option(name: str, parameters: Sequence[Any]) -> str:
    options = [
        option for p in parameters if _is_option(p) for option in p.opts if option[:2] == "--"
    ]
    known = [*options, "--help"]
    return f"expected one of {', '.join(known)}, got {name}{nearest_option(name, known)}"


def _missing(parameters: Sequence[Any], given: Mapping[str, Any]) -> str:
    """Name everything that is required and was not given, not only the first."""
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
