"""A data set opened where it is named: a folder of this machine, or gs://BUCKET/FOLDER."""

from pathlib import Path

from cluster.storage.copying import Progress
from cluster.storage.opening import SCHEME
from trainables.datasets.layout import DatasetError
from trainables.datasets.prepared import PreparedDataset
from tune.datasets.copies import bring, copy_of, open_copy


def in_bucket(place: Path | str) -> bool:
    """Whether the place of a data set is a bucket's address."""
    return str(place).startswith(SCHEME)


def open_data(place: Path | str) -> PreparedDataset:
    """The data set at a place; of one in a bucket the pictures may still be there alone.

    Raises:
        DatasetError: There is none, or it cannot be read.
    """
    return open_copy(_address(place)) if in_bucket(place) else PreparedDataset.load(Path(place))


def whole_data(place: Path | str, tick: Progress = lambda done, total: None) -> PreparedDataset:
    """The data set at a place, with its pictures on this machine.

    Args:
        place: A folder, or an address; its pictures are brought, as far as they lack.
        tick: Told of the bytes that came, and of all.

    Raises:
        DatasetError: As for `open_data`; or not all pictures are there, or have room here.
    """
    data = open_data(place)
    return bring(_address(place), data, tick) if in_bucket(place) else data


def data_here(place: Path | str, name: str, fingerprint: str) -> PreparedDataset | None:
    """The data set as this machine has it; no bucket is asked. None where it has none, or another.

    Args:
        place: Its folder, or its address, of which a copy may be here.
        name: Its name.
        fingerprint: Its fingerprint.
    """
    folder = copy_of(name, fingerprint) if in_bucket(place) else Path(place)
    try:
        data = PreparedDataset.load(folder)
    except DatasetError:
        return None
    return data if data.fingerprint == fingerprint else None


def _address(place: Path | str) -> str:
    """An address without slashes at its end, as folders are named below it."""
    return f"gs://{str(place).removeprefix('gs://').rstrip('/')}"
