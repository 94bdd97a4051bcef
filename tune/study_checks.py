"""Checks of a study over several of its keys, or against engine, data set and machine.

Each check takes the top-level values that are right in themselves and is passed over where one it
needs is not, so that all problems of a file come out at once.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from search_spaces.domains import Domain, FloatDomain
from search_spaces.names import nearest_name
from search_spaces.presets.preset import Point
from search_spaces.space import SearchSpace, domain_values
from trainables.contract import EngineInfo
from trainables.datasets.prepared import DatasetError, PreparedDataset, check_trainable
from trainables.registry import EngineError, engine_info, engines
from tune.machine import Machine, this_machine
from tune.metric_names import direction, objective_problem, watched_problem
from tune.problems import Problem
from tune.resolve import ResolvedSpace, resolve_points, resolve_space
from tune.stopping import Asha, NoPlateau

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
        data: The data set, where it was asked for.
    """

    problems: list[Problem] = field(default_factory=list)
    info: EngineInfo | None = None
    space: ResolvedSpace | None = None
    points: tuple[Point, ...] = ()
    data: PreparedDataset | None = None


def check_study(parts: Parts, *, here: bool = True, machine: Machine | None = None) -> Checked:
    """Check the values of a study together.

    Args:
        parts: Top-level values of the study by key; those wrong in themselves are absent.
        here: Whether the data set, the files that `fixed` names and this machine are looked at.
        machine: What there is to train on; default: this machine, or whatever RAY_ADDRESS names.
    """
    checked = Checked()
    if "trainable" in parts:
        _check_engine(checked, parts["trainable"])
    if checked.info and "search_space" in parts and "fixed" in parts:
        _check_space(checked, checked.info, parts, here=here)
    checked.problems += _check_scheduler(parts)
    if checked.info:
        checked.problems += _check_metrics(parts, checked.info)
    if here:
        _check_data(checked, parts)
        checked.problems += _check_storage(parts)
        checked.problems += _check_machine(parts, machine)
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
    checked.space = space
    if here:
        problems += _engine_rules(info, space, parts["fixed"])
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
    for key, message in info.params.problems(space.fixed, space.varied):
        where = "search_space" if key in space.written and key not in fixed else "fixed"
        yield Problem(f"{where}.{key}", message)


def _check_searched(space: SearchSpace, parts: Parts) -> Iterator[Problem]:
    trials = parts["budget"].trials if "budget" in parts else 1
    if not space.parameters and trials > 1:
        yield Problem(
            "search_space",
            f"expected at least one searched key for budget.trials = {trials}, got none: every "
            "trial would be the same; name a domain, such as lr0: {loguniform: [1e-5, 0.1]}",
        )


def _check_grid(space: SearchSpace) -> Iterator[Problem]:
    size = 1
    for name, parameter in space.parameters.items():
        values = domain_values(parameter.domain)
        if values is None:
            yield Problem(
                f"search_space.{name}",
                "expected a finite domain (choice, randint, quniform) for search: grid, got "
                f"{parameter.domain}; the nearest is {_three_of(parameter.domain)}, or search: tpe",
            )
        size *= len(values or [0])
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


# --- data and machine


def _check_data(checked: Checked, parts: Parts) -> None:
    if "data" not in parts:
        return
    try:
        checked.data = PreparedDataset.load(parts["data"])
        check_trainable(checked.data)
    except DatasetError as error:
        checked.problems.append(Problem("data", str(error)))


def _check_storage(parts: Parts) -> Iterator[Problem]:
    if "storage" not in parts:
        return
    directory: Path = parts["storage"] / parts.get("study", "study")
    place = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not place.is_dir():
        yield Problem("storage", f"expected a folder for {directory}, got the file {place}")
    elif not os.access(place, os.W_OK):
        yield Problem("storage", f"expected a folder that can be written to, got {place}")


def _check_machine(parts: Parts, machine: Machine | None) -> Iterator[Problem]:
    if "resources" not in parts or (machine is None and os.environ.get("RAY_ADDRESS")):
        return
    there = machine or this_machine()
    cpus, gpus = parts["resources"].cpus_per_trial, parts["resources"].gpus_per_trial
    if cpus != "auto" and cpus > there.cpus:
        yield Problem(
            "resources.cpus_per_trial",
            f"expected auto or at most the {there.cpus} CPU cores there are, got {cpus}; "
            f"the nearest is {there.cpus}",
        )
    if gpus != "auto" and gpus > there.gpus:
        yield Problem(
            "resources.gpus_per_trial",
            f"expected auto or at most the GPUs there are ({there.gpus}), got {gpus:g}; "
            f"the nearest is {there.gpus}",
        )
