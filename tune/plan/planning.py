"""From a study file to a plan, in one pass that reads each thing once.

The file's values are checked one by one, then together and against engine, data set, storage,
machine and best-config store. All that is wrong comes out at once; what is right is a `StudyPlan`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from cluster.errors import ClusterError
from cluster.machines.machine import Machine, this_machine
from cluster.machines.sharing import most_at_once
from trainables.contract import EngineInfo
from trainables.datasets.prepared import DatasetError, PreparedDataset, check_trainable
from trainables.files.places import why_not_writable
from tune.best.store import BestStore, store_place
from tune.best.warm_start import best_points
from tune.datasets.opening import open_data
from tune.errors import StoreError
from tune.plan.plan import StudyPlan
from tune.study.allowed import validation_problems
from tune.study.checks import (
    Checked,
    Parts,
    check_engine,
    check_metrics,
    check_scheduler,
    check_space,
)
from tune.study.file import Written, read_study_file
from tune.study.fitting import box_problems, circumstances
from tune.study.problems import Problem, study_error
from tune.study.study import Study


def plan_file(
    path: Path, overrides: Sequence[str] = (), *, machine: Machine | None = None
) -> StudyPlan:
    """Plan the study of a file: check all of it and decide what it leaves open.

    Reads, but changes nothing.

    Args:
        path: The study file. Relative paths in it start at its own folder.
        overrides: `key=value` as after `--set`; relative paths in them start at the working
            directory.
        machine: Processors to train on; default: this machine, or the cluster that RAY_ADDRESS
            names.

    Raises:
        StudyError: With a line for everything that is wrong.
    """
    return _planned(read_draft(path, overrides), machine)


def plan_study(study: Study, *, machine: Machine | None = None) -> StudyPlan:
    """Plan a study that is a value already, as `plan_file` does with a file's.

    Raises:
        StudyError: With a line for everything that is wrong.
    """
    return _planned(Draft(f"study {study.study}", study), machine)


@dataclass(frozen=True)
class Draft:
    """A study whose values have been checked one by one, but not yet together.

    Attributes:
        name: The study file as the user named it, or the study; messages begin with it.
        study: The study; wrong values have stand-ins.
        wrong: Top-level keys whose values are wrong.
        problems: Everything that is wrong so far.
        places: Place of each key in the file, by dotted key: "line 4" or "--set".
    """

    name: str
    study: Study
    wrong: frozenset[str] = frozenset()
    problems: Sequence[Problem] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, Any]:
        """The top-level values that are right in themselves, by key."""
        names = (name for name in Study.model_fields if name not in self.wrong)
        return {name: getattr(self.study, name) for name in names}


# --- reading
def read_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """Read a study file; its values are not held against each other, engine, data or machine.

    Args:
        path: The file.
        overrides: `key=value`, as for `plan_file`.

    Raises:
        StudyError: There is no such file, or it is no YAML mapping.
    """
    written = read_study_file(Path(path), overrides)
    written.values.setdefault("storage", str(written.folder / "studies"))
    try:
        study = Study.model_validate(written.values)
    except ValidationError as error:
        return _partly_wrong(written, error)
    return Draft(written.name, study, problems=written.problems, places=written.places)


_STAND_IN: Final[Mapping[str, Any]] = {
    "study": "study",
    "data": "data",
    "trainable": "",
    "budget": {"trials": 1, "epochs": 1},
}


def _partly_wrong(written: Written, error: ValidationError) -> Draft:
    """The draft of a file in which pydantic found values that are wrong in themselves."""
    wrong = frozenset(str(entry["loc"][0]) for entry in error.errors() if entry["loc"])
    right = {key: value for key, value in written.values.items() if key not in wrong}
    study = Study.model_validate({**_STAND_IN, **right})
    problems = [*written.problems, *validation_problems(error, Study)]
    return Draft(written.name, study, wrong, problems, written.places)


# --- deciding
def _planned(draft: Draft, machine: Machine | None) -> StudyPlan:
    return decided(draft, check_draft(draft, machine))


def decided(draft: Draft, checked: Checked) -> StudyPlan:
    """The plan of a study that was checked.

    Raises:
        StudyError: The checks found problems; with a line for each.
    """
    if checked.problems:
        raise study_error(draft.name, checked.problems, draft.places)
    assert checked.info is not None
    assert checked.space is not None
    assert checked.data is not None
    return StudyPlan(
        study=draft.study,
        info=checked.info,
        data=checked.data,
        space=checked.space.space,
        written_space=checked.space.written,
        fixed=checked.space.fixed,
        no_effect=checked.space.no_effect,
        points=checked.points,
        best=checked.best,
        machine=checked.machine,
    )


# --- checking
def check_draft(draft: Draft, machine: Machine | None = None, *, begun: bool = False) -> Checked:
    """Check a study's values together, and against engine, data set, storage and machine.

    Args:
        draft: The study.
        machine: Processors to train on, as for `plan_file`.
        begun: Whether it goes on: its hyperparameters are then not held against its data again.
    """
    parts = draft.parts()
    checked = Checked(machine or this_machine(), list(draft.problems))
    trouble = _load_data(checked, parts)
    if "trainable" in parts:
        check_engine(checked, parts["trainable"])
    asked = checked.info and _depends_on_data(checked.info) and not begun
    if asked and checked.data and not trouble and "budget" in parts:
        gpus = checked.machine.gpus
        checked.there = circumstances(checked.data, parts["budget"].epochs, gpus)
    if checked.info and "search_space" in parts and "fixed" in parts:
        check_space(checked, checked.info, parts)
    checked.problems += check_scheduler(parts)
    if checked.info:
        checked.problems += check_metrics(parts, checked.info)
    checked.problems += trouble
    if checked.info and checked.data and checked.data.boxes_only:
        checked.problems += box_problems(checked.info, parts, checked.data)
    _add_best(checked, parts)
    checked.problems += _check_storage(parts)
    elsewhere = machine is None and bool(os.environ.get("RAY_ADDRESS"))
    checked.problems += _check_resources(checked, parts, None if elsewhere else checked.machine)
    return checked


def _depends_on_data(info: EngineInfo) -> bool:
    """Whether an engine's presets or allowed values follow a study's data."""
    keys = {info.batch, info.max_det} & set(info.params.model_fields)
    return bool(keys or info.data_problems or info.default_space)


def _load_data(checked: Checked, parts: Parts) -> list[Problem]:
    if "data" not in parts:
        return []
    try:
        here = isinstance(place := parts["data"], Path)  # else an address
        checked.data = PreparedDataset.load(place) if here else open_data(place)
        check_trainable(checked.data, pictures=here)
    except DatasetError as error:
        return [Problem("data", str(error))]
    return []


def _add_best(checked: Checked, parts: Parts) -> None:
    """Put what the best-config store has for the data set before the other points."""
    if not {"warm_start", "search", "storage"} <= set(parts) or not parts["warm_start"].best:
        return
    if parts["search"] in ("grid", "race"):
        tried = "its points alone" if parts["search"] == "race" else "every configuration"
        message = (
            f"expected false with search: {parts['search']}, which visits {tried}, got True; "
            "remove it or use search: tpe"
        )
        checked.problems.append(Problem("warm_start.best", message))
    if checked.problems or checked.info is None or checked.space is None or checked.data is None:
        return
    try:
        store = BestStore(store_place(storage=parts["storage"]))
        found = best_points(store, checked.info, checked.space, checked.data)
    except (ClusterError, StoreError) as error:
        checked.problems.append(Problem("warm_start.best", str(error)))
        return
    others = [point for point in checked.points if point not in found.points]
    checked.points, checked.best = (*found.points, *others), found.lines


def _check_storage(parts: Parts) -> Iterator[Problem]:
    if "storage" not in parts:
        return
    directory: Path = parts["storage"] / parts.get("study", "study")
    if why := why_not_writable(directory, folder=True):
        yield Problem("storage", f"expected a folder to write, got {directory}: {why}")


# --- processors
def _check_resources(checked: Checked, parts: Parts, there: Machine | None) -> Iterator[Problem]:
    """Problems with what each trial asks for.

    Args:
        checked: Findings so far, the engine among them.
        parts: The study's values.
        there: Processors that a trial must do with; None where they are not known.
    """
    if "resources" not in parts:
        return
    cpus, concurrent = parts["resources"].cpus_per_trial, parts["resources"].concurrent
    if there and cpus != "auto" and cpus > there.cpus:
        yield Problem(
            "resources.cpus_per_trial",
            f"expected auto or at most the {there.cpus} CPU cores there are, got {cpus}; "
            f"the nearest is {there.cpus}",
        )
    if parts["resources"].gpus_per_trial != "auto":
        n_gpus = there.gpus if there else None
        yield from _check_gpus(checked.info, parts["resources"].gpus_per_trial, concurrent, n_gpus)


def _check_gpus(
    info: EngineInfo | None, share: float, concurrent: int, n_gpus: int | None
) -> Iterator[Problem]:
    """Problems with a GPU share: more than there is or can be used, or too many at once."""
    usable = info.max_gpus if info else share
    if n_gpus is not None and share > n_gpus:
        yield Problem(
            "resources.gpus_per_trial",
            f"expected auto or at most the GPUs there are ({n_gpus}), got {share:g}; "
            f"the nearest is {min(n_gpus, usable):g}",
        )
    elif info and share > usable:
        whole = "1" if usable == 1 else f"up to {usable}"
        yield Problem(
            "resources.gpus_per_trial",
            f"expected auto, 0, 1/n of a GPU or {whole}, which is what {info.name} can train on, "
            f"got {share:g}; the nearest is {usable}",
        )
    elif n_gpus is not None and share > 0:
        yield from _check_room(concurrent, n_gpus, share)


def _check_room(concurrent: int, n_gpus: int, share: float) -> Iterator[Problem]:
    """The problem of shares that together are more than there is."""
    most = most_at_once(n_gpus, share)
    if concurrent > most:
        yield Problem(
            "resources.concurrent",
            f"expected at most {most} at once, which is what fits on the GPUs there are "
            f"({n_gpus}) with gpus_per_trial {share:.4g}, got {concurrent}; the nearest is {most}, "
            "or gpus_per_trial: auto",
        )
