"""Checks of a study over several of its keys, or against engine, data set and machine.

Each check takes the top-level values that are right in themselves and is passed over where one it
needs is not, so that all problems of a file come out at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cluster.machines.machine import Machine
from search_spaces.domains import ChoiceDomain, Domain, FloatDomain
from search_spaces.names import nearest_name
from search_spaces.presets.preset import Point
from search_spaces.space import SearchSpace, n_values
from trainables.contract import Circumstances, EngineInfo
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Limit
from trainables.metrics.names import (
    DIAMETER_BIAS,
    DIAMETER_SHIFT,
    MEASURE,
    OVERFIT_GAP,
    direction,
    is_loss,
    names_in,
    of_training,
    sides,
)
from trainables.registry import EngineError, engine_info, engines
from tune.stopping.asha import Asha
from tune.stopping.plateau import NoPlateau
from tune.stopping.race import SEEDS
from tune.study.fitting import batch_problems
from tune.study.problems import Problem
from tune.study.space import ResolvedSpace, resolve_points, resolve_space

MAX_GRID: Final = 100_000

Parts = Mapping[str, Any]


@dataclass
class Checked:
    """Findings of the checks, filled in on their way.

    Attributes:
        machine: Processors of this machine.
        problems: Everything that is wrong; the rest is complete only where this is empty.
        info: The engine.
        space: The search space, with the fixed values and the keys without effect.
        points: Warm-start points.
        best: A line for each point from the best-config store, or the reason why there is none.
        data: The data set.
        there: Data, length and machine that hyperparameters must fit; None where that is not known
            or, for a study that goes on, not asked.
    """

    machine: Machine
    problems: list[Problem] = field(default_factory=list)
    info: EngineInfo | None = None
    space: ResolvedSpace | None = None
    points: tuple[Point, ...] = ()
    best: tuple[str, ...] = ()
    data: PreparedDataset | None = None
    there: Circumstances | None = None


def check_engine(checked: Checked, name: str) -> None:
    """Find the engine; a name that is none becomes a problem."""
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
def check_space(checked: Checked, info: EngineInfo, parts: Parts) -> None:
    """Resolve search space and warm-start points; what is wrong with them becomes problems."""
    there = checked.there
    space, problems = resolve_space(info, parts["search_space"], parts["fixed"], there)
    if "budget" in parts:
        grey = checked.data is not None and checked.data.grey
        epochs = parts["budget"].epochs
        space = space.without(info.params.without_effect_in(space.possible, epochs, grey=grey))
    checked.space = space
    problems += _engine_rules(info, space, parts["fixed"], there)
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


Rules = Callable[[Mapping[str, Any], frozenset[str]], list[tuple[str, str]]]
"""Function from fixed values and the names of searched keys to (key, message) pairs."""


def _engine_rules(
    info: EngineInfo, space: ResolvedSpace, fixed: Mapping[str, Any], there: Circumstances | None
) -> Iterator[Problem]:
    """Problems by the engine's own rules over several keys, and by the data."""

    def rules(values: Mapping[str, Any], varied: frozenset[str]) -> list[tuple[str, str]]:
        problems = list(info.params.problems(values, varied))
        if there is not None and info.data_problems is not None:
            problems += info.data_problems(values, varied, there)
        return problems

    found = rules(space.fixed, space.varied) or _choice_problems(rules, space)
    if there is not None:
        found += batch_problems(info, space.fixed, space.space, there)
    for key, message in found:
        yield Problem(_written_key(key, space, fixed), message)


def _choice_problems(rules: Rules, space: ResolvedSpace) -> list[tuple[str, str]]:
    """Problems by such rules for each value of a choice, as if fixed; one for each key."""
    found: dict[str, str] = {}
    for name, parameter in space.space.parameters.items():
        choices = parameter.domain.choices if isinstance(parameter.domain, ChoiceDomain) else ()
        for value in choices:
            varied = space.varied_beside(name, value)
            for key, message in rules({**space.fixed, name: value}, varied):
                beside = "" if key == name else f" (where {name} is {value})"
                found.setdefault(key, f"{message}{beside}")
    return list(found.items())


def _length_rules(
    info: EngineInfo, space: ResolvedSpace, fixed: Mapping[str, Any], epochs: int
) -> Iterator[Problem]:
    """Problems of values that do not fit into the epochs of a trial."""
    for key, message in info.params.length_problems(space.possible, epochs):
        yield Problem(_written_key(key, space, fixed), message)


