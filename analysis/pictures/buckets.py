"""Pictures in a bucket: listed by their names, and on this machine only while they are read.

A file comes when somebody asks for its path, and lies in the user's cache, of which the last 2 GB
stay: so several that read one picture one after the other bring it once, and a run over any number
of pictures needs no more disk than that.
"""

import hashlib
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from analysis.errors import PicturesError
from cluster.errors import StorageError
from cluster.storage.copying import at_once
from cluster.storage.files import Stored
from cluster.storage.opening import open_files
from trainables.datasets.images import SUFFIXES
from trainables.files.whole import locked, new_file
from tune.datasets.copies import cache_folder

MOST_BYTES: Final = 2_000_000_000
"""Bytes of pictures that a machine keeps."""

_TRIMS: Final = 20
"""How often old ones are removed while as many bytes come as are kept, on average."""

_IN_USE_S: Final = 120.0
"""Age up to which a picture may be read just now, and stays, s."""

_WILD: Final = frozenset("*?[")

_KINDS: Final = "MRC, TIFF, PNG, JPEG"


@dataclass(frozen=True)
class BucketPicture:
    """A picture's file in a bucket.

    Attributes:
        folder: Address of its folder.
        name: Name of the file.
        size: Bytes.
        crc32c: Checksum, as the service says it.
    """

    folder: str
    name: str
    size: int
    crc32c: str

    @property
    def address(self) -> str:
        """Where it is."""
        return f"{self.folder}/{self.name}"

    @property
    def state(self) -> list[int]:
        """What changes with its content: its size in bytes, and its checksum as a number."""
        return [self.size, int.from_bytes(self.crc32c.encode(), "big")]

    def here(self) -> Path:
        """Its file on this machine, brought where it lacks; to be opened within two minutes.

        Raises:
            StorageError: It cannot be brought.
        """
        mark = hashlib.sha256(f"{self.address}\0{self.crc32c}".encode()).hexdigest()[:20]
        place = cache_folder("pictures", mark) / self.name
        if _touched(place.parent) and self._is(place):
            return place
        with locked(place.parent, wait=True):
            if not self._is(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                with new_file(place, on_disk=False) as temporary:
                    self._bring(temporary)
        if random.random() * MOST_BYTES < self.size * _TRIMS:  # each looks at all that is kept
            _trim(place.parents[1], MOST_BYTES)
        return place

    def _is(self, place: Path) -> bool:
        """Whether a file is there, and not cut: a power cut may leave a name without content."""
        return place.is_file() and place.stat().st_size == self.size

    def _bring(self, target: Path) -> None:
        came = open_files(self.folder).get(self.name, target)
        if came != Stored(self.size, self.crc32c):
            raise StorageError(
                f"{self.address}: expected the picture that was listed, got another; it was "
                "changed since"
            )


def bucket_pictures(asked: str) -> Iterator[BucketPicture]:
    """The pictures of one argument that is an address: a file, a folder, or a pattern.

    One of exactly that name is meant before a pattern, as of files of this machine.

    Raises:
        PicturesError: There are none; or one has two slashes in a row in its name.
        StorageError: The bucket cannot be read.
    """
    if "//" in asked.removeprefix("gs://").rstrip("/"):
        raise _with_two_slashes(asked)
    folder, rest, wanted = _folder_and_rest(asked)
    listed = open_files(folder).listed()
    names = [rest] if rest in listed else [name for name in sorted(listed) if wanted(name)]
    names = [name for name in names if _is_picture(name)]
    if not names:
        raise PicturesError(f"{asked}: expected pictures there ({_KINDS}), found none")
    if odd := [name for name in names if "//" in f"/{name}"]:
        raise _with_two_slashes(f"{folder}/{odd[0]}")
    for name in names:
        below, _, file = name.rpartition("/")
        yield BucketPicture(f"{folder}/{below}".rstrip("/"), file, *listed[name])


def _with_two_slashes(address: str) -> PicturesError:
    """What is said of a name that a bucket can have, and no file of this machine."""
    one = "gs://" + re.sub("/+", "/", address.removeprefix("gs://"))
    return PicturesError(
        f"{address}: expected one slash between folders, got two: no file can have such a name; "
        f"name {one}, or copy the object there: gcloud storage cp {address} {one}"
    )


def bring_all(pictures: list[BucketPicture], use: Callable[[Path], int]) -> list[int]:
    """A number of each picture, from its file: eight are brought at once.

    Raises:
        StorageError: One cannot be brought.
    """
    numbered = {str(n): picture for n, picture in enumerate(pictures)}
    found = at_once(lambda n: use(numbered[n].here()), list(numbered))
    return [found[n] for n in numbered]


def _folder_and_rest(asked: str) -> tuple[str, str, Callable[[str], bool]]:
    """The folder to list, the name below it, and which names are meant where there is none such.

    >>> folder, rest, wanted = _folder_and_rest("gs://lab/day/*/a?.tif")
    >>> folder, rest, [wanted(name) for name in ("1/a1.tif", "1/2/a1.tif", "a1.tif")]
    ('gs://lab/day', '*/a?.tif', [True, False, False])
    >>> _folder_and_rest("gs://lab/day/a.tif")[:2], _folder_and_rest("gs://lab/day/")[:2]
    (('gs://lab/day', 'a.tif'), ('gs://lab/day', ''))

    Raises:
        PicturesError: It is a pattern that nothing can match.
    """
    parts = asked.removeprefix("gs://").rstrip("/").split("/")
    wild = next((n for n, part in enumerate(parts) if _WILD & set(part)), None)
    if wild is not None and wild > 0:
        rest = "/".join(parts[wild:])
        try:
            pattern = _translated(rest)
        except re.error as error:
            raise PicturesError(
                f"{asked}: expected a pattern of *, ?, [...] and **/, got {rest}: {error}"
            ) from error
        return "gs://" + "/".join(parts[:wild]), rest, lambda name: bool(pattern.fullmatch(name))
    if len(parts) > 1 and _is_picture(parts[-1]):
        return "gs://" + "/".join(parts[:-1]), parts[-1], lambda name: False
    return "gs://" + "/".join(parts), "", lambda name: "/" not in name


def _translated(pattern: str) -> re.Pattern[str]:
    """A pattern of the command line as a regular expression; `**` stands for any folders.

    >>> bool(_translated("**/*.tif").fullmatch("a.tif")), bool(_translated("*").fullmatch("a/b"))
    (True, False)
    """
    text = ""
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", pattern):
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        within = piece.replace("\\", r"\\").replace("[!", "[^")
        own = within if piece.startswith("[") and len(piece) > 1 else re.escape(piece)
        text += known.get(piece, own)
    return re.compile(text)


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def shown(file: Path) -> str:
    """A file as the user named it: paths make one slash of two.

    >>> shown(Path("gs://lab/a.tif")), shown(Path("day/a.tif"))
    ('gs://lab/a.tif', 'day/a.tif')
    """
    text = file.as_posix()
    return text.replace("gs:/", "gs://", 1) if text.startswith("gs:/") else text


# --- the cache
def _touched(folder: Path) -> bool:
    """Whether a picture's folder is there; it is then marked as used just now."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


def _trim(folder: Path, most: int) -> None:
    """Remove what was used longest ago, down to so many bytes; what may be in use stays."""
    kept = []
    for one in folder.iterdir():
        try:
            size = sum(file.stat().st_size for file in one.iterdir()) if one.is_dir() else 0
            kept.append((one.stat().st_mtime, size, one))
        except FileNotFoundError:  # by another process, just now
            continue
    total, now = sum(size for _, size, _ in kept), time.time()
    for used, size, one in sorted(kept):
        if total <= most or now - used < _IN_USE_S:
            return
        if size:
            shutil.rmtree(one, ignore_errors=True)
            total -= size
