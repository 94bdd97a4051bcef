"""YOLO text: one file a picture, one line an object.

A line is the class number and at least three pairs x y as fractions of the picture's width and
height, or, in detection labels, the centre, the width and the height of a box, as such fractions.
Label files lie in a folder `labels` beside `images` (with `train`, `val` and `test` inside, or
above), or beside the pictures. Class names stand in a YAML file (`names`), or one a line in
`classes.txt` or `obj.names`. A picture without a label file, beside others that have one, is a
negative: so the format wants it. What `yolo predict` saved is read too, its confidences left out;
pose labels (`kpt_shape` in the YAML file) are boxes and points, and are refused, as oriented boxes
are.

The parts come from the YAML file's `train`, `val` and `test`, Darknet's `obj.data`, or lists named
`train.txt`, `val.txt` and so on (see `yolo_splits`), else from the folders' names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from trainables.datasets import geometry
from trainables.datasets.raw.boxes import add_box, why_no_fractions
from trainables.datasets.raw.entries import Kind, Outline, RawImage, RawSource
from trainables.datasets.raw.folder import LeavesFolderError, RawFolder, split_of, split_word
from trainables.datasets.raw.formats.yolo_rows import BOX_NUMBERS, LabelTexts, label_texts
from trainables.datasets.raw.formats.yolo_splits import (
    has_splits,
    splits_of_document,
    splits_of_lists,
)
from trainables.datasets.raw.reading import RawReading
from trainables.datasets.records import Split
from trainables.files.text import read_text
from trainables.files.words import counted

NAME = "yolo"

TITLE = "YOLO segmentation text"

BOXES_NAME = "yolo-boxes"

BOXES_TITLE = "YOLO detection text, boxes"

SUFFIXES: Final = (".txt",)

_NO_LABELS: Final = frozenset({"classes.txt", "readme.txt", "license.txt", "requirements.txt"})


def annotation_files(folder: RawFolder) -> list[PurePosixPath]:
    """Text files that are labels, if one holds an outline or a box and they are no pose labels.

    All in `labels` folders, all that are named like a picture, and those that look like labels.
    """
    return _labels(folder, _texts(folder))


def _labels(folder: RawFolder, texts: LabelTexts) -> list[PurePosixPath]:
    """Text files that are labels, by the kinds of all."""
    if not (texts.files("outline") or _has_boxes(folder, texts)):
        return []
    return [
        f
        for f, kind in texts.kinds.items()
        if "labels" in _lower(f) or kind in ("outline", "box") or _picture_of(folder, f)
    ]


def _has_boxes(folder: RawFolder, texts: LabelTexts) -> bool:
    """Whether a file of boxes is named like a picture: five numbers in a line may be anything."""
    files = [] if why_no_fractions(texts.boxes) else texts.files("box")
    return any(_picture_of(folder, file) for file in files)


def count_labels(folder: RawFolder) -> int:
    """Pictures that label files speak of, whatever they hold."""
    return len(annotation_files(folder))


def count_images(folder: RawFolder) -> int:
    """Pictures that label files speak of, where one holds an outline."""
    texts = _texts(folder)
    return len(_labels(folder, texts)) if texts.files("outline") else 0


def count_boxes(folder: RawFolder) -> int:
    """Pictures that label files speak of, where they hold boxes alone."""
    texts = _texts(folder)
    return 0 if texts.files("outline") else len(_labels(folder, texts))


def why_no_outlines(folder: RawFolder) -> str:
    """The reason why YOLO's label files are there but cannot be used, or ""."""
    texts = _texts(folder)
    poses, oriented = texts.files("pose"), texts.files("oriented")
    if oriented:
        return (
            f"{len(oriented)} YOLO files hold oriented boxes (four corners a line, turned): "
            "segtune has outlines, and boxes along the pictures' sides; export one of these"
        )
    if poses:
        return (
            f"{len(poses)} YOLO files are pose labels ({texts.pose}): boxes and points, "
            "not outlines; instance segmentation needs outlines"
        )
    if boxes := texts.files("box"):
        if reason := why_no_fractions(texts.boxes):
            return f"{counted(len(boxes), 'YOLO file')}, the first is {boxes[0]}: {reason}"
        return (
            f"{counted(len(boxes), 'text file')} may hold YOLO boxes, but none is named like a "
            f"picture; the first is {boxes[0]}"
        )
    return ""


