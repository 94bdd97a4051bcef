"""The files of a picking.

::

    <out>/picks.star, .csv, .json    all micrographs of the run
    <out>/micrographs.csv            a row a micrograph: picks, confidence, size, state
    <out>/failed.csv                 those that could not be picked, and why; only if there are any
    <out>/contact_sheet.png          micrographs with their picks
    <out>/star|csv|json|box/         a file a micrograph
    <out>/masks/                     0 and 255, 8-bit PNG of the micrograph's size
    <out>/probabilities/             32-bit MRC of the micrograph's size, with --save-prob
    <out>/done/                      a record a micrograph, written last: what a second run skips
    <out>/pick.json                  the settings

All appear whole or not at all. Conventions of the coordinates: `trainables.datasets.coordinates`.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from analysis.picking.files import PickForm, read_picks, write_picks
from analysis.picking.finding import FoundParticles
from analysis.pictures.micrographs import Micrograph
from analysis.scale.scale import Area
from trainables.datasets.particle_size import ANGSTROM_PER_UM
from trainables.files.cells import csv_row
from trainables.files.whole import new_file, write_json, write_whole
from trainables.results import Picks

ALL: Final = "picks"

TABLE: Final = "micrographs.csv"

FAILED: Final = "failed.csv"

SHEET: Final = "contact_sheet.png"

FOLDERS: Final = ("star", "csv", "json", "box", "masks", "probabilities", "done")

_SUFFIXES: Final = {"masks": ".png", "probabilities": ".mrc", "done": ".json"}

_TOGETHER: Final[tuple[PickForm, ...]] = ("star", "csv", "json")

_BOX_DIAMETERS: Final = 1.5

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Record:
    """The record of a micrograph that is done.

    Attributes:
        micrograph: Name of the micrograph.
        settings: Settings with which it was picked.
        source: Size in bytes and time of change of its file.
        width: Width in pixels.
        height: Height in pixels.
        um_per_px: Side of a pixel in micrometres, or None.
        picks: Number of picks.
        median_confidence: Median confidence of the picks; None without picks.
        radius_px: Radius of a particle.
        analysed: Rectangles x,y,width,height in which particles were looked for: without data bar,
            scale bar and frames.
        seconds: Time that the picking took, without reading the file.
    """

    micrograph: str
    settings: Mapping[str, Any]
    source: Sequence[int | str]
    width: int
    height: int
    um_per_px: float | None
    picks: int
    median_confidence: float | None
    radius_px: float
    analysed: str
    seconds: float

    @property
    def has_left_out(self) -> bool:
        """Whether particles were not looked for everywhere."""
        return self.analysed != Area(0, 0, self.width, self.height).text


class Outputs:
    """The files of a run below its folder.

    Attributes:
        out: Folder of the run.
        save_prob: Whether maps of probabilities belong to them.
    """

    def __init__(self, out: Path, *, save_prob: bool) -> None:
        self.out = out
        self.save_prob = save_prob

    def begin(self) -> None:
        """Make the folders, and drop what a killed run left unfinished."""
        for folder in self._folders:
            (self.out / folder).mkdir(parents=True, exist_ok=True)
            for rest in (self.out / folder).glob(".*"):
                rest.unlink()

    def of(self, micrograph: Micrograph) -> dict[str, Path]:
        """Every file of a micrograph that is done, by its folder."""
        return {name: self._file(name, micrograph) for name in self._folders}

    @property
    def _folders(self) -> list[str]:
        return [name for name in FOLDERS if name != "probabilities" or self.save_prob]

    def _file(self, folder: str, micrograph: Micrograph) -> Path:
        return self.out / folder / f"{micrograph.stem}{_SUFFIXES.get(folder, f'.{folder}')}"

    def record(self, micrograph: Micrograph) -> Record | None:
        """The record of a micrograph; None where it is not done, or a file is missing."""
        files = self.of(micrograph)
        try:
            record = Record(**json.loads(files["done"].read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        whole = all(file.is_file() for file in files.values())
        return record if whole and record.micrograph == micrograph.name else None

    def remove(self, micrograph: Micrograph) -> None:
        """Delete what is there of a micrograph, its record first."""
        for folder in reversed(FOLDERS):
            self._file(folder, micrograph).unlink(missing_ok=True)

    @contextmanager
    def probability(
        self, micrograph: Micrograph, shape: tuple[int, ...], um_per_px: float | None
    ) -> Iterator[Map | None]:
        """An array (H, W) to be filled with the map; None where none is wanted."""
        if not self.save_prob:
            yield None
            return
        import mrcfile  # type: ignore[import-untyped]  # not at the top: few runs write maps

        place = self.of(micrograph)["probabilities"]
        with (
            new_file(place) as temporary,
            mrcfile.new_mmap(temporary, shape=shape, mrc_mode=2, overwrite=True) as mrc,
        ):
            if um_per_px is not None:
                mrc.voxel_size = um_per_px * ANGSTROM_PER_UM
            yield mrc.data
            mrc.update_header_stats()

    def write(
        self, micrograph: Micrograph, found: FoundParticles, record: Record, box_px: int
    ) -> None:
        """Write coordinates and mask of a micrograph, and its record last."""
        for form in _TOGETHER:
            write_picks(self.out / form, micrograph.stem, {micrograph.name: found.picks}, form)
        named = {f"{micrograph.stem}.box": found.picks}
        write_picks(self.out / "box", micrograph.stem, named, "box", box_px=box_px)
        files = self.of(micrograph)
        mask = Image.fromarray(found.mask)
        write_whole(files["masks"], lambda path: mask.save(path, format="png", compress_level=1))
        write_json(files["done"], asdict(record))

    def picks(self, micrograph: Micrograph) -> Picks:
        """The particles of a micrograph that is done."""
        return read_picks(self.of(micrograph)["json"])[micrograph.name]

    def remove_together(self) -> None:
        """Delete what is about all micrographs: until it is written again it would be of others."""
        together = [f"{ALL}.{form}" for form in _TOGETHER]
        for name in (*together, TABLE, FAILED, SHEET):
            (self.out / name).unlink(missing_ok=True)

    def write_together(self, done: Sequence[Micrograph]) -> None:
        """Write the coordinates of all micrographs into one file of each format."""
        picks = {micrograph.name: self.picks(micrograph) for micrograph in done}
        for form in _TOGETHER:
            write_picks(self.out, ALL, picks, form)

    def write_tables(
        self, records: Mapping[Micrograph, Record], failed: Mapping[Micrograph, str]
    ) -> None:
        """Write `micrographs.csv`, and `failed.csv` where something failed."""
        hidden = ("settings", "source")
        done = [
            {k: v for k, v in asdict(record).items() if k not in hidden} | {"state": "done"}
            for record in records.values()
        ]
        lost = [{"micrograph": m.name, "state": "failed"} for m in failed]
        columns = [*(name for name in Record.__annotations__ if name not in hidden), "state"]
        _write_table(self.out / TABLE, columns, [*done, *lost])
        reasons = [{"micrograph": m.name, "reason": reason} for m, reason in failed.items()]
        if reasons:
            _write_table(self.out / FAILED, ["micrograph", "reason"], reasons)
        else:
            (self.out / FAILED).unlink(missing_ok=True)


def box_side(radius_px: float) -> int:
    """Side of a box around a particle: one and a half diameters, an even number.

    >>> box_side(19.2), box_side(0)
    (58, 2)
    """
    return 2 * max(1, round(_BOX_DIAMETERS * radius_px))


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
            table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            table.writeheader()
            table.writerows(map(csv_row, rows))

    write_whole(path, write)
