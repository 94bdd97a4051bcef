"""A folder packed into one file: a ZIP archive that any program opens, with the index of a copy."""

import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.errors import StorageError
from cluster.storage.copying import INDEX, Progress, index_text
from cluster.storage.files import Head, Stored, below, content_of, crc32c
from cluster.storage.folder_files import FolderFiles
from trainables.files.whole import new_file

SUFFIX: Final = ".zip"

_AT_ONCE: Final = 1 << 20

_PACKED: Final = (".jpg", ".jpeg", ".png", ".gz", ".zip", ".pt", ".npz", ".parquet", ".onnx")
"""Endings of files that hardly get smaller."""


_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError)
"""What reading an archive raises that is none, or a damaged one."""


@dataclass(frozen=True)
class ArchiveFiles:
    """Files of an archive, to be read.

    Attributes:
        path: The archive.
    """

    path: Path

    @property
    def place(self) -> str:
        """The archive."""
        return str(self.path)

    def listed(self) -> dict[str, Stored]:
        """All files there are, by name; each is read."""
        with self.opened() as archive:
            return {name: self.stored(archive, name) for name in archive.namelist()}

    def put(self, name: str, source: Head) -> None:
        """Refuse: an archive is made whole.

        Raises:
            StorageError: Always.
        """
        raise StorageError(f"{self.path}: an archive is not changed; make another: {name}")

    def get(self, name: str, target: Path) -> Stored:
        """Write a file's content to a file."""
        with self.opened() as archive:
            if name not in archive.NameToInfo:
                raise StorageError(f"{self.path}: expected {name} in it, found none")
            with archive.open(name) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, _AT_ONCE)
        return content_of(target)

    def stored(self, archive: zipfile.ZipFile, name: str) -> Stored:
        """What a file of the open archive holds."""
        with archive.open(name) as packed:
            checksum = crc32c(iter(lambda: packed.read(_AT_ONCE), b""))
        return Stored(archive.getinfo(name).file_size, checksum)

    @contextmanager
    def opened(self) -> Iterator[zipfile.ZipFile]:
        """The archive, open; what is wrong with it is a `StorageError`."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except _DAMAGED as error:
            raise StorageError(f"{self.path}: expected a whole archive, got: {error}") from error
        except OSError as error:
            raise StorageError(
                f"{error.filename or self.path}: expected a file that can be read and written, "
                f"got: {error.strerror or error}"
            ) from error


def pack(
    folder: Path,
    target: Path,
    *,
    wanted: Callable[[str], bool] = lambda name: True,
    tick: Progress = lambda done, total: None,
) -> int:
    """Pack a folder, read what was packed, and put the archive in place.

    Args:
        folder: The folder; hidden files stay out.
        target: The archive, which is replaced where it is there.
        wanted: Whether a file is packed, by its name below the folder.
        tick: Told of the progress.

    Returns:
        The number of files.

    Raises:
        StorageError: The folder has no such file, or something cannot be read or written.
    """
    names = [name for name in FolderFiles(folder).names() if wanted(name)]
    if not names:
        raise StorageError(f"{folder}: expected files to pack, found none")
    total = 2 * sum((folder / name).stat().st_size for name in names)
    done = 0
    index: dict[str, Stored] = {}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with new_file(target) as temporary:
            with zipfile.ZipFile(temporary, "w") as archive:
                for name in names:
                    below(folder, name)
                    index[name] = _add(archive, folder / name, name)
                    done += index[name].size
                    tick(done, total)
                archive.writestr(INDEX, index_text(index), zipfile.ZIP_DEFLATED)
            packed = ArchiveFiles(temporary)
            with packed.opened() as archive:
                for name, stored in index.items():
                    if packed.stored(archive, name) != stored:
                        raise StorageError(f"{target}: {name} is not in it as it was packed")
                    done += stored.size
                    tick(min(done, total), total)
    except OSError as error:
        raise StorageError(
            f"{error.filename or target}: expected files that can be read and written, got: "
            f"{error.strerror}"
        ) from error
    return len(index)


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> Stored:
    entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
    small = not name.lower().endswith(_PACKED)
    entry.compress_type = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED
    with path.open("rb") as file:
        source = Head(file)
        with archive.open(entry, "w", force_zip64=True) as packed:
            for block in source.blocks():
                packed.write(block)
    return source.stored
