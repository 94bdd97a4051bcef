"""Documents in a Google Cloud Storage bucket.

Each change names the generation of the object it was made of, so the service refuses it where
another one came between. A write whose answer was lost is refused when it is tried again, as it has
made a new generation itself: each write has a name of its own among the object's metadata, by which
it is known again.
"""

import random
import time
import uuid
from dataclasses import dataclass
from typing import Final

from google.api_core.exceptions import NotFound, PreconditionFailed

from cluster.errors import StorageError
from cluster.storage.documents import DAMAGED, ENCODING, SUFFIX, Change
from cluster.storage.service import BucketPlace

_WRITE: Final = "segtune-write"  # key of the metadata that names the write

_CHANGES: Final = 20  # tries of one change against others' changes of the same object


@dataclass(frozen=True)
class BucketDocuments:
    """Objects below a place of a bucket.

    Attributes:
        at: The place.
    """

    at: BucketPlace

    @property
    def place(self) -> str:
        """The address."""
        return str(self.at)

    def names(self) -> list[str]:
        """The names of all there are, sorted."""
        with self.at.translated():
            return sorted(name for name, _ in self.at.blobs() if name.endswith(SUFFIX))

    def read(self, name: str) -> str | None:
        """A text, or None where there is none of this name."""
        return self._read(name)[0]

    def update(self, name: str, change: Change) -> None:
        """Change a text as one step; made again of the new text where another was faster."""
        for n in range(_CHANGES):
            text, generation = self._read(name)
            if self._written(name, change(text), generation):
                return
            time.sleep(random.uniform(0, min(2.0, 0.02 * 2**n)))
        raise StorageError(f"{self.place}/{name}: others changed it {_CHANGES} times just now")

    def delete(self, name: str) -> bool:
        """Delete a text; False where there was none."""
        with self.at.translated():
            try:
                self.at.blob(name).delete(**self.at.asked())
            except NotFound:
                self.at.check_bucket()
                return False
        return True

    def _read(self, name: str) -> tuple[str | None, int]:
        """A text and its generation; None and 0 where there is none."""
        with self.at.translated():
            blob = self.at.blob(name)
            try:
                text = blob.download_as_bytes(**self.at.asked()).decode(ENCODING, DAMAGED)
            except NotFound:
                self.at.check_bucket()
                return None, 0
            return text, int(blob.generation)

    def _written(self, name: str, text: str, generation: int) -> bool:
        """Whether the text could be written over this generation of it."""
        blob = self.at.blob(name)
        blob.metadata = {_WRITE: uuid.uuid4().hex}
        with self.at.translated():
            try:
                blob.upload_from_string(
                    text.encode(ENCODING, DAMAGED),
                    content_type="application/json",
                    if_generation_match=generation,
                    **self.at.asked(),
                )
            except PreconditionFailed:
                return self._is_last_write(name, blob.metadata[_WRITE])
        return True

    def _is_last_write(self, name: str, write: str) -> bool:
        """Whether what is there was written by this write: its answer was lost, not the text."""
        there = self.at.handle.get_blob(self.at.blob(name).name, **self.at.asked())
        return there is not None and (there.metadata or {}).get(_WRITE) == write
