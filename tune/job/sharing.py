"""Whether every node sees the folder that a job writes: a file is made there to be looked for."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import JobError


@contextmanager
def proof_of_sharing(directory: Path) -> Iterator[Path]:
    """A file beside a folder to write, for the block; nodes that see it share the place.

    Raises:
        JobError: The head cannot write there.
    """
    storage = directory.parent
    proof = storage / f".{directory.name}.{uuid.uuid4().hex}"
    try:
        storage.mkdir(parents=True, exist_ok=True)
        proof.touch()
    except OSError as error:
        raise JobError(
            f"storage: expected a folder that the head can write, got {storage}: "
            f"{error.strerror}; --set storage=PLACE names another"
        ) from error
    try:
        yield proof
    finally:
        proof.unlink(missing_ok=True)
