"""Report of a preparation: for the terminal, `report.md` for people, `report.json` for programs."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from trainables.datasets.prepared import SPLITS, UNLABELLED, PreparedDataset
from trainables.datasets.preparing.grouping import Grouping
from trainables.datasets.raw.entries import CLIPPED, LEFT_OUT, RawProblem
from trainables.files.cells import markdown_text as md
from trainables.files.words import counted

REPORT_JSON: Final = "report.json"

REPORT_MARKDOWN: Final = "report.md"

_GROUPS_SHOWN: Final = 8

_PROBLEMS_SHOWN: Final = 5

_BOXES: Final = "objects are boxes without masks: engines and metrics that need masks refuse them"

_PROBLEMS_IN_MARKDOWN: Final = 500


@dataclass(frozen=True)
class PrepareReport:
    """Result of a preparation, with everything a user should know of it.

    Attributes:
        data: The prepared data set.
        format: Title of the raw format.
        grouping: Groups of pictures that belong together, and the way they were found.
        splits: Origin of the parts, in words.
        problems: Everything that was left out or clipped, with file, place and reason.
        notes: Remarks that ask for nothing to be mended.
        warnings: Probable mistakes that could be read.
        seconds: Duration of the preparation.
    """

    data: PreparedDataset
    format: str
    grouping: Grouping
    splits: str
    problems: tuple[RawProblem, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float = 0.0

    def at(self, root: Path) -> "PrepareReport":
        """The same report of the same data set at its final place."""
        return replace(self, data=replace(self.data, root=Path(root).absolute()))


def describe(prepared: PreparedDataset | PrepareReport) -> list[str]:
    """A prepared data set in a few lines for the terminal."""
    if isinstance(prepared, PreparedDataset):
        return _describe_data(prepared)
    shown = [f"  {problem}" for problem in prepared.problems[:_PROBLEMS_SHOWN]]
    if len(prepared.problems) > _PROBLEMS_SHOWN:
        shown.append(f"  ... all {len(prepared.problems)} are listed in the report")
    notes = [f"note: {note}" for note in prepared.notes]
    warnings = [f"warning: {warning}" for warning in prepared.warnings]
    return [*_describe_data(prepared.data), *shown, *notes, *warnings]


def write_reports(report: PrepareReport, folder: Path) -> None:
    """Write `report.json` and `report.md` below `folder`."""
    text = json.dumps(_to_json(report), ensure_ascii=False, indent=1)
    (folder / REPORT_JSON).write_text(text + "\n", "utf-8")
    (folder / REPORT_MARKDOWN).write_text(_to_markdown(report), "utf-8")


def _describe_data(data: PreparedDataset) -> list[str]:
    manifest = data.manifest
    total = Counter[str]()
    for objects in data.objects().values():
        total.update(objects)
    lines = [
        f"{data.name}: {counted(sum(data.counts().values()), 'picture')}, "
        f"{counted(total.total(), 'object')}, "
        f"{_of_classes(total)}; read as {manifest.get('source_format', 'unknown')}",
        *_part_lines(data),
        *([f"  {_BOXES}"] if data.boxes_only else []),
        _groups_line(manifest.get("groups", {}), manifest.get("grouped_by", "")),
        _problems_line(manifest.get("problems", {})),
    ]
    if data.evaluation_only:
        lines.append(f"warning: for evaluation only: {data.evaluation_only}")
        if manifest.get("problems"):
            lines.append("         or mend what was left out: see the problems")
    sheets = ", ".join(f"contact_{part}.png" for part in _pictured(data))
    lines.append(f"look at {sheets} and {REPORT_MARKDOWN} in {data.root}")
    return lines


def _part_lines(data: PreparedDataset) -> list[str]:
    lines = []
    for split in SPLITS:
        objects = data.objects()[split]
        lines.append(
            f"  {split:5s} {_column(data.counts()[split], 5, 'picture')} "
            f"{_column(sum(objects.values()), 6, 'object')}  {_of_classes(objects)}"
        )
    images = [image for split in SPLITS for image in data.images(split)]
    if negatives := sum(not data.annotations(image) for image in images):
        lines.append(f"  {counted(negatives, 'picture')} of these without objects: negatives")
    if n := data.n_unlabelled:
        lines.append(f"  {counted(n, 'unlabelled micrograph')}, in no part: not taken as empty")
    return lines


def _column(n: int, digits: int, noun: str) -> str:
    """A number with its noun, both below those of other lines."""
    number, _, words = counted(n, noun).partition(" ")
    return f"{number:>{digits}s} {words:{len(noun) + 1}s}"


def _pictured(data: PreparedDataset) -> list[str]:
    """Parts with a contact sheet."""
    parts = [split for split, n in data.counts().items() if n]
    return [*parts, UNLABELLED] if data.n_unlabelled else [*parts]


def _of_classes(objects: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in objects.items())


def _groups_line(groups: dict[str, dict[str, int]], by: str) -> str:
    """The number of groups, and those of several pictures with their parts."""
    several = {name: parts for name, parts in groups.items() if sum(parts.values()) > 1}
    head = f"{counted(len(groups), 'group')} by {by}"
    if not several:
        return f"{head}: every picture is a group of its own"
    shown = [
        f"{name} ({sum(parts.values())} in {' and '.join(parts)})"
        for name, parts in list(several.items())[:_GROUPS_SHOWN]
    ]
    more = f" and {len(several) - len(shown)} more" if len(several) > len(shown) else ""
    alone = len(groups) - len(several)
    rest = f"; {alone} of one picture" if alone else ""
    return f"{head}: {', '.join(shown)}{more}{rest}"


def _problems_line(problems: dict[str, int]) -> str:
    if not problems:
        return "no problems"
    listed = ", ".join(f"{n} {kind}" for kind, n in problems.items())
    return f"{counted(sum(problems.values()), 'problem')}: {listed}"


def _to_json(report: PrepareReport) -> dict[str, Any]:
    return {
        "name": report.data.name,
        "format": report.format,
        "classes": list(report.data.classes),
        "fingerprint": report.data.fingerprint,
        "boxes_only": report.data.boxes_only,
        "evaluation_only": report.data.evaluation_only,
        "counts": report.data.manifest["counts"],
        UNLABELLED: report.data.n_unlabelled,
        "grouped_by": report.grouping.by,
        "groups": report.grouping.members(),
        "splits": report.splits,
        "problems": [asdict(problem) for problem in report.problems],
        "notes": list(report.notes),
        "warnings": list(report.warnings),
        "seconds": round(report.seconds, 3),
    }


def _to_markdown(report: PrepareReport) -> str:
    data = report.data
    lines = [
        f"# {md(data.name)}",
        "",
        f"Read as {report.format}. Parts: {md(report.splits)}. "
        f"Fingerprint `{data.fingerprint[:16]}`.",
        "",
    ]
    if data.boxes_only:
        lines += [f"The {_BOXES}.", ""]
    if data.evaluation_only:
        lines += [f"**For evaluation only:** {md(data.evaluation_only)}", ""]
    lines += [line for warning in report.warnings for line in (f"**Warning:** {md(warning)}", "")]
    lines += _counts_table(data)
    lines += ["", "## Contact sheets", ""]
    lines += [f"![{part}](contact_{part}.png)" for part in _pictured(data)]
    lines += [
        "",
        f"## Groups: {len(report.grouping.members())}, by {md(report.grouping.by)}",
        "",
    ]
    lines += _groups_table(report)
    lines += [
        "",
        "## Notes",
        "",
        *([f"- {md(note)}" for note in report.notes] or ["None."]),
    ]
    lines += ["", f"## Problems: {len(report.problems)}", "", *_problems_table(report.problems)]
    return "\n".join(lines) + "\n"


def _counts_table(data: PreparedDataset) -> list[str]:
    head = ["part", "pictures", "objects", *(md(name) for name in data.classes)]
    rows: list[list[Any]] = [
        [
            split,
            data.counts()[split],
            sum(data.objects()[split].values()),
            *data.objects()[split].values(),
        ]
        for split in SPLITS
    ]
    if data.n_unlabelled:
        rows.append([UNLABELLED, data.n_unlabelled, "unknown", *[""] * len(data.classes)])
    return _table(head, rows)


def _groups_table(report: PrepareReport) -> list[str]:
    groups = report.data.manifest["groups"]
    rows = [
        [
            md(group),
            ", ".join(groups[group]),
            len(names),
            md(", ".join(names)),
        ]
        for group, names in report.grouping.members().items()
    ]
    return _table(["group", "part", "pictures", "names"], rows)


def _problems_table(problems: tuple[RawProblem, ...]) -> list[str]:
    if not problems:
        return ["None."]
    left_out = sum(problem.action == LEFT_OUT for problem in problems)
    clipped = sum(problem.action == CLIPPED for problem in problems)
    rows = [
        [md(p.file), md(p.object), p.kind, md(p.reason), p.action]
        for p in problems[:_PROBLEMS_IN_MARKDOWN]
    ]
    more = len(problems) - len(rows)
    rest = ["", f"{counted(more, 'more stands', 'more stand')} in {REPORT_JSON}."] if more else []
    table = _table(["file", "object", "problem", "reason", "action"], rows)
    return [f"{left_out} left out, {clipped} clipped.", "", *table, *rest]


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
