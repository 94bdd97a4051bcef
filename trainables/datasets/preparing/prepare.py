"""Raw annotations in, one prepared data set out.

What is wrong with the raw data is found in two passes: the annotation files and the pictures'
headers first (a strict run refuses there, within seconds), the pixels when they are converted. The
prepared folder appears whole or not at all.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from trainables.datasets.drawing import draw_contact_sheets
from trainables.datasets.particle_size import ParticleSize, particle_size
from trainables.datasets.prepared import MANIFEST, SPLITS, DatasetError, PreparedDataset
from trainables.datasets.preparing import writing
from trainables.datasets.preparing.grouping import (
    Grouping,
    GroupMember,
    check_group_names,
    compile_group_expression,
    find_groups,
    series_note,
)
from trainables.datasets.preparing.report import PrepareReport, write_reports
from trainables.datasets.preparing.splits import (
    DEFAULT_FRACTIONS,
    Sample,
    SplitAssignment,
    assign,
    check_fractions,
    lacking_classes,
)
from trainables.datasets.preparing.writing import Converted
from trainables.datasets.raw.entries import Kind, RawImage, RawProblem
from trainables.datasets.raw.formats.registry import check_format
from trainables.datasets.raw.read import RawData, describe_problems, list_problems, read_raw
from trainables.files.whole import locked, new_folder
from trainables.files.words import counted

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and how much there is."""

_THREADS: Final = 4

_REFUSED_LINES: Final = 200


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Options of a preparation: each field is one of the command line.

    Attributes:
        format: Name of the annotation format; by default it is found out.
        classes: The class names allowed, in order; by default those found. For a format without
            classes, the one name of its objects ("object" by default).
        group: Regular expression that finds in a picture's name which group it belongs to.
        splits: Shares of train, val and test, unless the raw data says which picture is in which.
        seed: Seed of the drawn parts.
        strict: Whether to refuse raw data with any problem, instead of leaving out what is wrong.
        radius: Radius of the particles, for formats of coordinates: "9px", "80A", "8nm".
        pixel_size: Side of a pixel, "1.77A"; by default the one in an MRC file's header.
        keep_crowds: Whether regions that COCO marks as crowds are objects.
        unit: Length of one unit of the coordinates: "4px", "1A", "1nm" or "fraction" of the sides.
        flip_y: Whether y of the coordinates is counted from the last row.
        half_pixel: Whether whole coordinates number pixels, whose middle is meant.
        xy: What x and y are beside a width and a height: "corner" or "center" of the box.
        boxes: Whether the box of every object is asked for, also of one that has a mask.
    """

    format: str | None = None
    classes: Sequence[str] | None = None
    group: str | None = None
    splits: Sequence[float] = DEFAULT_FRACTIONS
    seed: int = 0
    strict: bool = False
    radius: str | None = None
    pixel_size: str | None = None
    keep_crowds: bool = False
    unit: str | None = None
    flip_y: bool | None = None
    half_pixel: bool = False
    xy: str | None = None
    boxes: bool = False


@dataclass(frozen=True)
class _Request:
    """Options that were checked, and what they mean."""

    options: PrepareOptions
    classes: tuple[str, ...] | None
    expression: re.Pattern[str] | None
    fractions: tuple[float, float, float]
    sizes: ParticleSize


def prepare(
    raw: Path | str,
    out: Path | str,
    options: PrepareOptions | None = None,
    *,
    name: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> PrepareReport:
    """Read raw annotations of any known format and write a prepared data set.

    Args:
        raw: Folder of pictures and annotations; it is only read.
        out: Folder to make.
        options: Ways to read and divide them; by default all is found out.
        name: Name of the data set; by default that of `raw`.
        force: Whether to replace a prepared data set at `out`.
        progress: Called with the stage, its number of steps done, and of all.

    Raises:
        DatasetError: Nothing was written (what was at `out` before is still there): an argument is
            wrong, nothing usable was found, or `strict` and there are problems.
    """
    started = time.monotonic()
    request = _checked(options or PrepareOptions())
    raw, out = Path(raw), Path(out)
    _check_places(raw, out, force=force)
    tell = progress or (lambda stage, done, total: None)
    tell("reading annotations", 0, 1)
    data = _read(raw, request)
    with locked(out), new_folder(out) as folder:
        _check_places(raw, out, force=force)  # another run may have finished meanwhile
        report = _fill(folder, name or raw.resolve().name, data, request, tell)
        tell("drawing contact sheets", 0, 1)
        draw_contact_sheets(report.data, folder)
        report = replace(report, seconds=time.monotonic() - started)
        write_reports(report, folder)
        writing.write_manifest(folder, report.data.manifest)
    tell("done", 1, 1)
    return report.at(out)


def _checked(options: PrepareOptions) -> _Request:
    """Refuse what cannot be asked for, before anything is read."""
    check_format(options.format)
    classes, fractions = _checked_classes(options.classes), check_fractions(options.splits)
    return _Request(
        options=replace(options, classes=classes, splits=fractions),
        classes=classes,
        expression=compile_group_expression(options.group),
        fractions=fractions,
        sizes=particle_size(
            options.radius,
            options.pixel_size,
            unit=options.unit,
            flip_y=options.flip_y,
            half_pixel=options.half_pixel,
            xy=options.xy,
        ),
    )


def _read(raw: Path, request: _Request) -> RawData:
    """The raw folder's pictures and annotations, no picture decoded."""
    data = read_raw(
        raw,
        format_name=request.options.format,
        classes=request.classes,
        sizes=request.sizes,
        keep_crowds=request.options.keep_crowds,
        boxes=request.options.boxes,
    )
    if request.expression is not None:
        check_group_names(request.expression, [image.stem for image in data.images])
    if request.options.strict:
        _refuse_problems(raw, data.problems)
    return data


