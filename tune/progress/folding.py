"""Lines folded for a terminal: between words, so that no number and no command is broken."""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

WORD: Final = re.compile(r"`[^`]*`\S*|\S+")
"""A word of a line; a command between backticks is one, as it is copied whole."""


ITEM: Final = re.compile(r"\S+(?: \S+)*")
"""An item of a line that lists many, two spaces apart: a name with its figure stays together."""

MOST_COLUMNS: Final = 3
"""Number of gaps of two spaces from which on, when there are more, a line lists items."""

STYLED: Final = "\x1b["
"""Beginning of a colour; such a line is of a table, which was made to fit."""


def on_terminal(lines: Iterable[str], stream: TextIO | None = None) -> Iterator[str]:
    """Lines as a stream shows them best: folded on a terminal, as they are elsewhere.

    Args:
        lines: Lines of text.
        stream: Where they go; by default standard output.
    """
    stream = stream or sys.stdout
    if not stream.isatty():
        yield from lines
        return
    width = _columns(stream)
    for line in lines:
        yield from [line] if STYLED in line else folded(line, width)


def _columns(stream: TextIO) -> int:
    """Width of a terminal; `COLUMNS` says it first, and 80 where nothing does."""
    with contextlib.suppress(OSError, ValueError):
        if not os.environ.get("COLUMNS"):
            return os.get_terminal_size(stream.fileno()).columns or 80
    return shutil.get_terminal_size().columns


def folded(line: str, width: int) -> list[str]:
    """A line in pieces of at most `width` characters, where its words allow that.

    Later pieces begin below the text of the line's last column, or are indented by two.

    >>> folded("epochs      about 4012 expected (2920 to 5379): saves 3.1x", 40)
    ['epochs      about 4012 expected (2920 to', '            5379): saves 3.1x']
    """
    if len(line) <= width:
        return [line]
    ends = [found.end() for found in re.finditer(r"\s{2,}(?=\S)", line)]
    listed = len(ends) > MOST_COLUMNS
    fitting = [end for end in (ends[:1] if listed else ends) if end <= width // 2]
    indent = max(fitting, default=2)
    pieces, piece, end = [], "", 0
    for word in (ITEM if listed else WORD).finditer(line):
        gap = line[end : word.start()]
        if piece.strip() and len(piece) + len(gap) + len(word[0]) > width:
            pieces.append(piece)
            piece, gap = " " * indent, ""
        piece += gap + word[0]
        end = word.end()
    return [*pieces, piece]
