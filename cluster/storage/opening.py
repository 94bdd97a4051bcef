"""Opens what is kept at a place: a folder, or a bucket by its address."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from cluster.errors import StorageError
from cluster.storage.documents import Documents
from cluster.storage.folder import FolderDocuments
from cluster.storage.folder_files import FolderFiles

if TYPE_CHECKING:
    from cluster.storage.bucket_files import BucketFiles
    from cluster.storage.files import Files, Objects
    from cluster.storage.service import BucketPlace

SCHEME: Final = "gs://"
"""Beginning of a bucket's address."""


def is_address(place: str) -> bool:
    """Whether a place is a bucket's address, not a folder of this machine."""
    return place.startswith(SCHEME)


def open_documents(place: str, patience_s: float | None = None) -> Documents:
    """The documents at `place`, a folder or gs://BUCKET/FOLDER; nothing is read yet.

    Args:
        place: The place.
        patience_s: Time in which a request to a bucket is tried again.

    Raises:
        StorageError: It is neither.
    """
    if is_address(place):
        from cluster.storage.bucket import BucketDocuments  # the client takes its time to import

        return BucketDocuments(_bucket_place(place, patience_s))
    return FolderDocuments(_folder(place))


def open_files(place: str, patience_s: float | None = None) -> "Files":
    """The files at `place`, a folder or gs://BUCKET/FOLDER; nothing is read yet.

    Args:
        place: The place.
        patience_s: Time in which a request to a bucket is tried again.

    Raises:
        StorageError: It is neither.
    """
    return _opened(place, patience_s)


def open_objects(place: str) -> "Objects":
    """The objects at `place`, a folder or gs://BUCKET/FOLDER; nothing is read yet.

    Raises:
        StorageError: It is neither.
    """
    return _opened(place)


def _opened(place: str, patience_s: float | None = None) -> "FolderFiles | BucketFiles":
    if is_address(place):
        from cluster.storage.bucket_files import BucketFiles  # the client takes its time to import

        return BucketFiles(_bucket_place(place, patience_s))
    return FolderFiles(_folder(place))


def _folder(place: str) -> Path:
    if "://" in place or not place:
        raise StorageError(f"{place}: expected a folder or gs://BUCKET/FOLDER, got neither")
    return Path(place).expanduser()


def _bucket_place(place: str, patience_s: float | None = None) -> "BucketPlace":
    bucket, _, folder = place.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise StorageError(f"{place}: expected gs://BUCKET/FOLDER, got no bucket")
    from cluster.storage.service import BucketPlace  # the client takes its time to import

    return BucketPlace(bucket, folder.strip("/"), patience_s)