def _fill(
    folder: Path, name: str, data: RawData, request: _Request, tell: Progress
) -> PrepareReport:
    """Write pictures and annotations below `folder`, and say what came of them."""
    converted, problems = _convert_all(data, folder, tell)
    problems = (*data.problems, *problems)
    if request.options.strict:
        _refuse_problems(data.folder, problems)
    members = [_member(item) for item in converted]
    grouping = find_groups(members, request.expression)
    samples = _samples(converted, grouping)
    assignment = assign(samples, request.fractions, request.options.seed)
    leaks = _leaks(members, grouping, assignment, request)
    converted, held_out = _without_held_out(converted, grouping, assignment, folder)
    content = writing.Content(
        name=name,
        classes=data.classes,
        format=data.format.name,
        images=converted,
        grouping=grouping.only({item.image.stem for item in converted}),
        assignment=assignment,
        settings=asdict(request.options),
        problems=Counter(str(problem.kind) for problem in problems),
    )
    manifest = writing.write_annotations(folder, content)
    prepared = PreparedDataset.from_manifest(folder, manifest)
    lacking = lacking_classes(prepared.classes, prepared.objects())
    return PrepareReport(
        data=prepared,
        format=data.format.title,
        grouping=content.grouping,
        splits=assignment.by + (f" by {data.given}" if data.given else ""),
        problems=problems,
        notes=(*data.notes, *assignment.notes, *leaks, *held_out, *_conversions(converted)),
        warnings=(
            *data.warnings,
            *assignment.warnings,
            *(() if assignment.evaluation_only else lacking),
        ),
    )


