"""Shares of the hyperparameters in what made trials differ, judged at one common epoch.

A stopped trial's value at epoch 25 and a finished one's at epoch 250 must not be mixed: every
trial that reached the epoch is compared by its value *there*, whatever became of it later.

Sources: Hutter, Hoos, Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter
Importance" (fANOVA, Optuna's implementation); Breiman 2001, "Random Forests" (out-of-bag
estimate).
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from analysis.report.forest import Binned, shares_of
from tune.directory.reader import TrialRecord

FEWEST_TRIALS = 10
"""Below this many compared trials a ranking of the keys is chance."""

NOISE = 0.1
"""Out-of-bag R^2 below which the shares say nothing.

On values that are pure noise (10 to 60 trials of 4 or 17 keys, 20 draws each) the 95th percentile
was at most 0.07 from 40 trials on and 0.26 in the worst case of fewer; the median was below 0.
"""


MOST_IN_FULL: Final = 200
"""Compared trials up to which Optuna's forest gives the shares, and scikit-learn's the R^2.

Over 2,000 trials they took 15 s, `analysis.report.forest` 0.5 s, and no share of the three keys
differed by more than 0.05.
"""


@dataclass(frozen=True)
class Importance:
    """Shares of the keys in what made trials differ at one epoch.

    Attributes:
        epoch: Epoch at which the trials are compared.
        compared: Number of trials that reached the epoch.
        left_out: Number of trials that never did.
        shares: Share of each key, largest first; they sum to 1. Empty where `reason` says why.
        explained: Out-of-bag R^2 of a random forest over the same trials: the part of a trial's
            difference that the keys predict where the forest has not seen it. At or below 0: none.
        not_assessed: Keys that only some of the trials have, or that never varied.
        reason: Why there are no shares, or "".
    """

    epoch: int
    compared: int
    left_out: int
    shares: Mapping[str, float]
    explained: float
    not_assessed: tuple[str, ...]
    reason: str = ""

    @property
    def meaningful(self) -> bool:
        """Whether the shares are more than noise."""
        return bool(self.shares) and self.explained >= NOISE


def common_epochs(trials: Sequence[TrialRecord], rungs: Sequence[int]) -> list[int]:
    """Epochs at which trials can be compared, the first being that of the most trials.

    The rungs that any trial reached; without any, the last epoch that every trial reached which
    did not fail.
    """
    reached = max((trial.epochs for trial in trials), default=0)
    epochs = [rung for rung in rungs if rung <= reached]
    if epochs:
        return epochs
    shared = min((t.epochs for t in trials if t.state != "failed" and t.epochs), default=0)
    return [shared] if shared else []


def value_at(trial: TrialRecord, metric: str, epoch: int) -> float | None:
    """A finite metric of a trial at an epoch, or None."""
    for row in trial.metrics:
        if row["epoch"] == epoch:
            value = row.get(metric)
            return value if value is not None and math.isfinite(value) else None
    return None


def importance_at(
    trials: Sequence[TrialRecord],
    metric: str,
    mode: Literal["max", "min"],
    epoch: int,
    log_keys: frozenset[str] = frozenset(),
) -> Importance:
    """Shares of the sampled keys in the differences of `metric` at `epoch`.

    Args:
        trials: Trials of one study, stopped ones included.
        metric: Name of the objective.
        mode: Direction of the objective in which trials get better.
        epoch: Epoch at which the trials are compared.
        log_keys: Keys sampled on a logarithmic scale.
    """
    found = [(trial.params, value_at(trial, metric, epoch)) for trial in trials]
    points = [(params, value) for params, value in found if value is not None]
    keys, not_assessed = _assessable([params for params, _ in points])
    values = np.array([value for _, value in points])
    reason = _reason(values, keys)
    result = Importance(
        epoch, len(points), len(trials) - len(points), {}, 0.0, not_assessed, reason
    )
    if reason:
        return result
    params = [{key: point[key] for key in keys} for point, _ in points]
    distributions = {key: _distribution([p[key] for p in params], key in log_keys) for key in keys}
    if len(points) > MOST_IN_FULL:
        shares, explained = _in_bins(params, values, distributions)
    else:
        shares = _shares(params, values, distributions, mode)
        explained = _explained(params, values, distributions)
    return Importance(epoch, len(points), result.left_out, shares, explained, not_assessed)


def _assessable(points: Sequence[Mapping[str, Any]]) -> tuple[list[str], tuple[str, ...]]:
    every = list(dict.fromkeys(key for params in points for key in params))
    keys = [
        key
        for key in every
        if all(key in params for params in points) and len({repr(p[key]) for p in points}) > 1
    ]
    return keys, tuple(key for key in every if key not in keys)


def _reason(values: npt.NDArray[np.float64], keys: Sequence[str]) -> str:
    if len(values) < FEWEST_TRIALS:
        return (
            f"too few trials to say: {len(values)} reached the epoch, "
            f"{FEWEST_TRIALS} or more are needed"
        )
    if not keys:
        return "no key was varied in all of the trials"
    if float(np.ptp(values)) < 1e-12:
        return "all trials have the same value"
    return ""


def _distribution(values: Sequence[Any], log: bool) -> BaseDistribution:
    """The observed range of a key; its bounds need not be those of the study."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=log and low > 0)
    return CategoricalDistribution(tuple(dict.fromkeys(values)))


