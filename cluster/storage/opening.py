"""Opens the documents at a place: a folder, or a bucket by its address."""

from pathlib import Path
from typing import Final

from cluster.errors import StorageError
from cluster.storage.documents import Documents
from cluster.storage.folder import FolderDocuments

_SCHEME: Final = "gs://"


def open_documents(place: str) -> Documents:
    """The documents at `place`, a folder or gs://BUCKET/FOLDER; nothing is read yet.

    Raises:
        StorageError: It is neither.
    """
    if not place.startswith(_SCHEME):
        if "://" in place or not place:
            raise StorageError(f"{place}: expected a folder or gs://BUCKET/FOLDER, got neither")
        return FolderDocuments(Path(place).expanduser())
    bucket, _, folder = place.removeprefix(_SCHEME).partition("/")
    if not bucket:
        raise StorageError(f"{place}: expected gs://BUCKET/FOLDER, got no bucket")
    from cluster.storage.bucket import BucketDocuments  # the client takes its time to import

    return BucketDocuments(bucket, folder.strip("/"))
