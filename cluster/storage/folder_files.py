"""Files in a folder of this machine, or of a disk that several share."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import MissingError, StorageError, TakenError
from cluster.storage.files import Head, Stored, below, content_of
from trainables.files.whole import new_file


@dataclass(frozen=True)
class FolderFiles:
    """Files below a folder, which is made by the first one.

    Hidden files and folders, such as locks, are not among them; links are followed to files.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        with self._translated():
            found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
            return sorted(
                path.as_posix()
                for path in found
                if not any(part.startswith(".") for part in path.parts)
            )

    def listed(self) -> dict[str, Stored]:
        """All files there are, by name; each is read."""
        with self._translated():
            return {name: content_of(self.root / name) for name in self.names()}

    def put(self, name: str, source: Head) -> None:
        """Store a file whole."""
        path = below(self.root, name)
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_file(path) as temporary, temporary.open("wb") as file:
                file.writelines(source.blocks())
            stored = content_of(path)
        if stored != source.stored:
            raise StorageError(f"{path}: what the disk gives back is not what was written")

    def get(self, name: str, target: Path) -> Stored:
        """Write a file's content to another file."""
        path = below(self.root, name)
        if not path.is_file():
            raise MissingError(f"{path}: expected a file, found none")
        with self._translated(), path.open("rb") as file:
            source = Head(file)
            with target.open("wb") as copy:
                copy.writelines(source.blocks())
        return source.stored

    def create(self, name: str, source: Head) -> None:
        """Store a file whole where there is none of this name, or one of the same content."""
        path = below(self.root, name)
        temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.writelines(source.blocks())
                    file.flush()
                    os.fsync(file.fileno())
                path.hardlink_to(temporary)
            except FileExistsError:
                pass
            finally:
                temporary.unlink(missing_ok=True)
            stored = content_of(path)
        if stored != source.stored:
            raise TakenError(
                f"{path}: expected none there, found one of other content: another process writes "
                "here"
            )

    def there(self, begins: str) -> list[str]:
        """The names that begin so, sorted."""
        folder = self.root / begins.rpartition("/")[0]
        with self._translated():
            found = FolderFiles(folder).names() if folder.is_dir() else []
        names = ((folder / name).relative_to(self.root).as_posix() for name in found)
        return sorted(name for name in names if name.startswith(begins))

    def remove(self, name: str) -> None:
        """Remove a file; none of this name is none to remove."""
        with self._translated():
            below(self.root, name).unlink(missing_ok=True)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{error.filename or self.root}: expected files that can be read and written, "
                f"got: {error.strerror}"
            ) from error
