"""The command line: one verb, one function."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Final

SHORT: Final = frozenset(("plan", "status"))
"""Verbs that are over in half a second, most of which Python takes to begin and to end."""


def start() -> None:
    """Run the command line, without delay before and after a short verb.

    What is imported stays, so a tenth of that time would be searches for garbage; and a process
    that has said all leaves its memory to the system, as taking it apart takes as long (mypy ends
    so, too).
    """
    gc.disable()
    from tune.cli.main import main  # slow: typer, pydantic

    words = sys.argv[1:]
    if not is_short(words):
        gc.enable()
        main(words)
    try:
        main(words)
    except SystemExit as ending:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except BrokenPipeError:  # the reader has seen enough
            os._exit(1)
        os._exit(ending.code if isinstance(ending.code, int) else 0)


def is_short(words: Sequence[str]) -> bool:
    """Whether a command line is over at once and leaves nothing behind that must be ended."""
    return not SHORT.isdisjoint(words[:1]) and "--probe" not in words