def read(reading: RawReading) -> None:
    """Read every label file, and the pictures beside them as negatives."""
    folder = reading.folder
    names, splits = _read_yaml(reading)
    names = names or _read_name_list(reading)
    _use_names(reading, names)
    n_behind = _texts(folder).n_behind
    if n_behind:
        behind = "a confidence and the number of a track" if n_behind > 1 else "a confidence"
        reading.warnings.append(
            f"every line of the label files ends in {behind}, left out here: they are a "
            "model's predictions, not what somebody saw"
        )
    unlinked = 0
    for file in annotation_files(folder):
        picture = _picture_of(folder, file)
        if picture is None:
            reason = f"no picture {file.stem}.* beside it or in the images folder"
            if other := _in_other_case(folder, file):
                reason += f"; the name of {other} differs in case"
            n_objects = _count_lines(folder, file)
            unlinked += n_objects
            source = RawSource(file, n_objects=n_objects)
            reading.problem(Kind.LABEL_WITHOUT_IMAGE, source, reason)
            continue
        image = reading.image(str(picture), RawSource(PurePosixPath(file.name)))
        if image and reading.claim(image, RawSource(file)):
            lines = _Lines(names, n_behind)
            _read_lines(reading, image, RawSource(file, image=image), lines)
    _add_negatives(reading, unlinked)
    for image in reading.images.values():
        image.split = splits.get(image.file) or split_of(image.file)


@dataclass(frozen=True)
class _Lines:
    """How the lines of all label files are written.

    Attributes:
        names: Class names by number.
        n_behind: How many numbers stand behind each outline.
    """

    names: Mapping[int, str]
    n_behind: int


def _texts(folder: RawFolder) -> LabelTexts:
    files = [f for f in folder.with_suffix(*SUFFIXES) if f.name.lower() not in _NO_LABELS]
    return label_texts(folder, files)


def _lower(file: PurePosixPath) -> tuple[str, ...]:
    return tuple(part.lower() for part in file.parts[:-1])


def _count_lines(folder: RawFolder, file: PurePosixPath) -> int:
    """Number of lines of a label file that say something; 0 if it cannot be read."""
    try:
        lines = folder.path(file).read_bytes().splitlines()
    except (OSError, LeavesFolderError):
        return 0
    return sum(bool(line.strip()) for line in lines)


def _read_yaml(reading: RawReading) -> tuple[dict[int, str], dict[PurePosixPath, Split]]:
    """Class names of the first file that has names, and parts of the first that has parts."""
    folder = reading.folder
    files = [*folder.with_suffix(".yaml", ".yml"), *folder.with_suffix(".data")]
    documents = {
        file: _document(folder, file) for file in sorted(files, key=lambda f: len(f.parts))
    }
    names: dict[int, str] = {}
    for file, document in documents.items():
        if not names and isinstance(document, dict):
            with reading.at(RawSource(file, "names")):
                names = _names(document.get("names"))
    parted = [file for file, document in documents.items() if has_splits(document)]
    if parted:
        return names, splits_of_document(reading, parted[0], documents[parted[0]])
    return names, splits_of_lists(reading, _lists_of_parts(folder))


def _document(folder: RawFolder, file: PurePosixPath) -> Any:
    """What a YAML file says, or Darknet's `obj.data`, which has a line `key = value` each."""
    if file.suffix.lower() != ".data":
        return folder.document(file)
    try:
        lines = read_text(folder.path(file)).splitlines()
    except (OSError, ValueError, LeavesFolderError):
        return None
    pairs = (line.partition("=") for line in lines)
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}


def _names(names: Any) -> dict[int, str]:
    if not isinstance(names, list | dict):
        return {}
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {int(number): str(name) for number, name in pairs}


def _lists_of_parts(folder: RawFolder) -> dict[PurePosixPath, Split]:
    """Lists of pictures named train.txt, val.txt and so on, where at least two are there."""
    texts = [f for f in folder.with_suffix(".txt") if split_word(f.stem) and len(f.parts) < 3]
    others = label_texts(folder, texts).files("other")
    lists = [file for file in others if _picture_of(folder, file) is None]
    found = {file: split for file in lists if (split := split_word(file.stem))}
    return found if len(set(found.values())) > 1 else {}


