"""All studies in one place: a folder of study directories, or of mirrors, or of a bucket."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.models.confirmed import Verdict, read_verdict
from cluster.storage.lease import LEASE
from cluster.storage.opening import is_address, open_files
from trainables.files.columns import aligned
from tune.directory.diary import read_diary
from tune.directory.layout import JOURNAL, STUDY
from tune.directory.leftovers import size_of
from tune.directory.ranking import best_trial
from tune.directory.reader import TrialRecord
from tune.directory.running import study_state
from tune.directory.trials import UNFINISHED
from tune.errors import StoreError, TuneError
from tune.verbs.opening import open_study


@dataclass(frozen=True)
class Listed:
    """A study in a list.

    Attributes:
        name: Name of its folder.
        size: Bytes that it takes up there.
        cells: What is shown of it, by column; empty where it cannot be read.
        problem: Why it cannot be read; "" where it can.
    """

    name: str
    size: int
    cells: dict[str, str]
    problem: str = ""


def list_studies(storage: Path | str) -> list[Listed]:
    """All studies in a place, by name.

    Args:
        storage: A folder with study directories or mirrors in it, or gs://BUCKET/FOLDER.

    Raises:
        StoreError: There is no such folder.
        StorageError: The bucket cannot be read.
    """
    return [_listed(name, place, size) for name, place, size in _found(str(storage))]


def list_lines(storage: str, listed: list[Listed]) -> list[str]:
    """The list as a table."""
    if not listed:
        return [f"no study in {storage}"]
    good = [one for one in listed if not one.problem]
    rows = [{"study": one.name, **one.cells, "size": f"{one.size / 1e6:.1f} MB"} for one in good]
    columns = [key for key in (rows[0] if rows else {}) if any(row[key] for row in rows)]
    table = [columns, *([row[key] for key in columns] for row in rows)]
    return [
        *(aligned(table) if rows else ()),
        *(f"{one.name}: {one.problem}" for one in listed if one.problem),
    ]


def _found(storage: str) -> Iterator[tuple[str, str, int]]:
    """Name, place and size of each study, by name."""
    if is_address(storage):
        yield from _in_bucket(storage.rstrip("/"))
        return
    folder = Path(storage)
    if not folder.is_dir():
        raise StoreError(f"{storage}: expected a folder with studies in it, found none")
    for place in sorted(folder.iterdir()):
        is_study = (place / STUDY).is_file() and (place / JOURNAL).is_file()
        if is_study or (place / LEASE).is_file():
            yield place.name, str(place), size_of(place)


def _in_bucket(storage: str) -> Iterator[tuple[str, str, int]]:
    files = open_files(storage).listed()
    sizes = Counter[str]()
    for name, stored in files.items():
        sizes[name.partition("/")[0]] += stored.size
    for name in sorted(sizes):
        if f"{name}/{LEASE}" in files:
            yield name, f"{storage}/{name}", sizes[name]


def _listed(name: str, place: str, size: int) -> Listed:
    try:
        study = open_study(place)
        trials = study.trials()
        best = best_trial(trials, study.study.objective.goal)
        diary, race = read_diary(study.path), read_verdict(study.path)
    except TuneError as error:
        return Listed(name, size, {}, str(error))
    ended = [one for one in trials if one.state not in UNFINISHED]
    cells = {
        "state": study_state(study, trials),
        "engine": str(study.resolved["engine"]),
        "data": str(study.resolved.get("data_name") or ""),
        "trials": f"{len(ended)} of {study.resolved['trials']}",
        "best": _best(best, race),
        "objective": study.study.objective.metric,
        "tags": ", ".join(diary.tags),
        "last note": _short(diary.notes[-1].text) if diary.notes else "",
    }
    return Listed(name, size, cells)


def _best(best: TrialRecord | None, race: Verdict | None) -> str:
    """The best value of a search, or the mean of what a race recommends, as one value is luck."""
    if race is None and best is not None:
        return f"{best.objective:.4f}{' !' if best.violation else ''}"
    if race is None:
        return ""
    sure = race.confirmed
    return "" if sure is None else f"{sure.mean:.4f}, mean of {sure.seeds}"


def _short(text: str, most: int = 40) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
