"""Names and values as a user writes them, and the nearest known name to a mistyped one."""

import difflib
from collections.abc import Iterable
from pathlib import PurePath
from typing import Final

_ALIKE: Final = 0.6  # of 1: two names that share less are no misspelling of each other


def written(value: object, digits: int = 0) -> str:
    """A value as a study file has it: true, false and null, lists in brackets.

    Args:
        value: The value of a key.
        digits: Number of digits to show of a number with a fraction; 0 for all.

    >>> written(True), written(None), written((0.9, 0.999)), written("AdamW")
    ('true', 'null', '[0.9, 0.999]', 'AdamW')
    >>> written(0.123456, digits=3)
    '0.123'
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(one, digits) for one in value)}]"
    return f"{value:.{digits}g}" if digits and isinstance(value, float) else str(value)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A hint to append to a message, or nothing where no name is near.

    >>> nearest_name("trails", ["trials", "epochs"])
    '; did you mean trials?'
    >>> nearest_name("name", ["page", "unit"])
    ''
    """
    return _hint(nearest(name, known))


def nearest_file(name: str, known: Iterable[str], folder: PurePath | None = None) -> str:
    """A hint at a file of like name, or nothing: suffixes are alike among strangers, too.

    Args:
        name: Name of the file that is not there.
        known: Names of those that are.
        folder: Their folder, where the hint is to have it.

    >>> nearest_file("styd.yaml", ["study.yaml", "b.yaml"]), nearest_file("a.png", ["b.png"])
    ('; did you mean study.yaml?', '')
    """
    stems = {PurePath(file).stem: file for file in sorted(known, reverse=True)}
    found = stems.get(nearest(PurePath(name).stem, stems), "")
    return _hint(str(folder / found) if folder and found else found)


def nearest_option(name: str, known: Iterable[str]) -> str:
    """A hint at an option of like name, or nothing: all begin with the same dashes.

    >>> nearest_option("--thrials", ["--trials", "--out"]), nearest_option("--seed", ["--set"])
    ('; did you mean --trials?', '')
    """
    words = {option.lstrip("-"): option for option in known}
    return _hint(words.get(nearest(name.lstrip("-"), words), ""))


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like another one; "" where none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=_ALIKE)), "")


def _hint(found: str) -> str:
    return f"; did you mean {found}?" if found else ""
