"""What a study will do, as a value: made without starting or changing anything."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from search_spaces.space import Parameter, SearchSpace
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from tune.folders import LAYOUT
from tune.forecast import Forecast, Hours, forecast, hours
from tune.machine import Machine, Shares, this_machine
from tune.pace import Pace
from tune.problems import study_error
from tune.stopping import Asha, NoPlateau, Slope
from tune.study import Resources, Study
from tune.study_checks import check_study
from tune.study_file import write_yaml

VERSIONS_OF: Final = (
    "segtune",
    "ray",
    "optuna",
    "torch",
    "torchvision",
    "detectron2",
    "ultralytics",
    "numpy",
    "opencv-python",
    "pycocotools",
    "pydantic",
    "wandb",
)


@dataclass(frozen=True)
class StudyPlan:
    """A study with everything it leaves open decided.

    Attributes:
        study: As given.
        space: What is sampled; keys without effect are left out.
        written_space: Every domain in the study file's syntax, the preset's ones included.
        points: Warm-start points, in the order they are tried; partial ones are completed.
        fixed: Every key that has one value in all trials, also one without effect.
        no_effect: Keys given that the framework ignores, with the reason.
        rungs: Epochs at which trials are compared.
        data: The prepared data set.
        info: The engine.
        directory: Absolute <storage>/<study>.
        shares: What each trial gets of a machine.
        machine: What this one has.
        versions: Installed versions by distribution.
        git_commit: Of the code, "-dirty" appended where it was changed; "" outside a repository.
        best: What the warm start took from the best-config store, a line each.
    """

    study: Study
    space: SearchSpace
    written_space: Mapping[str, Any]
    points: tuple[Mapping[str, Any], ...]
    fixed: Mapping[str, Any]
    no_effect: Mapping[str, str]
    rungs: tuple[int, ...]
    data: PreparedDataset
    info: EngineInfo
    directory: Path
    shares: Shares
    machine: Machine
    versions: Mapping[str, str]
    git_commit: str
    best: tuple[str, ...] = ()

    @cached_property
    def trials(self) -> int:
        """How many trials there are to run: of a grid, no more than it has points."""
        trials = self.study.budget.trials
        return min(trials, len(self.space.grid())) if self.study.search == "grid" else trials

    @cached_property
    def forecast(self) -> Forecast:
        """Epochs if every trial ran to its end, and as the scheduler will have it."""
        return forecast(
            self.rungs,
            getattr(self.study.scheduler, "reduction_factor", 2),
            trials=self.trials,
            epochs=self.study.budget.epochs,
            concurrent=self.study.resources.concurrent,
            seed=self.study.seed,
        )


def plan_study(study: Study, *, machine: Machine | None = None) -> StudyPlan:
    """Decide everything a study leaves open; reads, but changes nothing.

    Args:
        study: Usually of `load_study`.
        machine: What there is to train on; default: this machine.

    Raises:
        StudyError: The study cannot be run, with a line for everything that is wrong.
    """
    parts = {name: getattr(study, name) for name in Study.model_fields}
    checked = check_study(parts, machine=machine)
    if checked.problems:
        raise study_error(f"study {study.study}", checked.problems)
    assert checked.info is not None
    assert checked.space is not None
    assert checked.data is not None
    there = machine or this_machine()
    return StudyPlan(
        study=study,
        space=checked.space.space,
        written_space=checked.space.written,
        points=checked.points,
        fixed=checked.space.fixed,
        no_effect=checked.space.no_effect,
        rungs=study.scheduler.rungs(study.budget.epochs),
        data=checked.data,
        info=checked.info,
        directory=study.storage / study.study,
        shares=_shares(study.resources, there),
        machine=there,
        versions=_versions(),
        git_commit=_git_commit(),
        best=checked.best,
    )


def estimate_hours(plan: StudyPlan, pace: Pace | None) -> Hours | None:
    """Wall-clock time of a study, or None where the time of an epoch is not known.

    Args:
        plan: The study.
        pace: Of its trials, from past runs or a probe.
    """
    if pace is None:
        return None
    return hours(
        plan.forecast,
        pace,
        trials=plan.trials,
        concurrent=min(plan.study.resources.concurrent, plan.trials),
        budget=plan.study.budget.hours,
    )


def _shares(resources: Resources, machine: Machine) -> Shares:
    cpus, gpus = resources.cpus_per_trial, resources.gpus_per_trial
    own = max(1, machine.cpus // resources.concurrent)
    return Shares(own if cpus == "auto" else cpus, None if gpus == "auto" else gpus)


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str:
    """The commit of this code; only where git tracks this very file."""
    here = Path(__file__)
    if not _git(here.parent, "ls-files", here.name):
        return ""
    return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str:
    """What git says, or "" where it is not installed or has nothing to say."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=1, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


