"""What a study found, as plain values: the report's numbers, before any drawing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.pages.words import chosen_on_few
from analysis.report.importance import Importance, common_epochs, importance_at
from analysis.report.leaderboard import gap_level
from analysis.report.pareto import Front, pareto_fronts
from trainables.goal import Limit
from trainables.metrics.names import F1_NAMES
from tune.best.configuration import confidences_in
from tune.directory.ranking import best_trial, ranked
from tune.directory.reader import StudyDir, TrialRecord

ENDED_EARLY = frozenset({"asha", "plateau", "collapsed", "diverged", "budget", "patience", "error"})

RULES: Mapping[str, str] = {
    "epochs": "trained to the end",
    "plateau": "converged",
    "patience": "converged (engine's patience)",
    "asha": "stopped by ASHA",
    "collapsed": "collapsed",
    "diverged": "diverged",
    "budget": "out of time",
    "error": "failed",
}
"""What ended a trial, in words; keys are `tune.stopping.decision.Rule`."""


@dataclass(frozen=True)
class Summary:
    """A study's results.

    Attributes:
        name: Of the study.
        engine: Name in the registry.
        metric: The objective.
        mode: Its direction.
        limits: The study's constraints.
        trials: Best first.
        best: The leader, or None where no trial has a value.
        states: Trials by state.
        epochs: Length of a full training.
        rungs: Epochs at which ASHA compared.
        epochs_trained: Over all trials.
        epochs_full: The same had no trial been stopped early (failed and unfinished trials count
            with what they trained).
        seconds: Training time over all trials.
        importances: One for each common epoch with enough trials; the first one always, unless
            no trial reported anything.
        log_keys: Keys sampled on a logarithmic scale.
        domains: Sampled key to its domain in words.
        fronts: Of F1 against each measurement error.
        hints: What a user should know before relying on the result.
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
    importances: tuple[Importance, ...]
    log_keys: frozenset[str]
    domains: Mapping[str, str]
    fronts: tuple[Front, ...]
    hints: tuple[str, ...]

    @property
    def saving(self) -> float:
        """Fraction of the epochs that stopping early saved, in [0, 1]."""
        return 1 - self.epochs_trained / self.epochs_full if self.epochs_full else 0.0

    @property
    def stopped(self) -> tuple[TrialRecord, ...]:
        """Trials that a rule ended before their last epoch, by number."""
        ended = [trial for trial in self.trials if trial.stop_reason in ENDED_EARLY]
        return tuple(sorted(ended, key=lambda trial: trial.number))

    @property
    def on_fronts(self) -> tuple[TrialRecord, ...]:
        """Trials on any Pareto front, in the order of the ranking."""
        numbers = {trial.number for front in self.fronts for trial in front.trials}
        return tuple(trial for trial in self.trials if trial.number in numbers)

    @property
    def failures(self) -> tuple[TrialRecord, ...]:
        """Failed trials, by number."""
        return tuple(trial for trial in self.stopped if trial.state == "failed")

    @property
    def f1_metric(self) -> str | None:
        """The F1 whose curves are shown: of the objective's group, else the engine's first."""
        group = self.metric.partition("/")[0]
        reported = {name for trial in self.trials for name in trial.best_metrics}
        wanted = (f"{group}/F1", *F1_NAMES)
        return next((name for name in wanted if name in reported), None)

    @property
    def keys(self) -> tuple[str, ...]:
        """Sampled keys, the most important ones first."""
        shares = self.importances[0].shares if self.importances else {}
        sampled = dict.fromkeys(key for trial in self.trials for key in trial.params)
        return tuple(dict.fromkeys([*shares, *sampled]))


def summarise(study: StudyDir) -> Summary:
    """Read a study's results, finished or not."""
    objective = study.study.objective
    trials = tuple(ranked(study.trials(), objective.goal))
    best = best_trial(trials, objective.goal)
    resolved = study.resolved
    domains = _domains(resolved.get("search_space", {}))
    log_keys = frozenset(key for key, text in domains.items() if "log scale" in text)
    rungs = tuple(resolved.get("rungs", ()))
    epochs = int(resolved["epochs"])
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
        importances=_importances(trials, objective.metric, objective.mode, rungs, log_keys),
        log_keys=log_keys,
        domains=domains,
        fronts=pareto_fronts(trials),
        hints=(*_hints(trials, best, epochs), *_choice_hints(best, resolved)),
    )


def _domains(space: Mapping[str, Any]) -> dict[str, str]:
    domains = {}
    for key, found in space.items():
        when = [f"{k} is {' or '.join(map(str, v))}" for k, v in found.get("when", {}).items()]
        condition = f" (only when {' and '.join(when)})" if when else ""
        domains[key] = f"{found['domain']}{condition}"
    return domains


def _importances(
    trials: Sequence[TrialRecord],
    metric: str,
    mode: Literal["max", "min"],
    rungs: Sequence[int],
    log_keys: frozenset[str],
) -> tuple[Importance, ...]:
    epochs = common_epochs(trials, rungs)
    found = [importance_at(trials, metric, mode, epoch, log_keys) for epoch in epochs]
    return tuple(one for place, one in enumerate(found) if place == 0 or one.shares)


def _hints(trials: Sequence[TrialRecord], best: TrialRecord | None, epochs: int) -> list[str]:
    failed = sum(trial.state == "failed" for trial in trials)
    hints = []
    if failed and failed == len(trials):
        hints.append("Every trial failed; the reasons are listed below.")
    if best is None:
        return hints
    if best.state in ("running", "waiting"):
        hints.append(f"Trial {best.number}, the best so far, is still training.")
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
    """What to make of a training part that is far ahead of validation, or far behind it."""
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
