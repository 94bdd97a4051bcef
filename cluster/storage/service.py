"""A place in a Google Cloud Storage bucket: its client, what is tried again, and what is said.

What may pass (429, 5xx, a lost connection) is tried again with growing pauses; a missing bucket or
permission is not. Each exception of the client is translated into one sentence with the remedy.
"""

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    GoogleAPIError,
    NotFound,
    RetryError,
    Unauthorized,
)
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException

from cluster.errors import StorageError

log = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0
"""How long a request is tried again while the service cannot be reached or is overloaded."""

QUIET_S: Final = 3.0
"""After how long without an answer it is said that a request is tried again."""

ANSWER_S: Final = 60.0
"""How long one try waits for the service to say anything."""

CONNECTIONS: Final = 16
"""Requests that may be made of a place at once."""

_ASKED_BY_THE_CLIENT: Final = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")
"""Variables that the client reads when it is made."""


@dataclass(frozen=True)
class BucketPlace:
    """Objects of a bucket whose names begin with a folder.

    Attributes:
        bucket: Name of the bucket.
        folder: Without slashes at its ends; "" for the whole bucket.
        patience_s: Time in which a request is tried again while the service cannot be reached or
            is overloaded; default: `PATIENCE_S`.
    """

    bucket: str
    folder: str
    patience_s: float | None = None

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.folder}".rstrip("/")

    def blob(self, name: str) -> storage.Blob:
        """The object of a name below the folder; the service is not asked."""
        return self.handle.blob(f"{self.folder}/{name}" if self.folder else name)

    def blobs(self, begins: str = "") -> Iterator[tuple[str, storage.Blob]]:
        """All objects below the folder by their names there; inside `translated` only.

        Args:
            begins: How their names begin.
        """
        folder = f"{self.folder}/" if self.folder else ""
        for blob in self._client.list_blobs(self.handle, prefix=folder + begins, **self.asked()):
            yield str(blob.name).removeprefix(folder), blob

    def asked(self) -> dict[str, Any]:
        """How a request is made: Google's own rule of what may pass, with our patience."""
        patience_s = PATIENCE_S if self.patience_s is None else self.patience_s
        rule = DEFAULT_RETRY.with_timeout(patience_s)
        if self.patience_s is None:  # who has a patience of its own has words of its own
            rule = Retry(
                predicate=DEFAULT_RETRY._predicate, timeout=patience_s, on_error=self._waiting()
            )
        return {"retry": rule, "timeout": min(ANSWER_S, patience_s)}

    def _waiting(self) -> Callable[[Exception], None]:
        """Says once for this place that a request is tried again, when that takes long."""
        began = time.monotonic()

        def failed(error: Exception) -> None:
            if time.monotonic() - began > QUIET_S and not self._said_so:
                self._said_so.append(True)
                log.warning(
                    "%s: no answer yet (%s); tried again for up to %.0f s",
                    *(self, _cause(error), PATIENCE_S),
                )

        return failed

    @cached_property
    def _said_so(self) -> list[bool]:
        return []

    def check_bucket(self) -> None:
        """Tell a missing object from a missing bucket, which is answered in the same way.

        Raises:
            NotFound: There is no such bucket.
        """
        next(iter(self._client.list_blobs(self.handle, max_results=1, **self.asked())), None)

    @cached_property
    def handle(self) -> storage.Bucket:
        """The bucket; the service is not asked.

        Raises:
            StorageError: No bucket can have this name.
        """
        try:
            return self._client.bucket(self.bucket)
        except ValueError as error:
            raise StorageError(f"{self}: {error}") from error

    @cached_property
    def _client(self) -> storage.Client:
        return _client(os.getpid(), tuple(os.environ.get(name) for name in _ASKED_BY_THE_CLIENT))

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the client's exceptions as a `StorageError` that says what to do."""
        try:
            yield
        except (GoogleAPIError, GoogleAuthError, RequestException) as error:
            raise StorageError(f"{self}: {self._said(error)}") from error

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
        return f"cannot be reached: {_cause(error)}"


@lru_cache(maxsize=2)
def _client(process: int, environment: tuple[str | None, ...]) -> storage.Client:
    """The client of a process: it asks for credentials, which takes a while, once.

    Args:
        process: Id of the process, as one that is forked off must not have its parent's sockets.
        environment: Variables that the client reads when it is made.
    """
    client = storage.Client(project=None)  # an object's bucket says which
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    return client


def _reason(error: GoogleAPICallError) -> str:
    """The message of the service, which answers with a text or JSON with one."""
    said = getattr(error.response, "text", "").strip()
    with suppress(ValueError, KeyError, TypeError):
        said = str(json.loads(said)["error"]["message"])
    return said.splitlines()[0][:200] if said else type(error).__name__


def _cause(error: BaseException) -> str:
    """What a request failed with: in a word or two where the connection did, else as it is said."""
    within = error.cause if isinstance(error, RetryError) and error.cause else error
    found = re.search(r"Connection refused|Name or service not known|No route to host", str(within))
    return found.group(0).lower() if found else _line(within)


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
