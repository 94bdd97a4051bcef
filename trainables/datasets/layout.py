"""Files of a prepared data set: their names and versions, and what is wrong with one."""

from typing import Final, Literal

from trainables.files.errors import UserError

Split = Literal["train", "val", "test"]

FORMAT_VERSION: Final = 1

BOXES_VERSION: Final = 2  # of sets whose objects have no masks: earlier segtunes refuse them

UNLABELLED: Final = "unlabelled"
"""Split of the micrographs that are in none of the three parts."""

MANIFEST: Final = "dataset.json"

ANNOTATIONS: Final = "annotations.json"

IMAGES: Final = "images"

PICTURES: Final = "pictures"
"""Key of the manifest: SHA-256 of each picture's file by its name; earlier versions have none."""

SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")

AGAIN: Final = "Prepare the data set again: segtune prepare RAW --out FOLDER --force"
"""The remedy where a data set is broken."""


class DatasetError(UserError):
    """A mistake in a data set or in how it was asked for; `str()` is the whole message."""


class ChangedDataError(DatasetError):
    """A data set that is not as it was prepared, so that no figure on it would be right."""
