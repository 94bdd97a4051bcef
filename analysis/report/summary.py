"""A study's results as plain values: the report's numbers, before any drawing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from analysis.pages.words import chosen_on_few
from analysis.report.importance import Importance, common_epochs, importance_at, value_at
from analysis.report.leaderboard import gap_level
from analysis.report.pareto import Front, pareto_fronts
from search_spaces.names import written
from trainables.goal import Limit
from trainables.metrics.names import F1_NAMES
from tune.best.configuration import confidences_in
from tune.directory.ranking import best_trial, ranked
from tune.directory.reader import StudyDir, TrialRecord
from tune.directory.trials import UNFINISHED
from tune.plan.cost import Cost, cost_so_far
from tune.stopping.decision import ENDINGS, Rule

ENDED_EARLY = frozenset(Rule) - {Rule.EPOCHS}
"""Rules that end a trial before its last epoch."""

RULES: Mapping[str, str] = ENDINGS


def end_of(trial: TrialRecord) -> str:
    """How a trial ended, in words; of one that has not ended its state."""
    if trial.state in UNFINISHED:
        return trial.state
    return RULES.get(trial.stop_reason, trial.state)


MOST_WHOLE: Final = 200
"""Length up to which a list of trials is shown whole; of a longer one the page shows a part."""

MOST_DRAWN: Final = 100
"""Learning curves drawn of a study that is not shown whole; more hide each other."""


@dataclass(frozen=True)
class ShownPart:
    """The trials of a list that the page shows, and how long the list is.

    Attributes:
        trials: The trials shown, which are the first of the list.
        total: Number of trials in the list.
    """

    trials: tuple[TrialRecord, ...]
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether every trial of the list is shown."""
        return len(self.trials) == self.total

    @property
    def words(self) -> str:
        """Numbers of trials shown and in the list, for a sentence.

        >>> ShownPart((), 2000).words
        '0 of 2,000'
        """
        return f"{len(self.trials):,} of {self.total:,}"


def first_of(trials: Sequence[TrialRecord], most: int = MOST_WHOLE) -> ShownPart:
    """The list of trials, or its first `most` where it is longer than `MOST_WHOLE`."""
    shown = trials if len(trials) <= MOST_WHOLE else trials[:most]
    return ShownPart(tuple(shown), len(trials))


