"""Checks of a study over several of its keys, or against engine, data set and machine.

Each check takes the top-level values that are right in themselves and is passed over where one it
needs is not, so that all problems of a file come out at once.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cluster.errors import ClusterError
from search_spaces.domains import ChoiceDomain, Domain, FloatDomain
from search_spaces.names import nearest_name
from search_spaces.presets.preset import Point
from search_spaces.space import SearchSpace, n_values
from trainables.contract import EngineInfo
from trainables.datasets.prepared import DatasetError, PreparedDataset, check_trainable
from trainables.goal import Limit
from trainables.registry import EngineError, engine_info, engines
from tune.best_store import BestStore, store_place
from tune.errors import StoreError
from tune.machine import Machine, this_machine
from tune.metric_names import (
    direction,
    limit_problem,
    objective_problem,
    sides,
    watched_problem,
)
from tune.problems import Problem
from tune.resolve import ResolvedSpace, resolve_points, resolve_space
from tune.sharing import most_at_once
from tune.stopping import Asha, NoPlateau
from tune.warm_start import best_points

MAX_GRID: Final = 100_000
Parts = Mapping[str, Any]


@dataclass
class Checked:
    """What the checks found out on their way.

    Attributes:
        problems: Everything that is wrong; the rest is complete only where this is empty.
        info: The engine.
        space: The search space, with the fixed values and the keys without effect.
        points: Warm-start points.
        best: What each of them is that came from the best-config store, or why there is none.
        data: The data set, where it was asked for.
    """

    problems: list[Problem] = field(default_factory=list)
    info: EngineInfo | None = None
    space: ResolvedSpace | None = None
    points: tuple[Point, ...] = ()
    best: tuple[str, ...] = ()
    data: PreparedDataset | None = None


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
        _check_engine(checked, parts["trainable"])
    if checked.info and "search_space" in parts and "fixed" in parts:
        _check_space(checked, checked.info, parts, here=here)
    checked.problems += _check_scheduler(parts)
    if checked.info:
        checked.problems += _check_metrics(parts, checked.info)
    if here:
        checked.problems += trouble
        _add_best(checked, parts)
        checked.problems += _check_storage(parts)
        checked.problems += _check_machine(checked, parts, machine)
    return checked


def _check_engine(checked: Checked, name: str) -> None:
    try:
        checked.info = engine_info(name)
    except EngineError as error:
        message = str(error)
        if name not in engines():
            known = engines()
            hint = nearest_name(name, known)
            message = f"expected one of {', '.join(known)}, got {name!r}{hint}"
        checked.problems.append(Problem("trainable", message))


# --- search space and points


def _check_space(checked: Checked, info: EngineInfo, parts: Parts, *, here: bool) -> None:
    space, problems = resolve_space(info, parts["search_space"], parts["fixed"])
    if "budget" in parts:
        grey = checked.data is not None and checked.data.grey
        epochs = parts["budget"].epochs
        space = space.without(info.params.without_effect_in(space.possible, epochs, grey=grey))
    checked.space = space
    if here:
        problems += _engine_rules(info, space, parts["fixed"])
    if "budget" in parts:
        problems += _length_rules(info, space, parts["fixed"], parts["budget"].epochs)
    checked.problems += problems
    if problems:
        return
    if parts.get("search") == "grid":
        checked.problems += _check_grid(space.space)
    checked.problems += _check_searched(space.space, parts)
    if "warm_start" in parts and "search" in parts:
        _check_points(checked, info, space, parts)


def _engine_rules(
    info: EngineInfo, space: ResolvedSpace, fixed: Mapping[str, Any]
) -> Iterator[Problem]:
    """The engine's own rules over several keys."""
    found = info.params.problems(space.fixed, space.varied) or _choice_problems(info, space)
    for key, message in found:
        yield Problem(_written_key(key, space, fixed), message)


def _choice_problems(info: EngineInfo, space: ResolvedSpace) -> list[tuple[str, str]]:
    """The engine's rules for each value of a choice, as if it were fixed; one problem a key."""
    found: dict[str, str] = {}
    for name, parameter in space.space.parameters.items():
        choices = parameter.domain.choices if isinstance(parameter.domain, ChoiceDomain) else ()
        for value in choices:
            varied = space.varied_beside(name, value)
            for key, message in info.params.problems({**space.fixed, name: value}, varied):
                beside = "" if key == name else f" (where {name} is {value})"
                found.setdefault(key, f"{message}{beside}")
    return list(found.items())


def _length_rules(
    info: EngineInfo, space: ResolvedSpace, fixed: Mapping[str, Any], epochs: int
) -> Iterator[Problem]:
    """What does not fit into the epochs of a trial."""
    for key, message in info.params.length_problems(space.possible, epochs):
        yield Problem(_written_key(key, space, fixed), message)


