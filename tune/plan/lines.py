"""A plan as lines for the terminal."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from search_spaces.names import written
from search_spaces.space import Parameter, SearchSpace
from trainables.datasets.prepared import PreparedDataset
from trainables.files.words import time_words
from tune.plan.cost import cost_words, priced_gpus, priced_units
from tune.plan.forecast import Forecast, Hours
from tune.plan.pace import Pace
from tune.plan.plan import StudyPlan, estimate_hours
from tune.plan.remarks import remarks
from tune.stopping.asha import Asha
from tune.stopping.plateau import NoPlateau, Slope
from tune.stopping.race import SEEDS
from tune.study.study import Study


def plan_lines(plan: StudyPlan, pace: Pace | None = None) -> list[str]:
    """A plan for people to read, a fact a line."""
    study = plan.study
    notes = remarks(plan) if plan.notes is None else plan.notes
    facts = [
        ("study", f"{study.study}, results in {plan.directory}"),
        ("data", _data_text(plan.data, study.data)),
        ("engine", study.trainable),
        ("objective", _objective_text(study)),
        ("budget", _budget_text(plan)),
        ("search", _search_text(plan)),
        ("scheduler", _scheduler_text(plan)),
        ("plateau", _plateau_text(study)),
        ("resources", _resources_text(plan)),
        *_shares(plan),
        *_mirror(study),
        ("epochs", _epochs_text(plan.forecast)),
        ("time", _time_text(estimate_hours(plan, pace), pace)),
        *_cost(plan, estimate_hours(plan, pace)),
        *_rows("searched", _searched(plan.space)),
        *_rows("fixed", {key: written(value) for key, value in plan.fixed.items()}),
        *_rows("no effect", plan.no_effect),
        *_rows("warm start", _points(plan.points)),
        *(("" if i else "from store", line) for i, line in enumerate(plan.best)),
        *(("" if i else "note", line) for i, line in enumerate(notes)),
    ]
    return [f"{name:<11} {text}" for name, text in facts]


def _rows(title: str, rows: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Rows under one title, their keys aligned; "none" where there are none."""
    width = max(map(len, rows), default=0)
    if not rows:
        yield title, "none"
    for i, (key, text) in enumerate(rows.items()):
        yield "" if i else title, f"{key:<{width}}  {text}"


def _data_text(data: PreparedDataset, place: Path | str) -> str:
    counts = ", ".join(f"{split} {n}" for split, n in data.counts().items())
    counts += f", unlabelled {data.n_unlabelled}" if data.n_unlabelled else ""
    noun = "class" if len(data.classes) == 1 else "classes"
    classes = ", ".join(data.classes)
    return f"{data.name} ({place}): pictures {counts}; {len(data.classes)} {noun}: {classes}"


def _budget_text(plan: StudyPlan) -> str:
    budget = plan.study.budget
    limit = f", at most {time_words(budget.hours)}" if budget.hours else ""
    of = ""
    if plan.study.search == "race":
        return f"at most {plan.trials} trials of {budget.epochs} epochs{limit}"
    if plan.study.search == "grid":
        of = f" (of a grid of {len(plan.configurations.listed or plan.space.grid())})"
    elif plan.trials < budget.trials:
        of = f" (every configuration; budget.trials is {budget.trials})"
    return f"{plan.trials} trials{of} of {budget.epochs} epochs{limit}"


def _search_text(plan: StudyPlan) -> str:
    """The sampler, and the number of configurations where it is finite and small."""
    text = f"{plan.study.search}, seed {plan.study.seed}"
    if plan.study.search == "race":
        return (
            f"{text}; {len(plan.points)} points with {SEEDS} seeds each, then one more for each "
            "that is not behind"
        )
    listed = plan.configurations.listed
    if listed is None:
        return text
    noun = "configuration" if len(listed) == 1 else "configurations"
    return f"{text}; {len(listed)} {noun} in all, each trained once at most"


def _scheduler_text(plan: StudyPlan) -> str:
    scheduler = plan.study.scheduler
    if not isinstance(scheduler, Asha):
        return "none, every trial runs to its end"
    epochs = plan.study.budget.epochs
    rungs = plan.early_rungs
    if not rungs:
        return f"asha, which compares no trials before epoch {epochs}: every trial runs to its end"
    by = ", constraints aside" if plan.study.objective.limits else ""
    at = f"{'rung at epoch' if len(rungs) == 1 else 'rungs at epochs'} {', '.join(map(str, rungs))}"
    return f"asha, {at}; 1 trial in {scheduler.reduction_factor} passes each{by}"


def _objective_text(study: Study) -> str:
    constraints = [f", {limit}" for limit in study.objective.limits]
    return f"{study.objective.metric} ({study.objective.mode}){''.join(constraints)}"