def _checked_classes(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    names = tuple(name.strip() for name in classes)
    twice = [name for name, n in Counter(names).items() if n > 1]
    if not names or not all(names) or twice:
        got = f"{', '.join(twice)} more than once" if twice else repr(list(classes))
        raise DatasetError(f"--classes: expected different, non-empty names, got {got}")
    return names


def _check_places(raw: Path, out: Path, *, force: bool) -> None:
    """Refuse places where writing would harm the raw data or something else of the user's."""
    source, target = raw.resolve(), out.resolve()
    if source == target or source in target.parents:
        raise DatasetError(
            f"{out}: expected a folder outside the raw data {raw}, which is only read; "
            f"write for example to {source.parent / (source.name + '-prepared')}"
        )
    if target in source.parents:
        raise DatasetError(f"{out}: holds the raw data {raw}; expected a folder of its own")
    if not out.exists():
        return
    if not out.is_dir():
        raise DatasetError(f"{out}: expected a folder to make, got a file that is there")
    if not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise DatasetError(
            f"{out}: there is something else here (no {MANIFEST}), which is never replaced; "
            "choose a new folder"
        )
    if not force:
        raise DatasetError(
            f"{out}: there is a prepared data set here; --force replaces it, or choose a new folder"
        )


def _refuse_problems(raw: Path, problems: tuple[RawProblem, ...]) -> None:
    if problems:
        raise DatasetError(
            f"{raw}: {describe_problems(problems)}, refused as --strict asks:\n"
            f"{list_problems(problems, _REFUSED_LINES)}"
        )


def _convert_all(
    data: RawData, folder: Path, tell: Progress
) -> tuple[tuple[Converted, ...], tuple[RawProblem, ...]]:
    """Write all pictures; those that cannot be decoded become problems."""
    writing.make_images_folder(folder)
    converted: list[Converted] = []
    problems: list[RawProblem] = []
    threads = min(_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(lambda image: writing.convert(image, folder), data.images)
        for done, (image, result) in enumerate(zip(data.images, results, strict=True), start=1):
            if isinstance(result, str):
                problems.append(RawProblem(str(image.file), "", Kind.UNREADABLE_IMAGE, result))
            else:
                converted.append(result)
            tell("converting pictures", done, len(data.images))
    if not any(item.image.objects for item in converted):
        raise DatasetError(
            f"{data.folder}: no picture with objects can be decoded:\n"
            f"{list_problems(tuple(problems))}"
        )
    return tuple(converted), tuple(problems)


def _member(item: Converted) -> GroupMember:
    image = item.image
    stack = image.file.stem if image.paged else ""
    return GroupMember(
        image.stem, image.width, image.height, stack, item.pixels, item.look, image.group
    )


def _samples(converted: Sequence[Converted], grouping: Grouping) -> list[Sample]:
    labelled = [item.image for item in converted if item.image.labelled]
    return [_sample(image, grouping.group[image.stem]) for image in labelled]


def _sample(image: RawImage, group: str) -> Sample:
    return Sample(image.stem, group, Counter(o.label for o in image.objects), image.split)


def _leaks(
    members: Sequence[GroupMember],
    grouping: Grouping,
    assignment: SplitAssignment,
    request: _Request,
) -> list[str]:
    """Remarks on pictures in different parts that may show the same."""
    part = assignment.split
    both = [(a, b) for a, b in grouping.alike if a in part and b in part]
    apart = [(a, b) for a, b in both if part[a] != part[b]]
    notes = []
    if apart:
        (one, other), n = apart[0], len({name for pair in apart for name in pair})
        notes.append(
            f"{n} pictures look alike and lie in different parts, as --group asks: {one} in "
            f"{part[one]} and {other} in {part[other]}, for one pair. Are they copies?"
        )
    if request.expression is None and assignment.by != "given":
        notes += filter(None, [series_note(members, part)])
    return notes


def _without_held_out(
    converted: tuple[Converted, ...], grouping: Grouping, assignment: SplitAssignment, folder: Path
) -> tuple[tuple[Converted, ...], list[str]]:
    """Leave out unlabelled pictures that are copies, or of a group, of val or test, and say so.

    Training may see every unlabelled picture, and must not see what it is judged on.
    """
    judged = {name for name, part in assignment.split.items() if part != "train"}
    closed = {grouping.group[name] for name in judged}
    alike = {name for pair in grouping.alike if judged & {*pair} for name in pair}
    kept: list[Converted] = []
    left_out: list[Converted] = []
    for item in converted:
        image = item.image
        held = image.split in SPLITS[1:] or grouping.group[image.stem] in closed
        held = held or image.stem in alike
        (left_out if held and not image.labelled else kept).append(item)
    for item in left_out:
        (folder / item.file_name).unlink()
    if not left_out:
        return converted, []
    told = counted(len(left_out), "unlabelled micrograph is", "unlabelled micrographs are")
    return tuple(kept), [
        f"{told} left out, as copies or others of the group are in val or test, the first is "
        f"{left_out[0].image.file}"
    ]


def _conversions(converted: Sequence[Converted]) -> list[str]:
    """Changes to pixels, each with its number of pictures."""
    counts = Counter(change for item in converted for change in item.changes)
    return [f"{counted(n, 'picture')}: {change}" for change, n in sorted(counts.items())]