def _written_key(key: str, space: ResolvedSpace, fixed: Mapping[str, Any]) -> str:
    """The dotted key under which a hyperparameter stands in the study file, or could stand."""
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
    if parts["search"] == "race":
        checked.problems += _check_race(given or (), parts)
    if parts["search"] != "grid":
        checked.points, problems = resolve_points(info, space, given)
        checked.problems += problems
    elif given:
        message = (
            f"expected no points with search: grid, which visits every configuration, got "
            f"{len(given)}; remove warm_start or use search: tpe"
        )
        checked.problems.append(Problem("warm_start.points", message))


def _check_race(points: Sequence[Mapping[str, Any]], parts: Parts) -> Iterator[Problem]:
    """Problems of a race: too few candidates or trials, or rules that cut trainings short."""
    for rule in ("scheduler", "plateau"):
        if rule in parts and parts[rule].kind != "none":
            yield Problem(
                rule,
                f"expected none with search: race, which compares whole trainings, got "
                f"{parts[rule].kind}",
            )
    least = SEEDS * max(2, len(points))
    if len(points) < 2:
        yield Problem(
            "warm_start.points",
            f"expected at least 2 points with search: race, which compares them, got {len(points)}",
        )
    elif "budget" in parts and parts["budget"].trials < least:
        yield Problem(
            "budget.trials",
            f"expected at least {least} with search: race, {SEEDS} for each of the {len(points)} "
            f"points, got {parts['budget'].trials}; the nearest is {least}",
        )


# --- rules and metrics
def check_scheduler(parts: Parts) -> Iterator[Problem]:
    """The problem of a grace period that leaves no rung."""
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


def check_metrics(parts: Parts, info: EngineInfo) -> Iterator[Problem]:
    """Problems of objective, constraints and stop rules with the metrics the engine reports."""
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


# --- metrics an engine reports
def objective_problem(metric: str, info: EngineInfo) -> str | None:
    """The reason why an engine's trials cannot be ranked by a metric, or None."""
    if metric == DIAMETER_SHIFT and MEASURE in info.metrics:
        return (
            f"expected a metric that is better larger or smaller, got {metric}, which is best at "
            f"0; the nearest is {DIAMETER_BIAS}"
        )
    return _problem(metric, objectives(info), info)


def objectives(info: EngineInfo) -> list[str]:
    """Metrics of an engine by which trials can be ranked, its losses left out."""
    return [name for name in _validation_metrics(info) if name != DIAMETER_SHIFT]


def limit_problem(metric: str, info: EngineInfo) -> str | None:
    """The reason why an engine's trials cannot be held to a limit on a metric, or None."""
    return _problem(metric, _validation_metrics(info), info)


def _validation_metrics(info: EngineInfo) -> list[str]:
    groups = [group for group in info.metrics if not group.startswith("train_")]
    return [name for group in groups for name in names_in(group)]


def _is_split_loss(metric: str) -> bool:
    """Tell whether a metric is a loss of a split, such as `val/seg_loss`: engines name those.

    One that the engine does not report is an error at its first report.
    """
    split, _, rest = metric.partition("/")
    return split in {"train", "val"} and is_loss(rest)


def _problem(metric: str, known: list[str], info: EngineInfo) -> str | None:
    if metric in known or _is_split_loss(metric):
        return None
    return _unknown(metric, known, info)


def watched_problem(metric: str, info: EngineInfo, every: int) -> str | None:
    """The reason why a plateau rule cannot watch a metric, or None.

    Args:
        metric: One of our metrics of the validation or the training part, or a loss.
        info: The engine.
        every: Epochs from one measuring of the training part to the next; 0 for never.
    """
    groups = dict.fromkeys(group.removeprefix("train_") for group in info.metrics)
    of_both = [name for group in groups if group != MEASURE for name in names_in(group)]
    of_train = [f"train_{name}" for name in of_both]
    known = list(dict.fromkeys([*of_both, *objectives(info), *of_train, OVERFIT_GAP]))
    problem = _problem(metric, known, info)
    if problem:
        return problem
    if of_training(metric) and every == 0:
        return (
            f"expected a metric that is taken, got {metric} with train_metrics.every = 0; "
            "set train_metrics.every to 1"
        )
    return None


def _unknown(metric: str, known: list[str], info: EngineInfo) -> str:
    return (
        f"expected a metric of {info.name} ({', '.join(known)}) or a loss, such as val/seg_loss, "
        f"got {metric!r}"
        f"{nearest_name(metric, known)}"
    )