# --- written down


def to_yaml(plan: StudyPlan) -> str:
    """The study as resolved; `load_study` reads it back as the same plan.

    The preset and the best configuration known are written out, so that what becomes of them later
    does not change this study.
    """
    versions = ", ".join(f"{name} {number}" for name, number in plan.versions.items())
    header = [
        f"# Resolved by segtune. Versions: {versions}",
        f"# Code: {plan.git_commit or 'no git commit'}",
        f"# Data set: {plan.data.name}, fingerprint {plan.data.fingerprint}",
        f"# Seed: {plan.study.seed}",
    ]
    return "\n".join([*header, write_yaml(_written(plan))])


def _written(plan: StudyPlan) -> dict[str, Any]:
    """The values of a resolved study file."""
    return {
        **plan.study.model_dump(mode="json"),
        "fixed": dict(plan.study.fixed),
        "search_space": dict(plan.written_space),
        "warm_start": {"points": [dict(point) for point in plan.points]},
    }


def resolved(plan: StudyPlan) -> dict[str, Any]:
    """What is true of a study when it is started, for its `resolved.json`."""
    study = plan.study
    return {
        "layout": LAYOUT,
        "study": study.study,
        "engine": study.trainable,
        "classes": list(plan.data.classes),
        "data": str(plan.data.root),
        "data_name": plan.data.name,
        "fingerprint": plan.data.fingerprint,
        "epochs": study.budget.epochs,
        "trials": plan.trials,
        "rungs": list(plan.rungs),
        "objective": study.objective.model_dump(),
        "search": study.search,
        "seed": study.seed,
        "cpus_per_trial": plan.shares.cpus,
        "gpus": plan.machine.gpus,
        "search_space": {name: _described(p) for name, p in plan.space.parameters.items()},
        "fixed": dict(plan.fixed),
        "no_effect": dict(plan.no_effect),
        "points": [dict(point) for point in plan.points],
        "best": list(plan.best),
        "versions": dict(plan.versions),
        "git_commit": plan.git_commit,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "written": _written(plan),
    }


def _described(parameter: Parameter) -> dict[str, Any]:
    return {
        "domain": str(parameter.domain),
        "when": {key: list(values) for key, values in parameter.when.items()},
    }


# --- for the terminal


def plan_lines(plan: StudyPlan, pace: Pace | None = None) -> list[str]:
    """A plan for people to read, a fact a line."""
    study = plan.study
    facts = [
        ("study", f"{study.study}, results in {plan.directory}"),
        ("data", _data_text(plan.data)),
        ("engine", study.trainable),
        ("objective", _objective_text(study)),
        ("budget", _budget_text(plan)),
        ("search", f"{study.search}, seed {study.seed}"),
        ("scheduler", _scheduler_text(plan)),
        ("plateau", _plateau_text(study)),
        ("resources", _resources_text(plan)),
        ("epochs", _epochs_text(plan.forecast)),
        ("hours", _hours_text(estimate_hours(plan, pace), pace)),
        *_rows("searched", _searched(plan.space)),
        *_rows("fixed", {key: str(value) for key, value in plan.fixed.items()}),
        *_rows("no effect", plan.no_effect),
        *_rows("warm start", _points(plan.points)),
        *(("" if i else "from store", line) for i, line in enumerate(plan.best)),
        ("code", ", ".join(f"{name} {number}" for name, number in plan.versions.items())),
    ]
    return [f"{name:<11} {text}" for name, text in facts]


