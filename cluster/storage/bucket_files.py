"""Files in a Google Cloud Storage bucket, each an object.

The service puts an object in place whole. A large one is sent in pieces: one that is refused or
lost is sent again, not the whole. Which bytes the service has stored, it says in its answer, and
that is compared with what was read here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from google.api_core.exceptions import NotFound

from cluster.errors import StorageError
from cluster.storage.files import Head, Stored, content_of
from cluster.storage.service import BucketPlace, asked

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
            blob = self.at.blob(name)
            blob.chunk_size = _PIECE if source.stored.size > _PIECE else None
            with self.at.translated():
                source.seek(0)
                blob.upload_from_file(source, size=source.stored.size, checksum=None, **asked())
            stored = Stored(int(blob.size), cast("str", blob.crc32c))
            if stored == source.stored:
                return
        raise StorageError(
            f"{self.place}/{name}: the service stored other bytes than were sent, {_TRIES} times "
            f"(checksum {stored.crc32c}, sent {source.stored.crc32c}); the way there damages them"
        )

    def get(self, name: str, target: Path) -> Stored:
        """Write an object's content to a file, and again where other bytes came.

        Raises:
            StorageError: As for `Files`; or there is none of this name; or what comes is damaged.
        """
        for _ in range(_TRIES):
            with self.at.translated():
                there = self.at.handle.get_blob(self.at.blob(name).name, **asked())
                if there is None:
                    self.at.check_bucket()
                    raise StorageError(f"{self.place}/{name}: expected a file, found none")
                try:
                    with target.open("wb") as file:
                        there.download_to_file(
                            file, checksum=None, if_generation_match=there.generation, **asked()
                        )
                except NotFound:  # another one has just taken its place
                    continue
            came = content_of(target)
            if came == Stored(int(there.size), str(there.crc32c)):
                return came
        raise StorageError(
            f"{self.place}/{name}: other bytes came than the service has stored, {_TRIES} times"
        )
