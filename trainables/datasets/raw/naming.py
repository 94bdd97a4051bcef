"""Pictures of annotation files that name none: those of the file's own name."""

from pathlib import PurePosixPath
from typing import Final

from trainables.datasets.raw.folder import RawFolder

_SEPARATORS: Final = "_-. "


def picture_named_like(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    """The picture whose name is the file's, or the longest beginning of it at a word's end."""
    return picture_of_name(folder, file.stem, file.parent)


def picture_of_name(folder: RawFolder, name: str, near: PurePosixPath) -> PurePosixPath | None:
    """The picture of this stem, or of the longest beginning of it at a word's end, or None."""
    for end in range(len(name), 0, -1):
        at_word = end == len(name) or name[end] in _SEPARATORS
        found = folder.matching(name[:end], near) if at_word else None
        if found is not None:
            return found
    return None
