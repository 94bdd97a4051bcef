"""The race as a study of its own, planned before anything is trained."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from pydantic import ValidationError

from analysis.confirm.candidates import choices, contenders, points, shared
from analysis.errors import ConfirmError
from analysis.models.confirmed import SUFFIXES, Contender, Verdict, read_verdict
from cluster.machines.machine import Machine
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.resplit import resplit
from trainables.files.words import counted
from tune.datasets.opening import whole_data
from tune.directory.layout import JOURNAL
from tune.directory.lock import is_driven
from tune.directory.reader import StudyDir, TrialRecord
from tune.driver.search import trial_seed
from tune.errors import StudyError
from tune.plan.pace import Pace
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_study
from tune.plan.resume import plan_resumed
from tune.stopping.race import SEEDS, level_of
from tune.study.study import Study

TOP: Final = 5

TRAININGS: Final = 25

DATA_SUFFIX: Final = "-data"
"""What the folder of a data set with new parts adds to the race's."""


@dataclass(frozen=True)
class RacePlan:
    """A race that is planned, or goes on.

    Attributes:
        study: The race as a study.
        verdict: What it is to decide, and what it said so far.
        begun: Whether it has begun.
        pace: Speed of the trainings by the search's own trials; None where they were not timed.
    """

    study: StudyPlan
    verdict: Verdict
    begun: bool
    pace: Pace | None


def plan_race(
    study: StudyDir,
    *,
    top: int | None = None,
    trainings: int | None = None,
    concurrent: int | None = None,
    new_parts: bool = False,
    machine: Machine | None = None,
) -> RacePlan:
    """Plan the race of a study's best, or go on with the one that has begun.

    Nothing is written, but for a data set with new parts.

    Args:
        study: The study whose best are confirmed.
        top: Number of its best that race; default 5.
        trainings: Number of trainings that the race may take; default 25.
        concurrent: Number of trainings at once; default: as in the study.
        new_parts: Whether training and validation part are drawn anew.
        machine: Processors to train on, as for `plan_file`.

    Raises:
        ConfirmError: The study runs still, or has nothing to confirm; or the race has begun with
            other numbers.
        StudyError: The race cannot be trained here.
    """
    if study.study.search == "race":
        raise ConfirmError(
            f"{study.path}: expected a study that searched, got a race; `segtune report "
            f"{study.path}` shows its trainings, and confirm with the study that it is of goes on"
        )
    place = _place(study, new_parts)
    if (place / JOURNAL).exists():
        return _going_on(study, place, top, trainings, concurrent)
    if is_driven(study.path):
        raise ConfirmError(
            f"{study.path}: expected a study that has ended or pauses, got one that a driver runs; "
            "confirm its best when it has ended"
        )
    trials = study.trials()
    entered = contenders(study, trials, TOP if top is None else top)
    values = _values(study, trials, place, TRAININGS if trainings is None else trainings)
    if concurrent is not None:
        values["resources"] = {**values["resources"], "concurrent": concurrent}
    _check_budget(values["budget"]["trials"], len(entered))
    if new_parts:
        values["data"] = str(_new_parts(study, place, values["seed"]).root)
    planned, entered = _planned(values, entered, machine)
    racing = sum(not one.refused for one in entered)
    verdict = Verdict(
        study=study.study.study,
        metric=planned.study.objective.metric,
        mode=planned.study.objective.mode,
        fingerprint=planned.data.fingerprint,
        resplit=new_parts,
        budget=planned.study.budget.trials,
        level=level_of(racing),
        contenders=tuple(entered),
    )
    return RacePlan(planned, verdict, False, _pace(study, trials, entered))


def _place(study: StudyDir, new_parts: bool) -> Path:
    """Directory of the race's study, beside that of the study."""
    return study.path.with_name(f"{study.path.name}{SUFFIXES[new_parts]}")


