"""Pictures of annotation files that are about one picture each, and bear its name.

LabelMe and SuperAnnotate write the picture's name into the file, and the file beside the picture.
Whoever renumbers both leaves the old names inside: where `m1.json` lies beside `m1.png` and says
`m2.png`, its outlines are those of `m1.png`, unless the size it gives is that of `m2.png` alone.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from trainables.datasets.raw.folder import LeavesFolderError, NotFoundError, RawFolder
from trainables.datasets.raw.reading import RawReading
from trainables.datasets.raw.spelling import composed
from trainables.files.words import counted

_SEPARATORS: Final = "_-. "


@dataclass(frozen=True)
class OneFile:
    """An annotation file about one picture.

    Attributes:
        file: Path below the raw folder.
        stem: The picture's name, as that of the file says it, without suffix.
        reference: The picture as the file's content says it, or "".
        size: Width and height that it gives, or None.
        n_objects: Number of its objects.
    """

    file: PurePosixPath
    stem: str
    reference: str
    size: tuple[Any, Any]
    n_objects: int

    def picture(self, folder: RawFolder) -> PurePosixPath | None:
        """The picture that is here and that the file is about, if any."""
        return self.renumbered(folder) or self.named(folder)

    def renumbered(self, folder: RawFolder) -> PurePosixPath | None:
        """The picture of the file's own name where its content says another, else None."""
        if not self.reference:
            return folder.matching(self.stem, self.file.parent)
        named: PurePosixPath | None = None
        with contextlib.suppress(NotFoundError):
            try:
                named = folder.find(self.reference, self.file)
                folder.path(named)
            except LeavesFolderError:
                return None  # it is refused, by its path
        places = [self.file.parent, *([named.parent] if named else [])]
        own = next(filter(None, (folder.beside(self.stem, place) for place in places)), None)
        other = composed(named.stem if named else PurePosixPath(self.reference).stem)
        return None if own is None or self._is_own(other) else own

    def named(self, folder: RawFolder) -> PurePosixPath | None:
        """The picture that its content names, if it is here."""
        try:
            return folder.find_page(self.reference, self.file)[0] if self.reference else None
        except (LeavesFolderError, NotFoundError):
            return None

    def _is_own(self, stem: str) -> bool:
        """Whether a picture's name is the file's own, or that with something behind it."""
        own = composed(self.stem)
        return stem == own or (stem.startswith(own) and stem[len(own)] in _SEPARATORS)


def reference_of(reading: RawReading, one: OneFile, renumbered: list[OneFile]) -> str:
    """The path of the picture that a file is about; `renumbered` grows where it says another."""
    folder = reading.folder
    own = one.renumbered(folder)
    if own is None:
        return one.reference or f"{one.stem}.png"
    if one.reference:
        if _has_size(reading, one) and not _has_size(reading, one, own):
            return one.reference
        renumbered.append(one)
    return str(folder.root / own)


def _has_size(reading: RawReading, one: OneFile, picture: PurePosixPath | None = None) -> bool:
    """Whether a picture, by default the one that the file names, has the size the file gives."""
    file = picture or one.named(reading.folder)
    header = reading.header(file) if file else None
    return header is not None and all(
        given in (None, there)
        for given, there in zip(one.size, (header.width, header.height), strict=True)
    )


def tell_renumbered(reading: RawReading, files: Sequence[OneFile]) -> None:
    """Say which files are taken for pictures that their content does not name."""
    first = files[0]
    reading.warnings.append(
        f"{len(files)} annotation files name another picture than the one whose name they bear, "
        f"the first is {first.file}: it says {first.reference}. Were they renumbered? Their "
        f"{counted(sum(one.n_objects for one in files), 'object is', 'objects are')} taken for "
        "the pictures of the files' own names; look at the contact sheets"
    )
