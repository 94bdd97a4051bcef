"""Files in a Google Cloud Storage bucket, each an object.

The service puts an object in place whole. A large one is sent in pieces: one that is refused or
lost is sent again, not the whole. Which bytes the service has stored, it says in its answer, and
that is compared with what was read here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage import Blob

from cluster.errors import MissingError, StorageError, TakenError
from cluster.storage.files import Head, Stored, content_of
from cluster.storage.service import BucketPlace

_TRIES: Final = 3  # of a file that arrives damaged
_PIECE: Final = 8 << 20  # bytes of a large file that are sent at once


@dataclass(frozen=True)
class BucketFiles:
    """Objects below a place of a bucket.

    Attributes:
        at: The place.
    """

    at: BucketPlace

    @property
    def place(self) -> str:
        """The address."""
        return str(self.at)

    def listed(self) -> dict[str, Stored]:
        """All objects there are, by name, as the service says."""
        with self.at.translated():
            found = self.at.blobs()
            return {name: Stored(int(blob.size), str(blob.crc32c)) for name, blob in found}

    def put(self, name: str, source: Head) -> None:
        """Store a file whole, and again where the service has stored other bytes.

        Raises:
            StorageError: As for `Files`; or what arrives is damaged each time.
        """
        for _ in range(_TRIES):
            with self.at.translated():
                blob = self._sent(name, source)
            if _stored(blob) == source.stored:
                return
        raise self._damaging(name, blob, source)

    def create(self, name: str, source: Head) -> None:
        """Store a file whole where there is none, and again where other bytes were stored.

        Raises:
            StorageError: As for `Objects`; or what arrives is damaged each time.
        """
        for _ in range(_TRIES):
            with self.at.translated():
                try:
                    blob = self._sent(name, source, if_generation_match=0)
                except PreconditionFailed:
                    if self._there(name) == source.stored:
                        return
                    raise TakenError(
                        f"{self.place}/{name}: expected none there, found one of other content: "
                        "another process writes here"
                    ) from None
                if _stored(blob) == source.stored:
                    return
                generation = blob.generation  # what arrived damaged is ours, and nobody else's
                blob.delete(if_generation_match=generation, **self.at.asked())
        raise self._damaging(name, blob, source)

    def there(self, begins: str) -> list[str]:
        """The names of the objects that begin so, sorted."""
        with self.at.translated():
            return sorted(name for name, _ in self.at.blobs(begins))

    def remove(self, name: str) -> None:
        """Remove an object; none of this name is none to remove."""
        with self.at.translated():
            try:
                self.at.blob(name).delete(**self.at.asked())
            except NotFound:
                self.at.check_bucket()

    def get(self, name: str, target: Path) -> Stored:
        """Write an object's content to a file, and again where other bytes came.

        Raises:
            StorageError: As for `Files`; or there is none of this name; or what comes is damaged.
        """
        for _ in range(_TRIES):
            with self.at.translated():
                there = self.at.handle.get_blob(self.at.blob(name).name, **self.at.asked())
                if there is None:
                    self.at.check_bucket()
                    raise MissingError(f"{self.place}/{name}: expected a file, found none")
                try:
                    with target.open("wb") as file:
                        there.download_to_file(
                            file,
                            checksum=None,
                            if_generation_match=there.generation,
                            **self.at.asked(),
                        )
                except NotFound:  # another one has just taken its place
                    continue
            came = content_of(target)
            if came == _stored(there):
                return came
        raise StorageError(
            f"{self.place}/{name}: other bytes came than the service has stored, {_TRIES} times"
        )

    def _sent(self, name: str, source: Head, **only_if: int) -> Blob:
        """Send a file; gives the object as the service says it is."""
        blob = self.at.blob(name)
        blob.chunk_size = _PIECE if source.stored.size > _PIECE else None
        source.seek(0)
        blob.upload_from_file(
            source, size=source.stored.size, checksum=None, **only_if, **self.at.asked()
        )
        return blob

    def _there(self, name: str) -> Stored | None:
        blob = self.at.handle.get_blob(self.at.blob(name).name, **self.at.asked())
        return None if blob is None else _stored(blob)

    def _damaging(self, name: str, blob: Blob, source: Head) -> StorageError:
        return StorageError(
            f"{self.place}/{name}: the service stored other bytes than were sent, {_TRIES} times "
            f"(checksum {blob.crc32c}, sent {source.stored.crc32c}); the way there damages them"
        )


def _stored(blob: Blob) -> Stored:
    return Stored(int(blob.size), cast("str", blob.crc32c))