@dataclass(frozen=True)
class Summary:
    """A study's results.

    Attributes:
        name: Name of the study.
        engine: Name of the engine in the registry.
        metric: Name of the objective.
        mode: Direction of the objective in which trials get better.
        limits: The study's constraints.
        trials: Every trial, best first.
        best: The leader, or None where no trial has a value.
        states: Number of trials by state.
        epochs: Length of a full training.
        rungs: Epochs at which ASHA compared.
        epochs_trained: Epochs that all trials together trained.
        epochs_full: Epochs they would have trained had no trial been stopped early; failed and
            unfinished trials count with those they did train.
        seconds: Training time over all trials.
        cost: What it has cost so far; None where its file has no price.
        importances: Importance of the hyperparameters at each common epoch with enough trials, the
            first one always, unless no trial reported anything; more than `MOST_WHOLE` trials are
            compared at the first one alone.
        not_compared: The other common epochs of so large a study.
        log_keys: Hyperparameters sampled on a logarithmic scale.
        domains: Domain in words of every searched hyperparameter.
        fronts: Pareto front of F1 against each measurement error.
        hints: Remarks that a user should know before relying on the result.
    """

    name: str
    engine: str
    metric: str
    mode: Literal["max", "min"]
    limits: tuple[Limit, ...]
    trials: tuple[TrialRecord, ...]
    best: TrialRecord | None
    states: Mapping[str, int]
    epochs: int
    rungs: tuple[int, ...]
    epochs_trained: int
    epochs_full: int
    seconds: float
    cost: Cost | None
    importances: tuple[Importance, ...]
    not_compared: tuple[int, ...]
    log_keys: frozenset[str]
    domains: Mapping[str, str]
    fronts: tuple[Front, ...]
    hints: tuple[str, ...]

    @property
    def saving(self) -> float:
        """Fraction of the epochs that stopping early saved, in [0, 1]."""
        return 1 - self.epochs_trained / self.epochs_full if self.epochs_full else 0.0

    @cached_property
    def stopped(self) -> tuple[TrialRecord, ...]:
        """Trials that a rule ended before their last epoch, by number."""
        ended = [trial for trial in self.trials if trial.stop_reason in ENDED_EARLY]
        return tuple(sorted(ended, key=lambda trial: trial.number))

    @cached_property
    def on_fronts(self) -> tuple[TrialRecord, ...]:
        """Trials on any Pareto front, in the order of the ranking."""
        numbers = {trial.number for front in self.fronts for trial in front.trials}
        return tuple(trial for trial in self.trials if trial.number in numbers)

    @cached_property
    def failures(self) -> tuple[TrialRecord, ...]:
        """Failed trials, by number."""
        return tuple(trial for trial in self.stopped if trial.state == "failed")

    @cached_property
    def f1_metric(self) -> str | None:
        """Name of the F1 whose curves are shown: in the objective's group, else the engine's."""
        group = self.metric.partition("/")[0]
        reported = {name for trial in self.trials for name in trial.best_metrics}
        wanted = (f"{group}/F1", *F1_NAMES)
        return next((name for name in wanted if name in reported), None)

    @property
    def searched(self) -> tuple[str, ...]:
        """Every hyperparameter that is searched, those that trials have first, by importance."""
        return tuple(dict.fromkeys([*self.keys, *self.domains]))

    @cached_property
    def slice_epoch(self) -> int | None:
        """First common epoch at which trials differ in the objective, or None."""
        epochs = common_epochs(self.trials, self.rungs)
        return next((epoch for epoch in epochs if self._differ_at(epoch)), None)

    def _differ_at(self, epoch: int) -> bool:
        return len({value_at(trial, self.metric, epoch) for trial in self.trials} - {None}) > 1

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Sampled hyperparameters, the most important ones first."""
        shares = next((found.shares for found in self.importances if found.shares), {})
        sampled = dict.fromkeys(key for trial in self.trials for key in trial.params)
        return tuple(dict.fromkeys([*shares, *sampled]))

    @property
    def is_large(self) -> bool:
        """Whether the study has more trials than the page shows whole."""
        return len(self.trials) > MOST_WHOLE

    @cached_property
    def with_curve(self) -> ShownPart:
        """Trials whose learning curve is drawn, best first."""
        return first_of([trial for trial in self.trials if trial.metrics], MOST_DRAWN)

    @cached_property
    def with_f1(self) -> ShownPart:
        """Trials whose F1 curve is drawn, best first."""
        name = self.f1_metric
        found = [t for t in self.trials if name and any(name in row for row in t.metrics)]
        return first_of(found, MOST_DRAWN)


def summarise(study: StudyDir, read: Sequence[TrialRecord] | None = None) -> Summary:
    """A study's results, finished or not.

    Args:
        study: The study directory.
        read: Its trials where they have been read before.
    """
    objective = study.study.objective
    trials = tuple(ranked(study.trials() if read is None else read, objective.goal))
    best = best_trial(trials, objective.goal)
    resolved = study.resolved
    domains = _domains(resolved.get("search_space", {}))
    log_keys = frozenset(key for key, text in domains.items() if "log scale" in text)
    rungs = tuple(resolved.get("rungs", ()))
    epochs = int(resolved["epochs"])
    at, not_compared = _compared_at(trials, rungs)
    finished = [trial for trial in trials if trial.state in ("complete", "pruned")]
    others = [trial for trial in trials if trial.state not in ("complete", "pruned")]
    return Summary(
        name=str(resolved["study"]),
        engine=str(resolved["engine"]),
        metric=objective.metric,
        mode=objective.mode,
        limits=objective.limits,
        trials=trials,
        best=best,
        states=Counter(trial.state for trial in trials),
        epochs=epochs,
        rungs=rungs,
        epochs_trained=sum(trial.epochs for trial in trials),
        epochs_full=epochs * len(finished) + sum(trial.epochs for trial in others),
        seconds=sum(trial.seconds for trial in trials),
        cost=cost_so_far(study),
        importances=_importances(trials, objective.metric, objective.mode, at, log_keys),
        not_compared=not_compared,
        log_keys=log_keys,
        domains=domains,
        fronts=pareto_fronts(trials),
        hints=(*_hints(trials, best, epochs), *_choice_hints(best, resolved)),
    )


def _domains(space: Mapping[str, Any]) -> dict[str, str]:
    domains = {}
    for key, found in space.items():
        when = [f"{k} is {' or '.join(map(written, v))}" for k, v in found.get("when", {}).items()]
        condition = f" (only when {' and '.join(when)})" if when else ""
        domains[key] = f"{found['domain']}{condition}"
    return domains


def _compared_at(
    trials: Sequence[TrialRecord], rungs: Sequence[int]
) -> tuple[Sequence[int], tuple[int, ...]]:
    """Common epochs at which the keys are compared, and those at which it would take too long."""
    epochs = common_epochs(trials, rungs)
    return (epochs, ()) if len(trials) <= MOST_WHOLE else (epochs[:1], tuple(epochs[1:]))


def _importances(
    trials: Sequence[TrialRecord],
    metric: str,
    mode: Literal["max", "min"],
    epochs: Sequence[int],
    log_keys: frozenset[str],
) -> tuple[Importance, ...]:
    found = [importance_at(trials, metric, mode, epoch, log_keys) for epoch in epochs]
    return tuple(one for place, one in enumerate(found) if place == 0 or one.shares)


def _hints(trials: Sequence[TrialRecord], best: TrialRecord | None, epochs: int) -> list[str]:
    failed = sum(trial.state == "failed" for trial in trials)
    hints = []
    if failed and failed == len(trials):
        hints.append("Every trial failed; the reasons are listed below.")
    if best is None:
        return hints
    if best.state in UNFINISHED:
        hints.append(f"Trial {best.number}, the best so far, has not ended: it is {best.state}.")
    if best.state == "failed":
        hints.append(f"The best trial, {best.number}, failed later on: {best.message}.")
    if best.violation:
        broken = ", ".join(metric for metric, excess in best.excess.items() if excess > 0)
        hints.append(
            f"No trial keeps the constraints. Trial {best.number} breaks them by the least, "
            f"{best.violation:.3g} ({broken})."
        )
    if best.best_epoch == epochs:
        hints.append(
            f"Trial {best.number} was best at its last epoch: more epochs may bring it further."
        )
    return [*hints, *_gap_hints(best)]


def _choice_hints(best: TrialRecord | None, resolved: Mapping[str, Any]) -> list[str]:
    """A warning about a confidence that was chosen on few objects; none where there is none."""
    chosen = best is not None and bool(confidences_in(best.best_metrics))
    few = chosen_on_few(resolved.get("val_objects")) if chosen else ""
    return [f"{few[0].upper()}{few[1:]}."] if few else []


def _gap_hints(best: TrialRecord) -> list[str]:
    """Hints at a training part that is far ahead of validation, or far behind it."""
    level, gap = gap_level(best.best_metrics), best.best_metrics.get("overfit_gap", 0.0)
    if level in ("warning", "severe"):
        return [
            f"Trial {best.number} overfits ({level}): its training F1 is {gap:.2f} above "
            "validation's. More pictures or stronger augmentation may help."
        ]
    if level == "negative":
        return [
            f"Trial {best.number}: its training F1 is {-gap:.2f} below validation's. Are all "
            "objects of the training pictures marked? Where they are not, the training F1 and the "
            "overfit gap say little about the model."
        ]
    return []
