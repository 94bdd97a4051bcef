"""The nearest known name to a mistyped one."""

import difflib
from collections.abc import Iterable


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A hint to append to a message, or nothing where no name is near.

    >>> nearest_name("trails", ["trials", "epochs"])
    '; did you mean trials?'
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
