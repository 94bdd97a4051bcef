"""A raw folder read whole: its format, its pictures with their objects, and all its problems."""

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainables.datasets import geometry
from trainables.datasets.particle_size import ParticleSize
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.boxes import settle_boxes
from trainables.datasets.raw.doubts import tell_doubts
from trainables.datasets.raw.entries import Kind, RawImage, RawProblem, RawSource
from trainables.datasets.raw.folder import RawFolder
from trainables.datasets.raw.formats.registry import Format, choose_format
from trainables.datasets.raw.given_splits import given_splits, name_meant
from trainables.datasets.raw.reading import RawReading
from trainables.datasets.raw.spelling import composed
from trainables.files.words import counted

_LISTED = 20

_SAME_IOU = 0.9
"""From this intersection over union on, two outlines of one class are of one object. That of two
discs of 15 px radius that lie a pixel apart is 0.92."""

_LIKE = 0.8
"""Likeness from which on a class that was asked for is a class of the folder misspelt."""


@dataclass(frozen=True)
class RawData:
    """A raw folder read whole.

    Attributes:
        folder: The raw folder.
        format: Format of its annotations.
        images: Pictures with their objects, sorted by name; negatives and unlabelled ones included.
        classes: Class names in the order of their numbers.
        problems: Everything that was left out or clipped.
        notes: Remarks that ask for nothing to be mended.
        warnings: Probable mistakes that can be read.
        given: Name of the user's own file of parts, or "".
    """

    folder: Path
    format: Format
    images: tuple[RawImage, ...]
    classes: tuple[str, ...]
    problems: tuple[RawProblem, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    given: str = ""


def read_raw(
    root: Path | RawFolder,
    *,
    format_name: str | None,
    classes: tuple[str, ...] | None,
    sizes: ParticleSize | None = None,
    keep_crowds: bool = False,
    boxes: bool = False,
) -> RawData:
    """Read every annotation file below `root`; no picture is decoded, label pictures excepted.

    Args:
        root: The raw folder; a `RawFolder` also knows pictures elsewhere that annotations are of.
        format_name: The format to read, or None to find it out.
        classes: The only class names allowed, in order; None for whatever is found. With one name
            and a format without classes, the name of its objects.
        sizes: Radius and pixel size, for formats of coordinates.
        keep_crowds: Whether regions that COCO marks as crowds are objects.
        boxes: Whether the box of every object is asked for, though it may have a mask.

    Raises:
        DatasetError: No known format, no picture with an object, or no radius where one is needed.
    """
    folder = root if isinstance(root, RawFolder) else RawFolder(root)
    particles = sizes is not None and sizes.radius is not None
    chosen, notes = choose_format(folder, format_name, boxes=boxes, particles=particles)
    one_class = classes[0] if classes and len(classes) == 1 else chosen.object_class
    reading = RawReading(folder, classes, one_class, sizes or ParticleSize(), keep_crowds)
    reading.notes += notes
    if reading.sizes.radius and not chosen.sized:
        reading.notes.append(f"--radius has no effect: {chosen.name} has outlines, masks or boxes")
    chosen.read(reading)
    for file, reason in folder.broken.items():
        reading.problem(Kind.UNREADABLE_ANNOTATION, RawSource(file), reason)
    _refuse_unknown_classes(reading, chosen)
    if boxes or any(o.rle is None for image in reading.images.values() for o in image.objects):
        settle_boxes(reading, asked=boxes)
    for image in reading.images.values():
        _keep_objects_once(reading, image)
    tell_doubts(reading)
    images = _named_apart(reading, _without_false_negatives(reading, _annotated(reading)))
    given = _apply_given_splits(reading, images) if folder.splits_file else ""
    _refuse_empty(folder.root, chosen, reading, images)
    return RawData(
        folder=folder.root,
        format=chosen,
        images=tuple(i for i in images if not given or i.split or not i.labelled),
        classes=_class_list(reading, images, classes),
        problems=tuple(reading.problems),
        notes=tuple(reading.notes),
        warnings=tuple(reading.warnings),
        given=given,
    )


def describe_problems(problems: tuple[RawProblem, ...]) -> str:
    """Number of problems, in all and by kind: "4 problems (3 too few points, 1 zero size)"."""
    counts = Counter(str(problem.kind) for problem in problems)
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    return f"{counted(len(problems), 'problem')} ({kinds})"


def list_problems(problems: tuple[RawProblem, ...], limit: int = _LISTED) -> str:
    """Problems line by line, the first `limit` of them."""
    lines = [f"  {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)


def _keep_objects_once(reading: RawReading, image: RawImage) -> None:
    """Leave out outlines that follow one of their class with nearly the same pixels, and tell."""
    again: set[int] = set()
    outlines = {i: o for i, o in enumerate(image.objects) if o.disc is None and o.rle is not None}
    for label in dict.fromkeys(entry.label for entry in outlines.values()):
        same = [i for i, entry in outlines.items() if entry.label == label]
        twins = geometry.twins([o.rle for i in same if (o := outlines[i]).rle], _SAME_IOU)
        for index, (earlier, iou) in twins.items():
            entry, first = image.objects[same[index]], image.objects[same[earlier]]
            share = "the pixels" if iou == 1 else f"{int(100 * iou)} % of the pixels (IoU)"
            place = ", ".join(filter(None, (first.file, first.place)))
            reason = f"it has the class and {share} of {place}"
            source = RawSource(PurePosixPath(entry.file), entry.place)
            reading.problem(Kind.OBJECT_TWICE, source, reason)
            again.add(same[index])
    if again:
        image.objects = [entry for i, entry in enumerate(image.objects) if i not in again]


def _annotated(reading: RawReading) -> list[RawImage]:
    """Pictures that annotations speak of, and, where the format means it, the ones they omit."""
    images = sorted(reading.images.values(), key=lambda image: (image.file, image.page))
    known = {image.file for image in images} | reading.labels
    told = {problem.file for problem in reading.problems if problem.kind is Kind.UNREADABLE_IMAGE}
    unnamed = [
        file
        for file in reading.folder.images
        if file not in known and str(file) not in told and not _is_unused_folder(file, known)
    ]
    if unnamed:
        reading.notes.append(
            f"{counted(len(unnamed), 'picture is', 'pictures are')} named by no annotation file "
            f"and left out, the first is {unnamed[0]}; a picture without objects needs an "
            "annotation file that says so"
        )
    _note_pages(reading, images)
    return images


def _is_unused_folder(file: PurePosixPath, known: set[PurePosixPath]) -> bool:
    """Whether no picture of this folder is used: label pictures, thumbnails and the like."""
    return file.parent not in {picture.parent for picture in known}


def _note_pages(reading: RawReading, images: list[RawImage]) -> None:
    used = Counter(image.file for image in images if image.paged)
    for file, n in used.items():
        pages = reading.pages(file)
        if n < pages:
            reading.notes.append(
                f"{file}: {pages - n} of {pages} pages have no annotations and are left out; "
                f"those of the second page go under the name {file.stem}_p1{file.suffix}"
            )


def _without_false_negatives(reading: RawReading, images: list[RawImage]) -> list[RawImage]:
    """Drop pictures that have no object only because all of theirs were left out or lost."""
    kept = [image for image in images if not image.doubtful and (image.objects or not image.lost)]
    n_lost = sum(not image.doubtful for image in images) - len(kept)
    if n_lost:
        reading.notes.append(
            f"{counted(n_lost, 'picture')} of which every object was left out "
            f"{'is' if n_lost == 1 else 'are'} left out too: no negatives"
        )
    return kept


def _named_apart(reading: RawReading, images: list[RawImage]) -> list[RawImage]:
    """Give pictures of one name in different folders the names of their folders, too."""
    groups: dict[str, list[RawImage]] = {}
    for image in images:
        groups.setdefault(image.stem.casefold(), []).append(image)
    renamed = []
    for group in groups.values():
        if len({image.file.parent for image in group}) > 1:
            for image in group:
                image.alias = "_".join([*_telling_folders(image, group), image.own_name])
            renamed += [image for image in group if image.alias != image.own_name]
    if renamed:
        reading.notes.append(
            f"{counted(len(renamed), 'picture has', 'pictures have')} the name of one in another "
            f"folder; the folder becomes part of the name: {renamed[0].file} is {renamed[0].alias}"
        )
    return _without_clashes(reading, images)


def _telling_folders(image: RawImage, group: list[RawImage]) -> list[str]:
    """Folders of a picture that not all of its group lie in."""
    common = set.intersection(*({*other.file.parts[:-1]} for other in group))
    return [part for part in image.file.parts[:-1] if part not in common]


def _without_clashes(reading: RawReading, images: list[RawImage]) -> list[RawImage]:
    """Keep the first of pictures that would get one name in the prepared set."""
    first: dict[str, RawImage] = {}
    for image in images:
        other = first.setdefault(image.stem.casefold(), image)
        if other is not image:
            reason = (
                f"{other.file} has the same name but for the suffix or for case, and both would be "
                "one file; this one is left out. Rename one of them"
            )
            source = RawSource(image.file, n_objects=len(image.objects))
            reading.problem(Kind.NAME_CLASH, source, reason)
    return list(first.values())


def _apply_given_splits(reading: RawReading, images: list[RawImage]) -> str:
    """Put the pictures in the parts that the user's own file names; that file's name.

    Raises:
        DatasetError: It cannot be understood, or leaves out pictures and has none for training.
    """
    splits, name = given_splits(reading.folder)
    n_named = Counter(name for image in images for name in _names_in_splits(image))
    meanings = {key: name_meant(key, n_named) for key in splits}
    unused = [key for key, name in meanings.items() if name is None]
    splits = {name: splits[key] for key, name in meanings.items() if name is not None}
    for image in images:
        found = [name for name in _names_in_splits(image) if name in splits]
        meant = [key for key in found if n_named[key] == 1]
        image.split = splits[meant[0]] if meant else None
        if not meant and image.labelled:
            n = n_named[found[0]] if found else 0
            reason = f"{name} does not name it"
            if found:
                reason = f"{name} names {found[0]}, as {n} pictures are called; add their folders"
            source = RawSource(image.file, n_objects=len(image.objects))
            reading.problem(Kind.NOT_IN_SPLITS, source, reason)
    _refuse_without_train(name, [image for image in images if image.labelled])
    for key in sorted(unused):
        reason = f"{name} names {key}, which is no annotated picture"
        reading.problem(Kind.MISSING_IMAGE, RawSource(PurePosixPath(name), key), reason)
    return name


def _names_in_splits(image: RawImage) -> list[str]:
    """Names by which a file of parts may call a picture, with the most folders first."""
    parts = image.file.parts
    paths = ["/".join(parts[i:]) for i in range(len(parts))]
    own = [f"{image.stem}{image.file.suffix}", image.stem, image.own_name]
    own.append(f"{image.own_name}{image.file.suffix}")
    bare = [path.removesuffix(image.file.suffix) for path in paths]
    names = [*paths, *(bare if not image.paged else []), *own]
    return list(dict.fromkeys(map(composed, names)))


def _refuse_without_train(name: str, images: list[RawImage]) -> None:
    """Refuse a file of parts that leaves out pictures, and puts none of the others in train.

    Raises:
        DatasetError: It does.
    """
    left_out = [image for image in images if image.split is None]
    if not left_out or any(image.split == "train" for image in images):
        return
    parts = sorted({image.split for image in images if image.split})
    got = f"pictures of {' and '.join(parts)} only" if parts else "no annotated picture"
    raise DatasetError(
        f"{name}: expected a part for every annotated picture, got {got}, and {len(left_out)} of "
        f"{counted(len(images), 'picture')} are not named, the first is {left_out[0].file}: none "
        "would be for training. Name them too, as train, val or test; without this file parts "
        "are drawn"
    )


def _refuse_unknown_classes(reading: RawReading, chosen: Format) -> None:
    """Refuse `--classes` where no object has any of them, or one is misspelt.

    A class without objects is allowed: data to evaluate a model on have its classes.
    """
    used = {entry.label for image in reading.images.values() for entry in image.objects}
    missing = [name for name in reading.classes or () if name not in used]
    meant = {name: found for name in missing if (found := _misspelt(name, reading.unasked))}
    if not reading.unasked or not missing or (used and not meant):
        return
    there = ", ".join(f"{name} ({counted(n, 'object')})" for name, n in reading.unasked.items())
    hint = f"; did you mean {', '.join(meant.values())}?" if meant else ""
    if chosen.object_class in reading.unasked:
        hint += f"; {chosen.name} has no classes, and a single name is given to all objects"
    raise DatasetError(
        f"--classes: expected names of classes as they are in {reading.folder.root}, which also "
        f"has {there}; got {', '.join(meant or missing)}{hint}"
        if used
        else f"--classes: expected names of classes in {reading.folder.root}, which has {there}; "
        f"got {', '.join(missing)}{hint}"
    )


def _misspelt(name: str, found: Counter[str]) -> str:
    """The class found in a folder that `name` may be a misspelling of, or "".

    Names that differ in their numbers alone, as class_1 and class_2, are two classes.
    """
    folded = {other.casefold(): other for other in found}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=_LIKE)
    if not near or (
        near[0] != name.casefold()
        and re.sub(r"\d+", "", near[0]) == re.sub(r"\d+", "", name.casefold())
    ):
        return ""
    return folded[near[0]]


def _refuse_empty(root: Path, chosen: Format, reading: RawReading, images: list[RawImage]) -> None:
    if any(image.objects for image in images):
        return
    problems = tuple(reading.problems)
    why = (
        f"{describe_problems(problems)}:\n{list_problems(problems)}"
        if problems
        else "its annotation files hold none"
    )
    if reading.ignored:
        names = ", ".join(f"{name} ({len(found)})" for name, found in reading.ignored.items())
        why = f"what there is is called {names}, which are no classes unless --classes says so"
    raise DatasetError(
        f"{root}: read as {chosen.name}, expected at least one object in "
        f"{counted(len(images), 'picture')}, got none: {why}"
    )


def _class_list(
    reading: RawReading, images: list[RawImage], classes: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Class names by number: as asked for, else as the format orders them, else sorted."""
    used = {item.label for image in images for item in image.objects}
    if classes is not None:
        return classes
    unused = [name for name in dict.fromkeys(reading.order) if name not in used]
    if unused:
        reading.notes.append(f"classes without objects are left out: {', '.join(unused)}")
    ordered = [name for name in dict.fromkeys(reading.order) if name in used]
    names = (*ordered, *sorted(used - set(ordered)))
    alike = [group for group in _by_folded_name(names).values() if len(group) > 1]
    for group in alike:
        reading.notes.append(f"classes that differ in case or spaces only: {', '.join(group)}")
    return names


def _by_folded_name(names: tuple[str, ...]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        folded = "".join(c for c in name.casefold() if c.isalnum())
        groups.setdefault(folded, []).append(name)
    return groups
