"""Forecast of a study's cost: its own scheduler (ASHA) run on simulated learning curves.

Source of the scheduler: Li et al. 2020, arXiv:1810.05934 (`tune.stopping.asha`).

Trials are taken as drawn at random from one population of curves, each reported in the order in
which `concurrent` workers would arrive. Three things are left out: a sampler that gets better lets
later trials pass more often, so saves less; the plateau rule and a budget in hours save more.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tune.plan.pace import Pace
from tune.stopping.asha import Rungs

SIMULATED_TRIALS: Final = 4_000  # over all simulated studies: some tens of milliseconds

MAX_TRIALS: Final = 400  # in one simulated study; a longer one saves at the same rate

MIN_STUDIES: Final = 10

NOISE: Final = 0.02  # standard deviation of a metric

RAY_S: Final = 3.0  # from the start of a study to that of its first trial; 2.7 s on 2 idle cores

PACE_SPREAD: Final = 0.2  # standard deviation of log(epoch's duration) from trial to trial


@dataclass(frozen=True)
class Forecast:
    """Epochs a study will train, over all trials.

    Attributes:
        full: Epochs if every trial ran to its end.
        median: Expected epochs: half of the simulated studies took less.
        low: 5th percentile of the simulated studies.
        high: 95th percentile.
    """

    full: int
    median: int
    low: int
    high: int

    def saving(self) -> tuple[float, float, float]:
        """Factor by which epochs are fewer than `full`: expected, least, most."""
        return self.full / self.median, self.full / self.high, self.full / self.low


@dataclass(frozen=True)
class Hours:
    """Wall-clock time of a study, in hours; each at most its budget."""

    median: float
    low: float
    high: float


def forecast(
    rungs: Sequence[int],
    reduction_factor: int,
    *,
    trials: int,
    epochs: int,
    concurrent: int = 1,
    seed: int = 0,
) -> Forecast:
    """Run the scheduler on simulated studies.

    Args:
        rungs: Epochs at which trials are compared, rising; empty for no early stopping.
        reduction_factor: One trial in this many passes a rung.
        trials: Number of trials of the study.
        epochs: Length of a trial that is never stopped.
        concurrent: Number of trials at once.
        seed: Seed of the simulation.

    >>> forecast((), 2, trials=10, epochs=20)
    Forecast(full=200, median=200, low=200, high=200)
    """
    full = trials * epochs
    early = tuple(rung for rung in rungs if rung < epochs)
    if not early:
        return Forecast(full, full, full, full)
    n = min(trials, MAX_TRIALS)
    random = np.random.default_rng(seed)
    used = [
        _simulate(
            early,
            reduction_factor,
            _curves(early, epochs, n, random),
            random.lognormal(0, PACE_SPREAD, size=n),
            epochs=epochs,
            concurrent=concurrent,
        )
        for _ in range(max(MIN_STUDIES, min(100, SIMULATED_TRIALS // n)))
    ]
    low, median, high = np.percentile(used, [5, 50, 95]) * trials / n
    return Forecast(full, round(float(median)), round(float(low)), round(float(high)))


def _curves(
    rungs: Sequence[int], epochs: int, trials: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(trials, rungs) values of saturating curves of different height and speed, with noise."""
    height = random.beta(4, 2, size=(trials, 1))
    time_constant = epochs * np.exp(random.uniform(np.log(0.02), np.log(0.5), size=(trials, 1)))
    noise = random.normal(0, NOISE, size=(trials, len(rungs)))
    values: npt.NDArray[np.float64] = height * (1 - np.exp(-np.array(rungs, float) / time_constant))
    return values + noise


def _simulate(
    rungs: tuple[int, ...],
    reduction_factor: int,
    curves: npt.NDArray[np.float64],
    paces: npt.NDArray[np.float64],
    *,
    epochs: int,
    concurrent: int,
) -> int:
    """Epochs that one study trains, all trials together.

    Args:
        rungs: Epochs at which trials are compared, below `epochs`.
        reduction_factor: One trial in this many passes a rung.
        curves: (trials, rungs) values of the objective.
        paces: (trials,) relative time an epoch takes.
        epochs: Length of a whole trial.
        concurrent: Number of trials at once.
    """
    memory = Rungs(rungs, reduction_factor)
    trials = len(curves)
    waiting = iter(range(min(concurrent, trials), trials))
    arrivals = [(rungs[0] * paces[trial], trial, 0) for trial in range(min(concurrent, trials))]
    heapq.heapify(arrivals)
    used = 0
    while arrivals:
        now, trial, index = heapq.heappop(arrivals)
        if index == len(rungs):
            used += epochs
        else:
            value = float(curves[trial, index])
            go_on = memory.compare(rungs[index], value).go_on
            memory.record(trial, rungs[index], value)
            if go_on:
                until = rungs[index + 1] if index + 1 < len(rungs) else epochs
                heapq.heappush(
                    arrivals, (now + (until - rungs[index]) * paces[trial], trial, index + 1)
                )
                continue
            used += rungs[index]
        following = next(waiting, None)
        if following is not None:
            heapq.heappush(arrivals, (now + rungs[0] * paces[following], following, 0))
    return used


def hours(
    expected: Forecast, pace: Pace, *, trials: int, concurrent: int, budget: float | None
) -> Hours:
    """Wall-clock time of a study, Ray's start included.

    Args:
        expected: Epochs that the study will train.
        pace: Speed of one trial while `concurrent` run.
        trials: Number of trials.
        concurrent: Number of trials at once.
        budget: The study's own limit, in hours.
    """
    limit = float("inf") if budget is None else budget
    median, low, high = (
        min(limit, (RAY_S + (n * pace.epoch_s + trials * pace.start_s) / concurrent) / 3600)
        for n in (expected.median, expected.low, expected.high)
    )
    return Hours(median, low, high)