def _plateau_text(study: Study) -> str:
    rule = study.plateau
    if isinstance(rule, NoPlateau):
        return "none"
    first, epochs = max(rule.grace, rule.window), study.budget.epochs
    if first >= epochs:
        return f"none: the rule would begin at epoch {first}, and trials end at epoch {epochs}"
    metric = rule.metric or study.objective.metric
    what = (
        f"{metric} gains less than {rule.slope:g} an epoch"
        if isinstance(rule, Slope)
        else f"standard deviation of {metric} below {rule.std:g}"
    )
    return f"{what} over {rule.window} epochs, from epoch {first} on"


def _resources_text(plan: StudyPlan) -> str:
    gpu = plan.shares.gpu_fraction
    if gpu is None:
        gpus = "a share of the GPUs" if plan.machine.gpus else "no GPU"
    else:
        gpus = f"{gpu:g} GPU" if gpu else "no GPU"
    n, cpus = plan.study.resources.concurrent, plan.shares.cpus
    here = f"this machine has {plan.machine.cpus} CPU cores, {plan.machine.gpus} GPUs"
    more = ", more than there are" if n * cpus > plan.machine.cpus else ""
    return f"{n} at once, each {cpus} CPU and {gpus} ({here}{more})"


def _shares(plan: StudyPlan) -> Iterator[tuple[str, str]]:
    """The row on parts of the machine that grow, where they do."""
    if plan.study.resources.shares == "fixed":
        return
    more = "twice as much with each rung that a trial passes, and as others drop away"
    gpu = plan.shares.gpu_fraction
    if gpu == 0 or (gpu is None and not plan.machine.gpus):
        yield "shares", f"rungs: {more}, up to all cores"
    elif plan.info.max_gpus == 1:
        yield "shares", f"rungs: {more}, up to one GPU, all that {plan.info.name} can train on"
    else:
        most = plan.info.max_gpus
        yield "shares", f"rungs: {more}; the last get whole GPUs of one node, up to {most} each"


def _mirror(study: Study) -> Iterator[tuple[str, str]]:
    """The row on where a study is shipped, if it is."""
    if (mirror := study.mirror) is not None:
        yield (
            "mirror",
            f"{mirror.place}/{study.study}, every {mirror.every_seconds:g} s, with the models of "
            f"the best {mirror.best}; without it the study goes on for "
            f"{time_words(mirror.alone_minutes / 60)}",
        )


def _epochs_text(expected: Forecast) -> str:
    if expected.median == expected.full:
        return f"{expected.full}, no trial is stopped early by the scheduler"
    saving, least, most = expected.saving()
    return (
        f"{expected.full} if every trial ran to its end; about {expected.median} expected "
        f"({expected.low} to {expected.high}): saves {saving:.1f}x ({least:.1f}x to {most:.1f}x)"
    )


def _time_text(estimate: Hours | None, pace: Pace | None) -> str:
    """Wall-clock time of the study, in the unit that fits."""
    if estimate is None or pace is None:
        return "unknown: no past run of such trials on these data; --probe trains two epochs"
    unit, size_h = next((u for u in _UNITS if estimate.median >= u[1]), _UNITS[-1])
    low, high = (_rounded(value / size_h) for value in (estimate.low, estimate.high))
    text = f"about {_rounded(estimate.median / size_h)} {unit} ({low} to {high} {unit})"
    return f"{text}, by {pace.measured}" if pace.measured else text


def _cost(plan: StudyPlan, estimate: Hours | None) -> Iterator[tuple[str, str]]:
    """The row with the study's cost, where its file has a price."""
    price = plan.study.price
    if price is None:
        return
    gpus = priced_gpus(plan.study.resources, plan.trials, plan.machine.gpus)
    what = priced_units(gpus)
    if estimate is None:
        yield "cost", f"{cost_words(price, gpus, 1.0)} an hour of {what}"
    else:
        yield "cost", f"about {cost_words(price, gpus, estimate.low, estimate.high)}, of {what}"


_UNITS: Final = (("h", 1.0), ("min", 1 / 60), ("s", 1 / 3600))


def _rounded(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _searched(space: SearchSpace) -> dict[str, str]:
    return {name: f"{p.domain}{_when_text(p)}" for name, p in space.parameters.items()}


def _when_text(parameter: Parameter) -> str:
    conditions = [
        f"{key} is {' or '.join(map(written, values))}" for key, values in parameter.when.items()
    ]
    return f" (when {' and '.join(conditions)})" if conditions else ""


def _points(points: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
    return {
        str(i): ", ".join(f"{key}={written(value, digits=4)}" for key, value in point.items())
        for i, point in enumerate(points)
    }
