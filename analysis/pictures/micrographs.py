"""The micrographs that files, folders and patterns mean, each with a name of its own."""

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from analysis.errors import PicturesError
from analysis.pictures.buckets import BucketPicture, bring_all, bucket_pictures, shown
from cluster.errors import StorageError
from cluster.storage.opening import is_address
from search_spaces.names import nearest_file
from trainables.datasets.images import PAGED, SUFFIXES, UnreadableImageError, probe
from trainables.files.errors import UserError

_PATTERN: Final = frozenset("*?[")

_BLOCKS: Final = 16

_BLOCK_BYTES: Final = 4096

_KINDS: Final = "MRC, TIFF, PNG, JPEG"


@dataclass(frozen=True)
class Micrograph:
    """One picture, a page of a file.

    Attributes:
        file: File of the picture; of one in a bucket its address, which is no file here.
        page: Index of the page of the file, or of the section of a stack.
        name: Name of the file as the user gave it; of a later page with `_p1` and so on, as in
            `prepare`. Bytes in it that are not UTF-8 are replaced.
        stem: Stem of the files that are written for it; no two micrographs of a run share one.
        remote: Where it is in a bucket; None for a file of this machine.
    """

    file: Path
    page: int
    name: str
    stem: str
    remote: BucketPicture | None = None

    @property
    def path(self) -> Path:
        """Its file on this machine; one in a bucket is brought, and to be opened at once.

        Raises:
            UnreadableImageError: It cannot be brought, so that the others go on.
        """
        if self.remote is None:
            return self.file
        try:
            return self.remote.here()
        except UserError as error:
            raise UnreadableImageError(str(error)) from error


def find_micrographs(asked: Sequence[str], out: Path | None = None) -> list[Micrograph]:
    """The micrographs that were asked for, in that order, each once.

    A stack has a micrograph for each of its pages. Of two pictures of one name the files are called
    by their folders too.

    Args:
        asked: Files, folders (what lies in them, not below) and patterns such as `grid*/*.mrc`;
            also in a bucket, as gs://BUCKET/FOLDER.
        out: Folder of the results, if there is one: nothing below it is a micrograph.

    Raises:
        PicturesError: One of them is no picture; all problems at once.
    """
    problems: list[str] = []
    results = None if out is None else out.resolve()
    files: dict[Path, Path] = {}
    remote: dict[Path, BucketPicture] = {}
    for text in asked:
        try:
            if is_address(text):
                there = {Path(one.address): one for one in bucket_pictures(text)}
                remote |= there
                found = list(there)
            else:
                found = list(_files(text, results))
        except (PicturesError, StorageError) as error:
            problems.append(str(error))
        else:
            files |= {file.resolve(): file for file in found if file.resolve() not in files}
    if problems:
        raise PicturesError("\n".join(problems))
    counted = _pages_there([remote[file] for file in files.values() if file in remote])
    pages = [
        (file, page)
        for file in files.values()
        for page in (range(counted[remote[file]]) if file in remote else _pages(file))
    ]
    return _named(pages, remote)


def _pages_there(pictures: list[BucketPicture]) -> dict[BucketPicture, int]:
    """Number of pages of files in a bucket; those of kinds that may have several are read for it.

    Raises:
        PicturesError: One cannot be read.
    """
    paged = [one for one in pictures if Path(one.name).suffix.lower() in PAGED]
    try:
        found = bring_all(paged, lambda file: len(_pages(file)))
    except StorageError as error:
        raise PicturesError(str(error)) from error
    return {**dict.fromkeys(pictures, 1), **dict(zip(paged, found, strict=True))}


def _files(text: str, out: Path | None) -> Iterator[Path]:
    """The pictures of one argument.

    Raises:
        PicturesError: There are none.
    """
    place = Path(text)
    if place.is_file():
        if not _is_picture(place):
            raise PicturesError(
                f"{text}: expected a picture ({_KINDS}), got {place.suffix or 'a file'}"
            )
        return iter([place])
    if place.is_dir():
        found = [file for file in sorted(place.iterdir()) if _is_picture(file)]
        found = [file for file in found if out not in file.resolve().parents]
        if not found:
            raise PicturesError(f"{text}: {_why_none(place, out)}")
        return iter(found)
    if _PATTERN & set(text):
        matching = (Path(name) for name in sorted(glob.glob(text, recursive=True)))  # noqa: PTH207
        found = [file for file in matching if file.is_file() and _is_picture(file)]
        found = [file for file in found if out not in file.resolve().parents]
        if not found:
            raise PicturesError(f"{text}: expected pictures ({_KINDS}), the pattern matches none")
        return iter(found)
    raise PicturesError(
        f"{text}: expected a picture, a folder or a pattern, found nothing{_near(place)}"
    )


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _why_none(folder: Path, out: Path | None) -> str:
    """The reason why there is no picture in a folder."""
    if out is not None and folder.resolve().is_relative_to(out):
        return (
            "expected micrographs elsewhere than below --out, where only results lie, got "
            f"--out {_text(str(out))}; choose another --out"
        )
    return f"expected pictures in it ({_KINDS}), got none{_below(folder)}"


