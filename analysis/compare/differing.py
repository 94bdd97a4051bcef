"""What two studies differ in: configuration, data, versions, machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from search_spaces.names import written
from tune.directory.diary import read_diary
from tune.directory.ranking import best_trial
from tune.directory.reader import StudyDir

_NOT_A_CHOICE: Final = frozenset(("study", "storage"))  # where a study lies, not what it is

_ABSENT: Final = "-"

_DATA: Final = ("data_name", "data", "fingerprint", "classes", "val_objects", "picture_px")

_MACHINE: Final = ("cpus_per_trial", "gpus")


@dataclass(frozen=True)
class Difference:
    """A value that two studies do not share.

    Attributes:
        part: configuration, data, versions, machine, or result.
        key: Its name, with dots between the levels.
        values: The value in each study; "-" where it has none.
    """

    part: str
    key: str
    values: tuple[str, str]


def differing(one: StudyDir, other: StudyDir) -> list[Difference]:
    """Every value that two studies do not share, part by part.

    Raises:
        StoreError: A study cannot be read.
    """
    parts = zip(_parts(one), _parts(other), strict=True)
    return [
        Difference(part, key, (a.get(key, _ABSENT), b.get(key, _ABSENT)))
        for (part, a), (_, b) in parts
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def difference_lines(found: Sequence[Difference], names: tuple[str, str]) -> list[str]:
    """What two studies differ in, as lines: a heading a part, a row a value.

    Args:
        found: The differences.
        names: The studies as they were named.
    """
    alike = all(d.part in ("machine", "result") for d in found)
    lines = ["configuration, data and versions are the same"] if alike else []
    width = max((len(d.key) for d in found), default=0)
    left = max([len(names[0]), *(len(d.values[0]) for d in found)])
    if found:
        lines.append(f"{'':<{width + 2}}  {names[0]:<{left}}  {names[1]}")
    for part in dict.fromkeys(d.part for d in found):
        lines.append(part)
        rows = [d for d in found if d.part == part]
        lines += [f"  {d.key:<{width}}  {d.values[0]:<{left}}  {d.values[1]}" for d in rows]
    return lines


def _parts(study: StudyDir) -> Iterator[tuple[str, dict[str, str]]]:
    resolved = study.resolved
    values = {k: v for k, v in study.study.model_dump(mode="json").items() if k != "data"}
    kept = {key: value for key, value in values.items() if key not in _NOT_A_CHOICE}
    if study.study.mirror is not None:  # where it is shipped, and what was asked for beside that
        kept["mirror"] = study.study.mirror.model_dump(mode="json", exclude_defaults=True)
    spaces = {"search_space": _domains(resolved), "fixed": resolved.get("fixed", {})}
    yield "configuration", dict(_flat({**kept, **spaces}))
    yield "data", dict(_flat({key: resolved.get(key) for key in _DATA}))
    versions = {**resolved.get("versions", {}), "git commit": resolved.get("git_commit")}
    yield "versions", dict(_flat(versions))
    yield "machine", dict(_flat({key: resolved.get(key) for key in _MACHINE}))
    yield "result", dict(_flat(_result(study)))


def _domains(resolved: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {"": found["domain"], **({"when": found["when"]} if found.get("when") else {})}
        for key, found in resolved.get("search_space", {}).items()
    }


def _result(study: StudyDir) -> dict[str, Any]:
    trials = study.trials()
    best = best_trial(trials, study.study.objective.goal)
    values: dict[str, Any] = {
        "trials": len(trials),
        "epochs": sum(trial.epochs for trial in trials),
    }
    if best is not None and best.objective is not None:
        metric = study.study.objective.metric
        values |= {f"best {metric}": f"{best.objective:.4f}", "at epoch": best.best_epoch}
        values |= {"of trial": best.number}
    diary = read_diary(study.path)
    return {**values, "tags": list(diary.tags), "notes": [note.text for note in diary.notes]}


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Values by key, those of mappings with dots between; what is not set is left out."""
    for key, value in values.items():
        name = f"{before}.{key}".strip(".") if before else key
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif isinstance(value, list | tuple):
            if value:
                yield name, ", ".join(_plain(one) for one in value)
        elif value is not None:
            yield name, _plain(value)


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, Mapping) else written(value)
