"""The folder of a measurement: what is kept of each picture, and what says that it is done.

::

    <out>/measure.json        settings and models
    <out>/pace.json           time that a picture took, for the next run (`pace`)
    <out>/parts/<stem>.parquet   a picture's particles, in pixels, with their masks
    <out>/done/<stem>.json    a picture's record, written last: what a second run skips
    <out>/ray.log             what Ray has to say
    <out>/report.html         the page of a measurement
    <out>/labels/             16-bit label images
    <out>/overlays/           pictures with numbered outlines
    <out>/labelme/            outlines to be corrected
    <out>/rois/               a RoiSet.zip a picture, for ImageJ

All appear whole or not at all. Those of a picture are brought to the disk together, before its
record: of a power cut too, no record remains whose files are not there. A record that is lost is
one of a picture to be measured again, so it does not wait for the disk.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.pictures.micrographs import Micrograph, is_as_it_was
from trainables.files.whole import bring_to_disk, write_json, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS: Final = "measure.json"

PARTS, DONE = "parts", "done"

LABELS, OVERLAYS, LABELME, ROIS = "labels", "overlays", "labelme", "rois"

SUFFIXES: Final = {
    PARTS: ".parquet",
    DONE: ".json",
    LABELS: ".tif",
    OVERLAYS: ".jpg",
    LABELME: ".json",
    ROIS: ".zip",
}
"""Folders with a file a picture, and the suffix of the files."""


_HALF_WRITTEN: Final = ".[0-9]*-*"  # as `new_file` calls a file that is not yet whole


@dataclass(frozen=True)
class PictureRecord:
    """The record of a picture that is measured.

    Attributes:
        picture: Name of the picture.
        settings: Settings with which it was measured, the model's hash among them.
        source: Its file as it was, as `source_of` gives it.
        row: Its row in the table of pictures, by column.
        classes: Names of the models' classes.
        removed: Number of finds that each rule removed.
    """

    picture: str
    settings: Mapping[str, Any]
    source: Sequence[int | str]
    row: Mapping[str, Any]
    classes: Sequence[str]
    removed: Mapping[str, int]


class JobFolder:
    """The files of a measurement below its folder.

    Args:
        out: Folder of the run.
        written: Which of the folders with a file a picture are written.
    """

    def __init__(self, out: Path, written: Sequence[str]) -> None:
        self.out = out
        self._folders = (PARTS, *written, DONE)

    def begin(self) -> None:
        """Make the folders, and remove files that a kill left half written in any."""
        for name in self._folders:
            (self.out / name).mkdir(parents=True, exist_ok=True)
        for folder in (self.out, *(self.out / name for name in SUFFIXES)):
            for path in folder.glob(_HALF_WRITTEN):
                path.unlink()

    def file(self, folder: str, picture: Micrograph) -> Path:
        """File of a picture in one of the folders."""
        return self.out / folder / f"{picture.stem}{SUFFIXES[folder]}"

    def writes(self, folder: str) -> bool:
        """Whether a folder is among those that are written."""
        return folder in self._folders

    def remove(self, picture: Micrograph) -> None:
        """Remove what an earlier run wrote of a picture, its record first."""
        for folder in (DONE, *SUFFIXES):
            self.file(folder, picture).unlink(missing_ok=True)

    def record(self, picture: Micrograph) -> PictureRecord | None:
        """The record of a picture; None where one of its files is missing, or cannot be read."""
        if not all(self.file(folder, picture).is_file() for folder in self._folders):
            return None
        try:
            return PictureRecord(**json.loads(self.file(DONE, picture).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def is_done(self, picture: Micrograph, settings: Mapping[str, Any]) -> bool:
        """Whether a picture, as it is, was measured with these settings."""
        record = self.record(picture)
        if record is None or record.settings != settings:
            return False
        try:
            return is_as_it_was(picture, record.source)
        except OSError:
            return False

    def write_part(self, picture: Micrograph, particles: "pa.Table") -> None:
        """Write a picture's particles."""
        import pyarrow.parquet as pq  # put off: slow to import

        def write(file: Path) -> None:
            pq.write_table(particles, file)

        write_whole(self.file(PARTS, picture), write, on_disk=False)

    def part(self, picture: Micrograph, columns: Sequence[str] | None = None) -> "pa.Table":
        """A picture's particles, as they were written.

        Args:
            picture: The picture.
            columns: The only columns that are read, where they are there; None for all.
        """
        import pyarrow.parquet as pq  # put off: slow to import

        with pq.ParquetFile(self.file(PARTS, picture)) as file:
            return file.read(columns=columns, use_threads=False)

    def write_record(self, picture: Micrograph, record: PictureRecord) -> None:
        """Write that a picture is done, once its files are on the disk."""
        bring_to_disk([self.file(folder, picture) for folder in self._folders if folder != DONE])
        write_json(self.file(DONE, picture), asdict(record), on_disk=False)
