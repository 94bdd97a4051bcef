"""Hyperparameters held against a study's data: presets that follow them, values they rule out."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from search_spaces.domains import ChoiceDomain, Domain, parse_domain
from search_spaces.presets.preset import Preset
from search_spaces.space import SearchSpace
from trainables.contract import Circumstances, EngineInfo
from trainables.datasets.facts import data_facts
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.metrics.names import names_in, needs_masks
from trainables.proposal import room_for
from trainables.registry import boxes_problem
from tune.study.problems import Problem


def circumstances(data: PreparedDataset, epochs: int, gpus: int) -> Circumstances | None:
    """What the trainings of a study have in common; None where the data set cannot be read.

    Args:
        data: The study's data set.
        epochs: Length of a training that is never stopped.
        gpus: Number of GPUs there are.
    """
    try:
        facts = data_facts(data)
    except DatasetError:
        return None
    return Circumstances(facts, epochs, gpus) if facts.n_objects else None


def fitted(
    info: EngineInfo, preset: Preset, given: Mapping[str, Any], there: Circumstances
) -> Preset:
    """A preset that finds all objects of a picture, and searches no batch that no step can fill.

    Args:
        info: The engine.
        preset: The preset as it is for any data.
        given: What the study itself fixes or searches, by key; it stays as it is.
        there: The study's data, length and machine.
    """
    space = dict(preset.space)
    if info.batch in space and info.batch not in given:
        space[info.batch] = _at_most(space[info.batch], there)
    if info.max_det in info.params.model_fields and info.max_det not in given:
        default = info.params.model_fields[info.max_det].default
        if _least(space.get(info.max_det, default)) < there.data.most_objects:
            space[info.max_det] = {"fixed": room_for(there.data.most_objects)}
    return replace(preset, space=space)


def _least(domain: Any) -> float:
    """The least value of a written domain."""
    if not isinstance(domain, Mapping):
        return float(domain)
    parsed = parse_domain({kind: value for kind, value in domain.items() if kind != "when"})
    return float(min(_all_or_least(parsed)))


def _at_most(domain: Any, there: Circumstances) -> Any:
    """A written choice or constant without values above the number of training pictures."""
    n = there.data.n_train
    if not isinstance(domain, Mapping):
        return min(domain, n) if isinstance(domain, int) else domain
    if isinstance(domain.get("choice"), list):
        return {**domain, "choice": [value for value in domain["choice"] if value <= n] or [n]}
    if isinstance(domain.get("fixed"), int):
        return {**domain, "fixed": min(domain["fixed"], n)}
    return domain


def batch_problems(
    info: EngineInfo, fixed: Mapping[str, Any], space: SearchSpace, there: Circumstances
) -> Iterator[tuple[str, str]]:
    """Batches that all hold more pictures than there are to train on, as (key, message) pairs.

    Such a batch holds all of them, so the batch that is told would not be the one that trains.
    """
    key, n = info.batch, there.data.n_train
    values = [fixed[key]] if key in fixed else []
    if key in space.parameters:
        values = _all_or_least(space.parameters[key].domain)
    if values and min(values) > n:
        yield (
            key,
            f"expected at most the {n} pictures there are to train on, got {min(values)}; a step "
            f"takes each picture once; the nearest is {n}",
        )


def box_problems(
    info: EngineInfo, parts: Mapping[str, Any], data: PreparedDataset
) -> Iterator[Problem]:
    """What of a study needs masks, where the objects of its data set are boxes.

    Args:
        info: The engine.
        parts: The study's values that are right in themselves.
        data: The data set, of boxes.
    """
    if problem := boxes_problem(info, data):
        yield Problem("trainable", problem)
        return
    asked: dict[str, str | None] = {}
    if "objective" in parts:
        asked["objective.metric"] = parts["objective"].metric
        limits = parts["objective"].limits
        asked |= {f"objective.constraints.{limit.metric}": limit.metric for limit in limits}
    asked["plateau.metric"] = getattr(parts.get("plateau"), "metric", None)
    for key, metric in asked.items():
        if metric is not None and needs_masks(metric):
            usable = [name for group in info.metrics for name in names_in(group)]
            near = ", ".join(name for name in usable if not needs_masks(name))
            yield Problem(
                key,
                f"expected a metric that needs no masks ({near}), got {metric}: the objects of "
                f"{data.name} are boxes without masks",
            )


def _all_or_least(domain: Domain) -> list[Any]:
    return list(domain.choices) if isinstance(domain, ChoiceDomain) else [domain.low]