def _going_on(
    study: StudyDir,
    place: Path,
    top: int | None,
    trainings: int | None,
    concurrent: int | None,
) -> RacePlan:
    """A race that has begun: with the candidates and the budget that were stated then."""
    verdict = read_verdict(place)
    if verdict is None or verdict.study != study.study.study:
        raise ConfirmError(
            f"{place}: expected the race of {study.study.study}, got another study; move it away"
        )
    best = sum(one.searched is not None for one in verdict.contenders)
    for option, given, began in (
        ("--top", top, best),
        ("--trainings", trainings, verdict.budget),
    ):
        if given is not None and given != began:
            raise ConfirmError(
                f"{option}: expected {began}, with which the race in {place} began, got {given}; "
                "its rules stand before its results. To race anew, move that folder away"
            )
    overrides = [] if concurrent is None else [f"resources.concurrent={concurrent}"]
    return RacePlan(plan_resumed(StudyDir.open(place), overrides), verdict, True, None)


def _values(
    study: StudyDir, trials: Sequence[TrialRecord], place: Path, trainings: int
) -> dict[str, Any]:
    """The study file of the race, its space aside: as the study, with nothing that stops early."""
    own = study.study
    return {
        **json.loads(own.model_dump_json(include={"trainable", "objective", "train_metrics"})),
        **json.loads(own.model_dump_json(include={"resources", "tracking", "price", "data"})),
        "study": place.name,
        "storage": str(place.parent),
        "budget": {"trials": trainings, "epochs": own.budget.epochs},
        "search": "race",
        "scheduler": {"kind": "none"},
        "plateau": {"kind": "none"},
        "seed": _fresh_seed(own.seed, {t.seed for t in trials}, trainings),
    }


def _fresh_seed(seed: int, used: set[int], trainings: int) -> int:
    """A seed of a study none of whose trials has a seed of the search's."""
    fresh = seed + 1
    while any(trial_seed(fresh, number) in used for number in range(trainings)):
        fresh += 1
    return fresh


def _check_budget(trainings: int, n: int) -> None:
    if trainings < SEEDS * n:
        raise ConfirmError(
            f"--trainings: expected at least {SEEDS * n}, {SEEDS} for each of the {n} candidates, "
            f"got {trainings}; race fewer with --top"
        )


def _planned(
    values: dict[str, Any], entered: list[Contender], machine: Machine | None
) -> tuple[StudyPlan, list[Contender]]:
    """The plan, and the candidates with the default refused where that alone cannot be trained.

    Raises:
        StudyError: Others cannot be trained either.
        ConfirmError: There is only one to race.
    """
    if len(entered) < 2:
        raise ConfirmError(
            f"expected at least two different configurations, got {entered[0].name} alone; there "
            "is nothing to compare"
        )
    try:
        return _plan(values, entered, machine), entered
    except StudyError as error:
        *others, default = entered
        if not default.is_default or len(others) < 2:
            raise
        try:
            planned = _plan(values, others, machine)
        except StudyError:
            raise error from None
        why = " ".join(str(error).split("\n")[1:]).strip() or str(error)
        return planned, [*others, default.model_copy(update={"refused": why})]


def _plan(
    values: dict[str, Any], racing: Sequence[Contender], machine: Machine | None
) -> StudyPlan:
    whole = {
        **values,
        "fixed": shared(racing),
        "search_space": choices(racing),
        "warm_start": {"points": points(racing)},
    }
    try:
        return plan_study(Study.model_validate(whole), machine=machine)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfirmError(
            f"{values['study']}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error


def _new_parts(study: StudyDir, place: Path, seed: int) -> PreparedDataset:
    data = whole_data(study.study.data)
    return resplit(data, place.with_name(f"{place.name}{DATA_SUFFIX}"), seed)


def _pace(
    study: StudyDir, trials: Sequence[TrialRecord], entered: Sequence[Contender]
) -> Pace | None:
    """Speed of the candidates' own trials in the search."""
    numbers = {one.number for one in entered}
    own = [t for t in trials if t.number in numbers]
    epochs = [m["epoch_seconds"] for t in own for m in t.metrics if "epoch_seconds" in m]
    if not epochs:
        return None
    told = f"{counted(len(own), 'trial')} of {study.study.study}"
    return Pace(median(epochs), 0.0, told)
