"""Files of oriented boxes, which are recognised to say why they are not read."""

from itertools import islice
from pathlib import PurePosixPath
from typing import Final

from trainables.datasets.raw.folder import LeavesFolderError, RawFolder
from trainables.files.words import counted

_LINES: Final = 20

_NUMBERS: Final = 8


def why_no_boxes(folder: RawFolder) -> str:
    """The reason why files of oriented boxes cannot be used, or "" where there are none."""
    files = [file for file in folder.with_suffix(".txt") if _is_dota(folder, file)]
    if not files:
        return ""
    return (
        f"{counted(len(files), 'text file holds', 'text files hold')} oriented boxes (DOTA: four "
        f"corners and a class a line), the first is {files[0]}: segtune has outlines, and boxes "
        "along the pictures' sides; export one of these"
    )


def _is_dota(folder: RawFolder, file: PurePosixPath) -> bool:
    """Whether one of the first lines is eight numbers and a name."""
    try:
        with folder.path(file).open("rb") as stream:
            return any(_is_row(line.split()) for line in islice(stream, _LINES))
    except (OSError, LeavesFolderError):
        return False


def _is_row(words: list[bytes]) -> bool:
    numbers = [_is_number(word) for word in words]
    return numbers[:_NUMBERS] == [True] * _NUMBERS and numbers[_NUMBERS : _NUMBERS + 1] == [False]


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
