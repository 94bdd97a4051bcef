"""A study file as text, with a comment above every value."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from trainables.proposal import Setting

_WIDTH: Final = 98

Entry = Setting | Mapping[str, "Entry"]
"""A value with its comment, or a mapping of such."""


@dataclass(frozen=True)
class Block:
    """A chapter of a study file.

    Attributes:
        key: Key of the study file.
        entry: Its value.
        about: A comment above a mapping; "" for none.
    """

    key: str
    entry: Entry
    about: str = ""


def study_text(head: Sequence[str], blocks: Sequence[Block]) -> str:
    """A study file.

    Args:
        head: Paragraphs of the comment at its top.
        blocks: The keys, in their order.
    """
    lines = [line for paragraph in head for line in _comment(paragraph, "")]
    for block in blocks:
        lines.append("")
        lines += _comment(block.about, "") if block.about else []
        lines += _entry(block.key, block.entry, "")
    return "\n".join(lines) + "\n"


def scalar(value: Any) -> str:
    """A value on one line of YAML.

    >>> scalar({"choice": [2, 4]}), scalar(None), scalar("a: b")
    ('{choice: [2, 4]}', 'null', "'a: b'")
    """
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
    )
    return text.removesuffix("...\n").strip()


def _entry(key: str, entry: Entry, indent: str) -> Iterator[str]:
    if isinstance(entry, Setting):
        yield from _comment(entry.why, indent)
        yield f"{indent}{key}: {scalar(entry.value)}"
        return
    yield f"{indent}{key}:"
    for inner, value in entry.items():
        yield from _entry(inner, value, f"{indent}  ")


def _comment(text: str, indent: str) -> list[str]:
    """Lines of a comment; whatever a name in it holds, it stays one. A command is not wrapped."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    if not plain.strip():
        return [f"{indent}#"]
    if plain.startswith("  "):
        return [f"{indent}# {plain}"]
    lead = f"{indent}# "
    return textwrap.wrap(
        plain,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=lead,
        break_long_words=False,
        break_on_hyphens=False,
    )
