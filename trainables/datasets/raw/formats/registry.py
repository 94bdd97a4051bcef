"""The formats segtune reads, and which one a folder holds.

To add a format: one module here that finds its files by content and fills a `RawReading`, and one
line in `FORMATS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from search_spaces.names import nearest_name
from trainables.datasets.images import SUFFIXES
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.folder import RawFolder
from trainables.datasets.raw.formats import (
    coco,
    cvat,
    imagej,
    label_studio,
    labelme,
    particles,
    qupath,
    superannotate,
    via,
    yolo_seg,
)
from trainables.datasets.raw.formats.boxes import jsonl, oriented, tables, voc
from trainables.datasets.raw.formats.masks import (
    cellpose,
    label_masks,
    object_masks,
    region_masks,
)
from trainables.datasets.raw.formats.unknown import what_it_looks_like, why_no_coordinates
from trainables.datasets.raw.reading import RawReading
from trainables.files.words import counted


@dataclass(frozen=True)
class Format:
    """A kind of annotations.

    Attributes:
        name: Its name for `--format`.
        title: Its name in reports.
        count_images: Number of pictures that its files in a folder speak of; 0 if none is there.
        read: Fills a `RawReading` from all its files.
        count_here: Number of those that are here, for files that may name others.
        count_asked: As `count_images`, when it is named by `--format`, if that asks for less.
        asked_only: Whether it is used only when named, never by content.
        object_class: Name of its objects where it has no classes.
        sized: Whether it needs `--radius`, as it says where objects are and not how large.
        suffixes: Suffixes of its files; a folder with less than `least` of them is not asked.
        least: Number of such files that there must be.
        keys: Keys at the top of its JSON files; a folder that lacks one of them is not asked.
        lists: Whether its JSON files are lists; a folder without such a file is not asked.
    """

    name: str
    title: str
    count_images: Callable[[RawFolder], int]
    read: Callable[[RawReading], None]
    count_here: Callable[[RawFolder], int] | None = None
    count_asked: Callable[[RawFolder], int] | None = None
    asked_only: bool = False
    object_class: str = "object"
    sized: bool = False
    suffixes: tuple[str, ...] = (".json",)
    least: int = 1
    keys: frozenset[str] = frozenset()
    lists: bool = False

    def count(self, folder: RawFolder, *, asked: bool = False) -> int:
        """Number of pictures that its files in a folder speak of; 0 if none is there.

        Args:
            folder: The raw folder.
            asked: Whether it is named by `--format`.
        """
        if len(folder.with_suffix(*self.suffixes)) < self.least:
            return 0
        if self.keys and not self.keys <= folder.json_keys:
            return 0
        if self.lists and not folder.has_json_lists:
            return 0
        count = self.count_asked if asked and self.count_asked else self.count_images
        return count(folder)


def _particles(name: str, title: str, suffixes: tuple[str, ...]) -> Format:
    return Format(
        name,
        title,
        partial(particles.count_images, suffixes=suffixes),
        partial(particles.read, suffixes=suffixes),
        partial(particles.count_here, suffixes=suffixes),
        object_class="particle",
        sized=True,
        suffixes=suffixes,
    )


_PICTURES: Final = tuple(sorted(SUFFIXES))

FORMATS: Final = (  # the one that can say more of an object first
    Format(
        coco.NAME,
        coco.TITLE,
        coco.count_images,
        coco.read,
        coco.count_here,
        keys=coco.KEYS,
    ),
    Format(
        labelme.NAME,
        labelme.TITLE,
        labelme.count_images,
        labelme.read,
        labelme.count_here,
        keys=labelme.KEYS,
    ),
    Format(
        superannotate.NAME,
        superannotate.TITLE,
        superannotate.count_images,
        superannotate.read,
        superannotate.count_here,
        keys=superannotate.KEYS,
    ),
    Format(via.NAME, via.TITLE, via.count_images, via.read, via.count_here),
    Format(
        cvat.NAME, cvat.TITLE, cvat.count_images, cvat.read, cvat.count_here, suffixes=cvat.SUFFIXES
    ),
    Format(
        label_studio.NAME,
        label_studio.TITLE,
        label_studio.count_images,
        label_studio.read,
        label_studio.count_here,
        lists=True,
    ),
    Format(
        qupath.NAME,
        qupath.TITLE,
        qupath.count_images,
        qupath.read,
        qupath.count_here,
        suffixes=qupath.SUFFIXES,
        keys=qupath.KEYS,
    ),
    Format(imagej.NAME, imagej.TITLE, imagej.count_images, imagej.read, suffixes=imagej.SUFFIXES),
    Format(
        yolo_seg.NAME,
        yolo_seg.TITLE,
        yolo_seg.count_images,
        yolo_seg.read,
        count_asked=yolo_seg.count_labels,
        suffixes=yolo_seg.SUFFIXES,
    ),
    Format(
        cellpose.NAME,
        cellpose.TITLE,
        cellpose.count_images,
        cellpose.read,
        suffixes=cellpose.SUFFIXES,
    ),
    Format(
        object_masks.NAME,
        object_masks.TITLE,
        object_masks.count_images,
        object_masks.read,
        suffixes=_PICTURES,
        least=3,
    ),
    Format(
        label_masks.NAME,
        label_masks.TITLE,
        label_masks.count_images,
        label_masks.read,
        count_asked=label_masks.count_paired,
        suffixes=_PICTURES,
        least=2,
    ),
    Format(
        label_masks.BINARY_NAME,
        region_masks.BINARY_TITLE,
        label_masks.count_others,
        region_masks.read_binary,
        count_asked=label_masks.count_paired,
        asked_only=True,
        suffixes=_PICTURES,
        least=2,
    ),
    Format(
        label_masks.CLASS_NAME,
        region_masks.CLASS_TITLE,
        label_masks.count_others,
        region_masks.read_classes,
        count_asked=label_masks.count_paired,
        asked_only=True,
        suffixes=_PICTURES,
        least=2,
    ),
    Format(  # boxes say less of an object than masks do
        yolo_seg.BOXES_NAME,
        yolo_seg.BOXES_TITLE,
        yolo_seg.count_boxes,
        yolo_seg.read,
        suffixes=yolo_seg.SUFFIXES,
    ),
    Format(voc.NAME, voc.TITLE, voc.count_images, voc.read, voc.count_here, suffixes=voc.SUFFIXES),
    Format(
        jsonl.NAME,
        jsonl.TITLE,
        jsonl.count_images,
        jsonl.read,
        jsonl.count_here,
        suffixes=jsonl.SUFFIXES,
    ),
    Format(
        tables.NAME,
        tables.TITLE,
        tables.count_labelled,
        tables.read,
        tables.count_here,
        count_asked=tables.count_images,
        suffixes=tables.SUFFIXES,
    ),
    _particles("coordinates", "particle coordinates, coordinates.json", particles.JSON),
    _particles("star", "particle coordinates, RELION STAR", particles.STAR),
    _particles("box", "particle coordinates, EMAN box", particles.BOX),
    _particles("csv", "particle coordinates, a table", particles.CSV),
    _particles("cryosparc", "particle coordinates, cryoSPARC", particles.CS),
)

_NO_OUTLINES: Final = (
    yolo_seg.why_no_outlines,
    cvat.why_no_outlines,
    label_studio.why_no_outlines,
    oriented.why_no_boxes,
)
"""Say why files of a kind that is known cannot be used."""


def check_format(name: str | None) -> None:
    """Refuse a format nobody knows, naming the nearest.

    Raises:
        DatasetError: `name` is none of `FORMATS`.
    """
    names = [entry.name for entry in FORMATS]
    if name is None or name in names:
        return
    hint = nearest_name(name.lower(), names)
    raise DatasetError(f"--format: expected one of {', '.join(names)}, got {name!r}{hint}")


def choose_format(
    folder: RawFolder, asked: str | None, *, boxes: bool = False, particles: bool = False
) -> tuple[Format, list[str]]:
    """The format of a folder, and what the user should know about the choice.

    Of several, the one that speaks of the most pictures that are here is taken, of equals the one
    that speaks of the fewest others, then the one that can say more of an object.

    Args:
        folder: The raw folder.
        asked: Name of the format, or None to find it out.
        boxes: Whether boxes are asked for: a table is then no list of particles.
        particles: Whether the particles' radius is given: a table is then no list of boxes.

    Raises:
        DatasetError: None is found, or not the one asked for.
    """
    check_format(asked)
    if asked is not None:
        chosen = next(entry for entry in FORMATS if entry.name == asked)
        if chosen.count(folder, asked=True):
            return chosen, []
        raise DatasetError(
            f"{folder.root}: no annotations of the format {asked} ({chosen.title}) here; "
            f"{_what_is_here(folder, asked)}"
        )
    asked_for = [entry for entry in FORMATS if not entry.asked_only]
    if boxes:
        asked_for = [entry for entry in asked_for if not entry.sized]
    elif particles:
        asked_for = [entry for entry in asked_for if entry.name != tables.NAME]
    found = {
        entry.name: entry.count(folder, asked=boxes and entry.name == tables.NAME)
        for entry in asked_for
    }
    if not any(found.values()):
        what = "--boxes: no annotations with boxes, outlines or masks" if boxes else ""
        raise DatasetError(
            f"{folder.root}: {what or 'no annotations of a known format'}; {_what_is_here(folder)}"
        )
    there = [entry for entry in FORMATS if found.get(entry.name)]
    if len(there) == 1:
        return there[0], []
    here = {e.name: e.count_here(folder) if e.count_here else found[e.name] for e in there}
    chosen = max(there, key=lambda e: (here[e.name], here[e.name] - found[e.name]))
    return chosen, [_note(chosen, found, here)]


def _note(chosen: Format, found: dict[str, int], here: dict[str, int]) -> str:
    told = {name: _count_told(found[name], n) for name, n in here.items()}
    others = ", ".join(f"{name} ({n})" for name, n in told.items() if name != chosen.name)
    return (
        f"several formats here: {chosen.name} ({told[chosen.name]}) is read, as it covers the most "
        f"or can say more; not read: {others}. --format chooses another"
    )


def _count_told(found: int, here: int) -> str:
    if here == found:
        return counted(found, "picture")
    return (
        f"{counted(found, 'picture')}, of which {here or 'none'} {'is' if here < 2 else 'are'} here"
    )


def _what_is_here(folder: RawFolder, asked: str = "") -> str:
    """A message: what a folder holds instead, and what to do about it."""
    if not folder.files and not folder.broken:
        return "the folder is empty"
    if not asked and (reason := label_masks.why_no_instances(folder)):
        return reason
    found = {entry.name: entry.count(folder) for entry in FORMATS}
    there = [name for name, n in found.items() if n]
    if there:
        listed = ", ".join(f"{name} ({counted(found[name], 'picture')})" for name in there)
        return f"found {listed}; --format {there[0]} reads it"
    if folder.broken:
        return _first_broken(folder)
    if reason := next(filter(None, (why(folder) for why in _NO_OUTLINES)), ""):
        return reason
    if table := why_no_coordinates(folder, asked):
        return table
    return what_it_looks_like(folder, [entry.name for entry in FORMATS])


def _first_broken(folder: RawFolder) -> str:
    """A message about the first file that cannot be read."""
    file, reason = next(iter(folder.broken.items()))
    n = len(folder.broken)
    head = "1 file cannot be read:" if n == 1 else f"{n} files cannot be read, the first is"
    return f"{head} {file}: {reason}"
