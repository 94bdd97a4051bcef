"""Cells of tables that are safe to open: CSV that no spreadsheet runs, markdown that shows names.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula and runs it, so the
name of a file or of a class could. Such a text is written with a single quote before it, which is
how spreadsheets mark a text.

Source: OWASP, "CSV Injection", owasp.org/www-community/attacks/CSV_Injection.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

_RUN: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of what a spreadsheet runs; the last four are the full-width signs."""

_QUOTE: Final = "'"

_MARKUP: Final = re.compile(
    r"^(?:#{1,6}|[+-])(?=\s)|[\\`*<>|&~]|\](?=[\[(:])|(?<!\w)_|_(?!\w)|(?<=:)//"
)


def csv_cell(value: Any) -> Any:
    """A value as a cell of a CSV file; numbers, also those written as text, stay as they are.

    What is no text is looked at as the text that is written for it.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell(-0.5), csv_cell("powder")
    ("'=1+1", '-0.5', -0.5, 'powder')
    """
    return _QUOTE + str(value) if _is_run(str(value)) else value


def csv_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a CSV file, every value as `csv_cell` writes it."""
    return {name: csv_cell(value) for name, value in row.items()}


def from_csv_cell(text: str) -> str:
    """The text that `csv_cell` wrote as this cell.

    >>> from_csv_cell("'=1+1"), from_csv_cell("'60s"), from_csv_cell(csv_cell("'=x"))
    ('=1+1', "'60s", "'=x")
    """
    return text[1:] if text.startswith(_QUOTE) and _is_run(text) else text


def markdown_text(text: str) -> str:
    r"""A name as a markdown page shows it: none of it is taken for markup, on one line.

    >>> print(markdown_text("Sc1_Tile <b>|*x*"))
    Sc1_Tile \<b\>\|\*x\*
    """
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _is_run(text: str) -> bool:
    """Whether a text, quotes before it aside, is a formula to a spreadsheet."""
    return text.lstrip(_QUOTE).startswith(_RUN) and not _is_number(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