def _below(folder: Path) -> str:
    """A hint where the pictures are further down."""
    deeper = next((f for f in folder.rglob("*") if f.is_file() and _is_picture(f)), None)
    return f"; for those further down give '{folder}/**/*{deeper.suffix}'" if deeper else ""


def _near(place: Path) -> str:
    beside = [file.name for file in place.parent.iterdir()] if place.parent.is_dir() else []
    return nearest_file(place.name, beside)


def _pages(file: Path) -> Sequence[int]:
    """Pages of a file; of one that cannot be read the first, to be reported with the others."""
    if file.suffix.lower() not in PAGED:
        return (0,)
    try:
        return probe(file).pages
    except UnreadableImageError:
        return (0,)


def _named(
    pages: Sequence[tuple[Path, int]], remote: Mapping[Path, BucketPicture]
) -> list[Micrograph]:
    """Micrographs with different stems.

    Raises:
        PicturesError: Two would have the same even with the names of their folders.
    """
    plain = [_paged(_text(file.stem), page) for file, page in pages]
    often = Counter(stem.casefold() for stem in plain)
    folders = [file.absolute().parent for file, _ in pages]
    top = Path(os.path.commonpath(folders)) if folders else Path()
    stems = [
        stem if often[stem.casefold()] == 1 else _long(file.absolute().relative_to(top), page)
        for stem, (file, page) in zip(plain, pages, strict=True)
    ]
    twice = [stem for stem, n in Counter(stems).items() if n > 1]
    if twice:
        raise PicturesError(
            f"expected micrographs whose results have names of their own, got several that would "
            f"be called {', '.join(twice)}; ask for them in two runs"
        )
    return [
        Micrograph(
            file,
            page,
            _text(shown(file.with_stem(_paged(file.stem, page)))),
            stem,
            remote.get(file),
        )
        for stem, (file, page) in zip(stems, pages, strict=True)
    ]


def _paged(stem: str, page: int) -> str:
    return f"{stem}_p{page}" if page else stem


def _long(file: Path, page: int) -> str:
    """Folders, name and kind of a file in one word."""
    return _text("_".join([*file.parent.parts, _paged(file.stem, page), file.suffix[1:]]))


def _text(name: str) -> str:
    """A name that can be written into a file, whatever bytes the file system has for it."""
    return os.fsencode(name).decode("utf-8", "replace")


def source_of(micrograph: Micrograph) -> list[int | str]:
    """The state of a micrograph's file: size in bytes, time of change, place, a sample of it.

    Of one in a bucket: its size, and its checksum as a number.
    """
    if micrograph.remote is not None:
        return [*micrograph.remote.state]
    path = micrograph.path
    state = os.stat(path)  # noqa: PTH116  both numbers of one moment
    return [state.st_size, state.st_mtime_ns, _place(path), _sample(path, state.st_size)]


def is_as_it_was(micrograph: Micrograph, source: Sequence[int | str]) -> bool:
    """Whether a micrograph is the file that was once read, unchanged.

    Two pictures of one size and time, as those of an archive often are, may be different ones. So
    it is the file of the same place, or a copy: then its content is looked at.

    Args:
        micrograph: The micrograph.
        source: What `source_of` gave then.

    Raises:
        OSError: Its file cannot be read.
    """
    if micrograph.remote is not None:
        return list(source) == micrograph.remote.state
    path = micrograph.path
    state = os.stat(path)  # noqa: PTH116  both numbers of one moment
    if list(source[:2]) != [state.st_size, state.st_mtime_ns]:
        return False
    return _place(path) in source[2:3] or _sample(path, state.st_size) in source[3:]


def _place(path: Path) -> str:
    return _text(str(path.absolute()))


def _sample(path: Path, size: int) -> str:
    """SHA-256 of blocks spread over a file: pictures have noise, and a stack may be of many GB."""
    found = hashlib.sha256()
    step = max(size // _BLOCKS, _BLOCK_BYTES)
    with path.open("rb") as file:
        for start in range(0, size, step):
            file.seek(start)
            found.update(file.read(_BLOCK_BYTES))
    return found.hexdigest()