def _written_key(key: str, space: ResolvedSpace, fixed: Mapping[str, Any]) -> str:
    """Where a hyperparameter stands in the study file, or could stand."""
    where = "search_space" if key in space.written and key not in fixed else "fixed"
    return f"{where}.{key}"


def _check_searched(space: SearchSpace, parts: Parts) -> Iterator[Problem]:
    trials = parts["budget"].trials if "budget" in parts else 1
    if not space.parameters and trials > 1:
        yield Problem(
            "search_space",
            f"expected at least one searched key for budget.trials = {trials}, got none: every "
            "trial would be the same; name a domain, such as lr0: {loguniform: [1e-5, 0.1]}",
        )


def _check_grid(space: SearchSpace) -> Iterator[Problem]:
    size = 1.0
    for name, parameter in space.parameters.items():
        n = n_values(parameter.domain)
        if n is None:
            yield Problem(
                f"search_space.{name}",
                "expected a finite domain (choice, randint, quniform) for search: grid, got "
                f"{parameter.domain}; the nearest is {_three_of(parameter.domain)}, or search: tpe",
            )
        size *= n or 1
    if size > MAX_GRID:
        yield Problem(
            "search",
            f"expected a grid of at most {MAX_GRID} configurations, got up to {size:.3g}; "
            "search fewer keys or fewer values, or use search: tpe",
        )


def _three_of(domain: Domain) -> str:
    """Ends and middle of a continuous domain, as a choice."""
    assert isinstance(domain, FloatDomain)
    middle = (domain.low * domain.high) ** 0.5 if domain.log else (domain.low + domain.high) / 2
    return f"{{choice: [{domain.low:g}, {middle:g}, {domain.high:g}]}}"


def _check_points(checked: Checked, info: EngineInfo, space: ResolvedSpace, parts: Parts) -> None:
    given = parts["warm_start"].points
    if parts["search"] != "grid":
        checked.points, problems = resolve_points(info, space, given)
        checked.problems += problems
    elif given:
        message = (
            f"expected no points with search: grid, which visits every configuration, got "
            f"{len(given)}; remove warm_start or use search: tpe"
        )
        checked.problems.append(Problem("warm_start.points", message))


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


# --- rules and metrics


def _check_scheduler(parts: Parts) -> Iterator[Problem]:
    scheduler, budget = parts.get("scheduler"), parts.get("budget")
    if budget is None or not isinstance(scheduler, Asha) or scheduler.grace_period is None:
        return
    grace, epochs = scheduler.grace_period, budget.epochs
    if grace >= epochs:
        near = f"the nearest is {epochs - 1}, or " if epochs > 1 else ""
        yield Problem(
            "scheduler.grace_period",
            f"expected fewer epochs than budget.epochs = {epochs}, got {grace}; no trial could "
            f"ever be stopped early; {near}use scheduler: none",
        )


def _check_metrics(parts: Parts, info: EngineInfo) -> Iterator[Problem]:
    if "objective" in parts:
        yield from _check_objective(parts["objective"].metric, parts["objective"].mode, info)
        for limit in parts["objective"].limits:
            yield from _check_limit(limit, info)
    plateau = parts.get("plateau", NoPlateau())
    if isinstance(plateau, NoPlateau) or plateau.metric is None or "train_metrics" not in parts:
        return
    problem = watched_problem(plateau.metric, info, parts["train_metrics"].every)
    if problem:
        yield Problem("plateau.metric", problem)


def _check_objective(metric: str, mode: str, info: EngineInfo) -> Iterator[Problem]:
    unknown = objective_problem(metric, info)
    if unknown:
        yield Problem("objective.metric", unknown)
    elif mode != direction(metric):
        better = "larger" if mode == "min" else "smaller"
        message = f"expected {direction(metric)} for {metric} ({better} is better), got {mode!r}"
        yield Problem("objective.mode", message)


def _check_limit(limit: Limit, info: EngineInfo) -> Iterator[Problem]:
    key = f"objective.constraints.{limit.metric}"
    unknown = limit_problem(limit.metric, info)
    if unknown:
        yield Problem(key, unknown)
        return
    known = sides(limit.metric)
    for side in ("at_most", "at_least"):
        bound = getattr(limit, side)
        if bound is not None and side not in known:
            better = "smaller" if side == "at_least" else "larger"
            yield Problem(
                f"{key}.{side}",
                f"expected {' or '.join(known)} for {limit.metric} ({better} is better), got "
                f"{side} {bound:g}",
            )
    if limit.at_least is not None and limit.at_least > 1 and "at_least" in known:
        meant = limit.at_least / 100
        yield Problem(
            f"{key}.at_least",
            f"expected a share from 0 to 1 for {limit.metric}, got {limit.at_least:g}"
            + (f"; did you mean {meant:g}?" if meant <= 1 else ""),
        )


# --- data and machine


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