def _rows(title: str, rows: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Rows under one title, their keys aligned; "none" where there are none."""
    width = max(map(len, rows), default=0)
    if not rows:
        yield title, "none"
    for i, (key, text) in enumerate(rows.items()):
        yield "" if i else title, f"{key:<{width}}  {text}"


def _data_text(data: PreparedDataset) -> str:
    counts = ", ".join(f"{split} {n}" for split, n in data.counts().items())
    counts += f", unlabelled {data.n_unlabelled}" if data.n_unlabelled else ""
    noun = "class" if len(data.classes) == 1 else "classes"
    classes = ", ".join(data.classes)
    return f"{data.name} ({data.root}): images {counts}; {len(data.classes)} {noun}: {classes}"


def _budget_text(plan: StudyPlan) -> str:
    budget = plan.study.budget
    limit = f", at most {budget.hours:g} hours" if budget.hours else ""
    grid = ""
    if plan.study.search == "grid":
        grid = f" (of a grid of {len(plan.space.grid())})"
    return f"{plan.trials} trials{grid} of {budget.epochs} epochs{limit}"


def _scheduler_text(plan: StudyPlan) -> str:
    scheduler = plan.study.scheduler
    if not isinstance(scheduler, Asha):
        return "none, every trial runs to its end"
    rungs = ", ".join(map(str, plan.rungs))
    by = ", constraints aside" if plan.study.objective.limits else ""
    return f"asha, rungs at epochs {rungs}; 1 trial in {scheduler.reduction_factor} passes each{by}"


def _objective_text(study: Study) -> str:
    constraints = [f", {limit}" for limit in study.objective.limits]
    return f"{study.objective.metric} ({study.objective.mode}){''.join(constraints)}"


def _plateau_text(study: Study) -> str:
    rule = study.plateau
    if isinstance(rule, NoPlateau):
        return "none"
    metric = rule.metric or study.objective.metric
    what = (
        f"{metric} gains less than {rule.slope:g} an epoch"
        if isinstance(rule, Slope)
        else f"standard deviation of {metric} below {rule.std:g}"
    )
    return f"{what} over {rule.window} epochs, from epoch {max(rule.grace, rule.window)} on"


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


def _epochs_text(expected: Forecast) -> str:
    if expected.median == expected.full:
        return f"{expected.full}, no trial is stopped early by the scheduler"
    saving, least, most = expected.saving()
    return (
        f"{expected.full} if every trial ran to its end; about {expected.median} expected "
        f"({expected.low} to {expected.high}): saves {saving:.1f}x ({least:.1f}x to {most:.1f}x)"
    )


def _hours_text(estimate: Hours | None, pace: Pace | None) -> str:
    if estimate is None or pace is None:
        return "unknown: no past run of such trials on these data; --probe trains two epochs"
    text = f"about {estimate.median:.2g} ({estimate.low:.2g} to {estimate.high:.2g})"
    return f"{text}, by {pace.measured}" if pace.measured else text


def _searched(space: SearchSpace) -> dict[str, str]:
    return {name: f"{p.domain}{_when_text(p)}" for name, p in space.parameters.items()}


def _when_text(parameter: Parameter) -> str:
    conditions = [
        f"{key} is {' or '.join(map(str, values))}" for key, values in parameter.when.items()
    ]
    return f" (when {' and '.join(conditions)})" if conditions else ""


def _points(points: tuple[Mapping[str, Any], ...]) -> dict[str, str]:
    return {
        str(i): ", ".join(f"{key} {_short(value)}" for key, value in point.items())
        for i, point in enumerate(points)
    }


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
