"""Documents in a folder of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import StorageError
from cluster.storage.documents import DAMAGED, ENCODING, SUFFIX, Change
from trainables.files.whole import FileLock, new_file


@dataclass(frozen=True)
class FolderDocuments:
    """Files below a folder, which is made by the first change.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    def names(self) -> list[str]:
        """The names of all there are, sorted; hidden files are none."""
        with self._translated():
            if not self.root.exists():
                return []
            next(self.root.iterdir(), None)  # rglob passes over what may not be read
            files = (path for path in self.root.rglob(f"*{SUFFIX}") if path.is_file())
            found = [path.relative_to(self.root) for path in files]
        return sorted(path.as_posix() for path in found if not path.name.startswith("."))

    def read(self, name: str) -> str | None:
        """A text, or None where there is none of this name."""
        with self._translated():
            try:
                return (self.root / name).read_text(ENCODING, DAMAGED)
            except FileNotFoundError:
                return None

    def update(self, name: str, change: Change) -> None:
        """Change a text as one step, under a lock that a killed process gives back."""
        path = self.root / name
        with self._translated(), self._locked():
            text = change(self.read(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_file(path) as temporary:
                temporary.write_text(text, ENCODING, DAMAGED)

    def delete(self, name: str) -> bool:
        """Delete a text; False where there was none."""
        with self._translated(), self._locked():
            path = self.root / name
            there = path.is_file()
            path.unlink(missing_ok=True)
            return there

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".lock"):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{error.filename or self.root}: expected a folder that can be read and written, "
                f"got: {error.strerror}"
            ) from error
