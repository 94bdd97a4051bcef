"""Documents in a Google Cloud Storage bucket.

Each change names the generation of the object it was made of, so the service refuses it where
another one came between. What may pass (429, 5xx, a lost connection) is tried again with growing
pauses; a missing bucket or permission is not. A write whose answer was lost is refused when it is
tried again, as it has made a new generation itself: each write has a name of its own among the
object's metadata, by which it is known again.
"""

import json
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    Unauthorized,
)
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from cluster.errors import StorageError
from cluster.storage.documents import DAMAGED, ENCODING, SUFFIX, Change

PATIENCE_S: Final = 60.0
"""How long a request is tried again while the service cannot be reached or is overloaded."""

_WRITE: Final = "segtune-write"  # key of the metadata that names the write

_CHANGES: Final = 20  # tries of one change against others' changes of the same object


@dataclass(frozen=True)
class BucketDocuments:
    """Objects of a bucket whose names begin with a folder.

    Attributes:
        bucket: Name of the bucket.
        folder: Without slashes at its ends; "" for the whole bucket.
    """

    bucket: str
    folder: str

    @property
    def place(self) -> str:
        """The address."""
        return f"gs://{self.bucket}/{self.folder}".rstrip("/")

    def names(self) -> list[str]:
        """The names of all there are, sorted."""
        begins = f"{self.folder}/" if self.folder else ""
        with self._translated():
            blobs = self._client.list_blobs(self._bucket, prefix=begins, retry=_retry())
            found = [str(blob.name) for blob in blobs]
        return sorted(name.removeprefix(begins) for name in found if name.endswith(SUFFIX))

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
        with self._translated():
            try:
                self._blob(name).delete(retry=_retry())
            except NotFound:
                self._check_bucket()
                return False
        return True

    def _read(self, name: str) -> tuple[str | None, int]:
        """A text and its generation; None and 0 where there is none."""
        with self._translated():
            blob = self._blob(name)
            try:
                text = blob.download_as_bytes(retry=_retry()).decode(ENCODING, DAMAGED)
            except NotFound:
                self._check_bucket()
                return None, 0
            return text, int(blob.generation)

    def _written(self, name: str, text: str, generation: int) -> bool:
        """Whether the text could be written over this generation of it."""
        blob = self._blob(name)
        blob.metadata = {_WRITE: uuid.uuid4().hex}
        with self._translated():
            try:
                blob.upload_from_string(
                    text.encode(ENCODING, DAMAGED),
                    content_type="application/json",
                    if_generation_match=generation,
                    retry=_retry(),
                )
            except PreconditionFailed:
                return self._is_last_write(name, blob.metadata[_WRITE])
        return True

    def _is_last_write(self, name: str, write: str) -> bool:
        """Whether what is there was written by this write: its answer was lost, not the text."""
        there = self._bucket.get_blob(self._blob(name).name, retry=_retry())
        return there is not None and (there.metadata or {}).get(_WRITE) == write

    def _check_bucket(self) -> None:
        """Tell a missing object from a missing bucket, which is answered in the same way.

        Raises:
            NotFound: There is no such bucket.
        """
        next(iter(self._client.list_blobs(self._bucket, max_results=1, retry=_retry())), None)

    def _blob(self, name: str) -> storage.Blob:
        return self._bucket.blob(f"{self.folder}/{name}" if self.folder else name)

    @cached_property
    def _client(self) -> storage.Client:
        return storage.Client(project=None)  # an object's bucket says which

    @cached_property
    def _bucket(self) -> storage.Bucket:
        try:
            return self._client.bucket(self.bucket)
        except ValueError as error:
            raise StorageError(f"{self.place}: {error}") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (GoogleAPIError, GoogleAuthError, RequestException) as error:
            raise StorageError(f"{self.place}: {self._said(error)}") from error

    def _said(self, error: Exception) -> str:
        if isinstance(error, NotFound):
            return f"expected a bucket {self.bucket}, found none; make it, or name another"
        if isinstance(error, Forbidden | Unauthorized):
            return (
                "expected permission to read and write its objects, got "
                f"{error.code} {_reason(error)}; ask its owner for the role Storage Object User"
            )
        if isinstance(error, GoogleAuthError):
            return (
                f"expected Google credentials, got none that work ({_line(error)}); run `gcloud "
                "auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
            )
        if isinstance(error, GoogleAPICallError) and error.code:
            return f"the service answered {error.code} {_reason(error)}"
        return f"cannot be reached: {_line(error)}"


def _retry() -> Any:
    """Google's own rule of what may pass, with our patience."""
    return DEFAULT_RETRY.with_timeout(PATIENCE_S)


def _reason(error: GoogleAPICallError) -> str:
    """The message of the service, which answers with a text or JSON with one."""
    said = getattr(error.response, "text", "").strip()
    with suppress(ValueError, KeyError, TypeError):
        said = str(json.loads(said)["error"]["message"])
    return said.splitlines()[0][:200] if said else type(error).__name__


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