def _read_name_list(reading: RawReading) -> dict[int, str]:
    """Class names of a `classes.txt` or `obj.names`."""
    for file in reading.folder.files:
        if file.name.lower() in ("classes.txt", "obj.names"):
            with reading.at(RawSource(file)):
                lines = read_text(reading.folder.path(file)).splitlines()
                return dict(enumerate(line.strip() for line in lines if line.strip()))
    return {}


def _use_names(reading: RawReading, names: dict[int, str]) -> None:
    if not names and reading.classes:
        names.update(enumerate(reading.classes))
    if not names:
        reading.notes.append(
            "no YAML file or classes.txt names the classes; they are called class_0 and so on"
        )
    reading.order += [name for _, name in sorted(names.items())]


def _picture_of(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    """The picture a label file belongs to; pages of a TIFF are named `stack_p2`."""
    stem, _, page = file.stem.rpartition("_p")
    near = _images_folder(file)
    found = folder.matching(file.stem, near)
    if found is None and page.isdigit():
        stack = folder.matching(stem, near)
        return stack.with_name(f"{file.stem}{stack.suffix}") if stack else None
    return found


def _in_other_case(folder: RawFolder, file: PurePosixPath) -> PurePosixPath | None:
    """A picture whose name is the file's but for case."""
    stem = file.stem.casefold()
    return next((p for p in folder.images if p.stem.casefold() == stem), None)


def _images_folder(file: PurePosixPath) -> PurePosixPath:
    """Folder of the pictures: the last `labels` of the path becomes `images`."""
    parts = list(file.parts[:-1])
    places = [i for i, part in enumerate(parts) if part.lower() == "labels"]
    if places:
        parts[places[-1]] = "images"
    return PurePosixPath(*parts)


def _read_lines(reading: RawReading, image: RawImage, source: RawSource, lines: _Lines) -> None:
    try:
        text = read_text(reading.folder.path(source.file))
    except (OSError, ValueError, LeavesFolderError) as error:
        reading.problem(Kind.UNREADABLE_ANNOTATION, source, str(error))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        here = source.at(f"line {number}")
        if words := line.split():
            with reading.at(here):
                _read_line(reading, image, here, words[: len(words) - lines.n_behind], lines.names)


def _read_line(
    reading: RawReading,
    image: RawImage,
    source: RawSource,
    words: list[str],
    names: Mapping[int, str],
) -> None:
    category = int(float(words[0])) if float(words[0]).is_integer() else int(words[0])
    if names and category not in names:
        known = ", ".join(f"{key} ({name})" for key, name in sorted(names.items())[:10])
        reason = f"no class has the number {category}; known: {known}"
        reading.problem(Kind.UNKNOWN_LABEL, source, reason)
        return
    name, numbers = names.get(category, f"class_{category}"), [float(word) for word in words[1:]]
    if len(words) == BOX_NUMBERS:
        add_box(reading, image, name, _corners(numbers, image), source)
        return
    outline = Outline(parts=[geometry.polygon(numbers) * [image.width, image.height]])
    reading.add(image, name, outline, source)


def _corners(numbers: list[float], image: RawImage) -> list[float]:
    """Corners of a box in pixels, from its centre and size as fractions of the sides."""
    x, y, width, height = numbers
    if min(width, height) < 0:
        raise ValueError(f"expected a width and a height of at least 0, got {width:g} {height:g}")
    return [
        (x - width / 2) * image.width,
        (y - height / 2) * image.height,
        (x + width / 2) * image.width,
        (y + height / 2) * image.height,
    ]


def _add_negatives(reading: RawReading, unlinked: int) -> None:
    """Take the pictures beside labelled ones that have no label file.

    Not where label files of other pictures are there: they may be theirs, under another name.
    """
    folders = {image.file.parent for image in reading.images.values()}
    taken = {image.file for image in reading.images.values()}
    empty = [
        picture
        for picture in reading.folder.images
        if (picture.parent in folders or "images" in _lower(picture)) and picture not in taken
    ]
    if empty and unlinked:
        bare = counted(
            len(empty), "picture without a label file is", "pictures without a label file are"
        )
        reading.warnings.append(
            f"{bare} left out, the first is {empty[0]}: label files of pictures that are not here "
            f"hold {counted(unlinked, 'object')}, which may be theirs"
        )
    elif negatives := sum(reading.open(picture) is not None for picture in empty):
        reading.notes.append(
            f"{counted(negatives, 'picture')} without a label file: taken as negatives"
        )
