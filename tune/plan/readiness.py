"""Whether a study can run here and now: data, machine, storage, best configurations."""

import os
from collections.abc import Iterator
from pathlib import Path

from cluster.errors import ClusterError
from cluster.machines.machine import Machine, this_machine
from cluster.machines.sharing import most_at_once
from trainables.contract import EngineInfo
from trainables.datasets.prepared import DatasetError, PreparedDataset, check_trainable
from tune.best.store import BestStore, store_place
from tune.best.warm_start import best_points
from tune.errors import StoreError
from tune.study.checks import (
    Checked,
    Parts,
    check_engine,
    check_metrics,
    check_scheduler,
    check_space,
)
from tune.study.problems import Problem


def check_study(parts: Parts, *, here: bool = True, machine: Machine | None = None) -> Checked:
    """Check the values of a study together.

    Args:
        parts: Top-level values of the study by key; those wrong in themselves are absent.
        here: Whether the data set, the files that `fixed` names and this machine are looked at.
        machine: What there is to train on; default: this machine, or whatever RAY_ADDRESS names.
    """
    checked = Checked()
    trouble = _load_data(checked, parts) if here else []
    if "trainable" in parts:
        check_engine(checked, parts["trainable"])
    if checked.info and "search_space" in parts and "fixed" in parts:
        check_space(checked, checked.info, parts, here=here)
    checked.problems += check_scheduler(parts)
    if checked.info:
        checked.problems += check_metrics(parts, checked.info)
    if here:
        checked.problems += trouble
        _add_best(checked, parts)
        checked.problems += _check_storage(parts)
        checked.problems += _check_machine(checked, parts, machine)
    return checked


def _add_best(checked: Checked, parts: Parts) -> None:
    """Put what the best-config store has for the data set before the other points."""
    if not {"warm_start", "search", "storage"} <= set(parts) or not parts["warm_start"].best:
        return
    if parts["search"] == "grid":
        message = (
            "expected false with search: grid, which visits every configuration, got True; remove "
            "it or use search: tpe"
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


def _load_data(checked: Checked, parts: Parts) -> list[Problem]:
    if "data" not in parts:
        return []
    try:
        checked.data = PreparedDataset.load(parts["data"])
        check_trainable(checked.data)
    except DatasetError as error:
        return [Problem("data", str(error))]
    return []


def _check_storage(parts: Parts) -> Iterator[Problem]:
    if "storage" not in parts:
        return
    directory: Path = parts["storage"] / parts.get("study", "study")
    place = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not place.is_dir():
        yield Problem("storage", f"expected a folder for {directory}, got the file {place}")
    elif not os.access(place, os.W_OK):
        yield Problem("storage", f"expected a folder that can be written to, got {place}")


def _check_machine(checked: Checked, parts: Parts, machine: Machine | None) -> Iterator[Problem]:
    if "resources" not in parts:
        return
    there = None if machine is None and os.environ.get("RAY_ADDRESS") else machine or this_machine()
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
    """A share that is more than there is, than the engine can use, or more often than it fits."""
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
    """Shares that together are more than there is."""
    most = most_at_once(n_gpus, share)
    if concurrent > most:
        yield Problem(
            "resources.concurrent",
            f"expected at most {most} at once, which is what fits on the GPUs there are "
            f"({n_gpus}) with gpus_per_trial {share:.4g}, got {concurrent}; the nearest is {most}, "
            "or gpus_per_trial: auto",
        )