def _in_bins(
    params: Sequence[Mapping[str, Any]],
    values: npt.NDArray[np.float64],
    distributions: Mapping[str, BaseDistribution],
) -> tuple[dict[str, float], float]:
    """Shares of the keys, largest first, and R^2 of many trials.

    A logarithmic key counts by its range and not by its logarithm's, as in Optuna's forest.
    """
    bins = [
        Binned.of_choices([p[key] for p in params])
        if isinstance(known, CategoricalDistribution)
        else Binned.of_numbers(np.array([p[key] for p in params], float))
        for key, known in distributions.items()
    ]
    found, explained = shares_of(bins, values)
    shares = dict(zip(distributions, found.tolist(), strict=True))
    return dict(sorted(shares.items(), key=lambda item: item[1], reverse=True)), explained


def _shares(
    params: Sequence[Mapping[str, Any]],
    values: npt.NDArray[np.float64],
    distributions: Mapping[str, BaseDistribution],
    mode: Literal["max", "min"],
) -> dict[str, float]:
    from optuna.importance import (  # slow: scikit-learn, which few and very many trials do without
        FanovaImportanceEvaluator,
        get_param_importances,
    )

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
    study.add_trials(
        [_frozen(p, float(v), distributions) for p, v in zip(params, values, strict=True)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {key: float(share) for key, share in found.items()}


def _frozen(
    params: Mapping[str, Any], value: float, distributions: Mapping[str, BaseDistribution]
) -> FrozenTrial:
    typed = {
        key: float(params[key]) if isinstance(known, FloatDistribution) else params[key]
        for key, known in distributions.items()
    }
    return create_trial(params=typed, distributions=dict(distributions), value=value)


def _explained(
    params: Sequence[Mapping[str, Any]],
    values: npt.NDArray[np.float64],
    distributions: Mapping[str, BaseDistribution],
) -> float:
    from sklearn.ensemble import RandomForestRegressor  # slow, as above

    columns = [c for key, known in distributions.items() for c in _columns(params, key, known)]
    forest = RandomForestRegressor(200, oob_score=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few trials: some are in every tree's bag
        forest.fit(np.column_stack(columns), values)
    return float(forest.oob_score_)


def _columns(
    params: Sequence[Mapping[str, Any]], key: str, known: BaseDistribution
) -> list[npt.NDArray[np.float64]]:
    given = [p[key] for p in params]
    if isinstance(known, CategoricalDistribution):
        return [np.array([v == choice for v in given], float) for choice in known.choices]
    numbers = np.array(given, float)
    return [np.log(numbers) if isinstance(known, FloatDistribution) and known.log else numbers]
