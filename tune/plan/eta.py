"""Estimate of the time a study will still take, with its error.

The rest of the study is simulated many times over from what was seen so far: at which epochs
trials end (whatever ended them), how long their epochs take, and how long a worker needs between
two trials. What is not known yet starts from what the scheduler promises: one trial in
`reduction_factor` passes a rung.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tune.plan.pace import Pace
from tune.stopping.asha import cutoff_of

SIMULATIONS: Final = 100

SIMULATED_TRIALS: Final = 300  # waiting ones; a longer queue takes proportionally longer

PRIOR_STUDIES: Final = 30  # simulated, to know how often a trial is stopped at a rung

PRIOR_TRIALS: Final = 200  # at most, in one such study

PRIOR_ARRIVALS: Final = 25.0  # weight of that, in arrivals at a rung

PRIOR_NOISE: Final = 0.4  # standard deviation of a metric at a rung, in units of the trials' spread

PRIOR_GAIN: Final = 0.25  # gain from the first trial to the last, in that unit

PRIOR_SPREAD: Final = 0.25  # standard deviation of log(epoch's duration) from trial to trial

PRIOR_PACES: Final = 3.0  # weight of that, in trials

INTERVAL: Final = (10, 90)  # percentiles of the simulations between which the error lies


class Eta(NamedTuple):
    """Time left.

    Attributes:
        seconds: Expected time left.
        error_s: Half the interval that holds the truth in four of five studies.
    """

    seconds: float
    error_s: float


@dataclass
class _Timed:
    """Times of one trial.

    Attributes:
        before: Epoch from which this attempt goes on.
        started: Time at which the attempt began; None where it is still to begin.
        epoch: Last epoch reported.
        first: Time of the attempt's first report, and its epoch.
        last: Time of the last report.
        ended: True once the trial has ended.
        known_pace_s: Seconds an epoch took in an earlier attempt.
    """

    before: int
    started: float | None
    epoch: int = 0
    first: tuple[float, int] | None = None
    last: float = 0.0
    ended: bool = False
    known_pace_s: float | None = None

    @property
    def begun(self) -> bool:
        """True once the attempt has begun."""
        return self.started is not None

    def pace_s(self) -> float | None:
        """Seconds an epoch takes; None before the first report."""
        if self.first is None:
            return self.known_pace_s
        when, epoch = self.first
        if self.epoch > epoch:
            return (self.last - when) / (self.epoch - epoch)
        if self.known_pace_s is not None or self.started is None:
            return self.known_pace_s
        return (when - self.started) / max(1, epoch - self.before)


@dataclass
class StudyEta:
    """Estimates a study's remaining time from its events; times are seconds of one clock.

    Attributes:
        trials: Number of trials of the whole study.
        epochs: Length of a trial that is never stopped.
        concurrent: Number of trials at once.
        rungs: Epochs at which trials are compared, rising.
        reduction_factor: One trial in this many passes a rung.
        prior: Pace that a probe measured; counts until a trial of this study has shown its own.
    """

    trials: int
    epochs: int
    concurrent: int
    rungs: Sequence[int] = ()
    reduction_factor: int = 2
    prior: Pace | None = None
    _seen: dict[int, _Timed] = field(default_factory=dict)
    _stopped_at: dict[int, int] = field(default_factory=dict)
    _gaps_s: list[float] = field(default_factory=list)
    _idle_since: list[float] = field(default_factory=list)

    def restore(self, trial: int, epoch: int, seconds: float, *, ended: bool) -> None:
        """Take over a trial from an earlier run of this study.

        Args:
            trial: Number of the trial.
            epoch: Last epoch trained.
            seconds: Duration of all its epochs so far.
            ended: True where it has ended, False where it will go on.
        """
        pace = seconds / epoch if epoch else None
        self._seen[trial] = _Timed(epoch, None, epoch, ended=ended, known_pace_s=pace)
        if ended:
            self._stopped_at[trial] = epoch

    def started(self, trial: int, now: float) -> None:
        """Take in that a trial begins, or goes on in a new attempt."""
        earlier = self._seen.get(trial)
        epoch = earlier.epoch if earlier else 0
        pace = earlier.pace_s() if earlier else None
        self._seen[trial] = _Timed(epoch, now, epoch, last=now, known_pace_s=pace)
        if self._idle_since:
            self._gaps_s.append(now - self._idle_since.pop(0))

    def reported(self, trial: int, epoch: int, now: float) -> None:
        """Take in that a trial has trained an epoch."""
        timed = self._seen[trial]
        if epoch <= timed.epoch:
            return
        timed.epoch, timed.last = epoch, now
        if timed.first is None:
            timed.first = (now, epoch)

    def ended(self, trial: int, now: float) -> None:
        """Take in that a trial has ended for good."""
        timed = self._seen.setdefault(trial, _Timed(0, now, last=now))
        timed.ended = True
        self._stopped_at[trial] = timed.epoch
        self._idle_since.append(now)

    def trial(self, trial: int, now: float) -> float | None:
        """Seconds until a trial ends if nothing stops it; None before its pace is known."""
        timed = self._seen[trial]
        pace = timed.pace_s() or self._typical_pace_s()
        if pace is None:
            return None
        spent_s = now - timed.last if timed.begun else 0.0  # of an epoch nobody here saw begin
        return max(0.0, (self.epochs - timed.epoch) * pace - spent_s)

    def study(self, now: float) -> Eta | None:
        """Time until the last trial ends; None before any epoch was reported."""
        if self._typical_pace_s() is None:
            return None
        draw = np.random.default_rng(0)
        future = _Future(*self._hazards(draw), *self._paces(draw), self.epochs, draw)
        overhead_s = self._overhead_s()
        free_s = np.zeros((SIMULATIONS, self.concurrent))
        for timed in self._seen.values():
            if not timed.ended:
                spent_s = now - timed.last - (0.0 if timed.first else overhead_s)
                rest_s = future.seconds(timed.epoch, timed.pace_s())
                _occupy(free_s, np.maximum(0.0, rest_s - (spent_s if timed.begun else 0.0)))
        begun_s = free_s.max(axis=1)
        waiting = self.trials - len(self._seen)
        simulated = min(waiting, SIMULATED_TRIALS)
        for _ in range(simulated):
            _occupy(free_s, future.seconds(0) + overhead_s)
        total_s = free_s.max(axis=1)
        if waiting > simulated:
            total_s = begun_s + (total_s - begun_s) * waiting / simulated
        low, middle, high = np.percentile(total_s, [INTERVAL[0], 50, INTERVAL[1]])
        return Eta(float(middle), float(high - low) / 2)

    # --- what was seen

    def _typical_pace_s(self) -> float | None:
        paces = self._paces_s()
        return float(np.median(paces)) if paces else None

    def _paces_s(self) -> list[float]:
        """Seconds an epoch takes, of every trial that has shown it; the prior's where none has."""
        seen = [pace for timed in self._seen.values() if (pace := timed.pace_s())]
        return seen or ([self.prior.epoch_s] if self.prior else [])

    def _paces(self, draw: np.random.Generator) -> tuple[npt.NDArray[np.float64], float]:
        """Seconds a typical trial's epoch takes, one a simulation, and the trials' spread."""
        logs = np.log(self._paces_s())
        n, mean = len(logs), logs.mean()
        squares = ((logs - mean) ** 2).sum() + PRIOR_PACES * PRIOR_SPREAD**2
        spread = float(np.sqrt(squares / (n - 1 + PRIOR_PACES)))
        return np.exp(draw.normal(mean, spread / np.sqrt(n), SIMULATIONS)), spread

    def _overhead_s(self) -> float:
        """Seconds a worker needs for a trial besides its epochs: before them and after them."""
        starts_s = [
            timed.first[0] - timed.started - (timed.first[1] - timed.before) * pace
            for timed in self._seen.values()
            if timed.started is not None
            and timed.first
            and timed.epoch > timed.first[1]
            and (pace := timed.pace_s())
        ]
        known_s = self.prior.start_s if self.prior else 0.0
        start_s = max(0.0, float(np.median(starts_s))) if starts_s else known_s
        return start_s + (float(np.median(self._gaps_s)) if self._gaps_s else 0.0)

    def _hazards(
        self, draw: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """(K,) epochs at which trials may end early, and (simulations, K) probabilities of that."""
        early = {epoch for epoch in self._stopped_at.values() if epoch < self.epochs}
        at = sorted(early | set(self._promised))
        hazards = np.empty((SIMULATIONS, len(at)))
        for column, epoch in enumerate(at):
            stops = sum(stopped == epoch for stopped in self._stopped_at.values())
            passes = sum(timed.epoch > epoch for timed in self._seen.values())
            if epoch in self._promised:  # the first to come always passes
                passes = max(0, passes - 1)
            promised = self._promised.get(epoch, 0.01)
            weight = PRIOR_ARRIVALS if epoch in self._promised else 1.0
            hazards[:, column] = draw.beta(
                stops + weight * promised, passes + weight * (1 - promised), SIMULATIONS
            )
        return np.array(at, dtype=np.int64), hazards

    @cached_property
    def _promised(self) -> dict[int, float]:
        """Probability by rung that a trial is stopped there, by the scheduler alone."""
        early = [rung for rung in self.rungs if rung < self.epochs]
        stops = stop_rates(len(early), self.reduction_factor, self.trials)
        return dict(zip(early, stops, strict=True))


def stop_rates(n_rungs: int, reduction_factor: int, trials: int) -> list[float]:
    """Probabilities that a trial is stopped at a rung it comes to, from a simulated scheduler.

    Trials differ in quality, are measured with noise, and the later ones are somewhat better. A
    later rung stops fewer: few trials have come there, and only better ones do.
    """
    draw = np.random.default_rng(0)
    arrived, stopped = np.zeros(n_rungs), np.zeros(n_rungs)
    n = min(trials, PRIOR_TRIALS)
    for _ in range(PRIOR_STUDIES):
        quality = draw.normal(size=n) + PRIOR_GAIN * np.arange(n) / n
        values = quality[:, None] + PRIOR_NOISE * draw.normal(size=(n, n_rungs))
        recorded: list[list[float]] = [[] for _ in range(n_rungs)]
        for trial in values.tolist():
            for rung, value in enumerate(trial):
                cutoff = cutoff_of(recorded[rung], reduction_factor)
                passes = cutoff is None or value >= cutoff
                insort(recorded[rung], value)
                arrived[rung] += 1
                if not passes:
                    stopped[rung] += 1
                    break
    return list(((stopped + 1) / (arrived + 2)).tolist())


@dataclass
class _Future:
    """Draws how a trial goes on, once a simulation.

    Attributes:
        stops: (K,) epochs at which a trial may end early, rising.
        hazards: (simulations, K) probabilities that it ends there, if it comes there.
        pace_s: (simulations,) seconds a typical trial's epoch takes.
        spread: Standard deviation of the logarithm of `pace_s` from trial to trial.
        full: Epochs of a trial that is never stopped.
        draw: The source of chance.
    """

    stops: npt.NDArray[np.int64]
    hazards: npt.NDArray[np.float64]
    pace_s: npt.NDArray[np.float64]
    spread: float
    full: int
    draw: np.random.Generator

    def seconds(self, trained: int, pace_s: float | None = None) -> npt.NDArray[np.float64]:
        """(simulations,) seconds until a trial ends.

        Args:
            trained: Number of epochs the trial has behind it.
            pace_s: Seconds its epochs take, if known.
        """
        each_s: Any = pace_s
        if each_s is None:
            each_s = self.pace_s * self.draw.lognormal(0, self.spread, SIMULATIONS)
        left: npt.NDArray[np.float64] = (self._end(trained) - trained) * each_s
        return left

    def _end(self, trained: int) -> npt.NDArray[np.int64]:
        ends = (self.draw.random(self.hazards.shape) < self.hazards) & (self.stops > trained)
        candidates = np.where(ends, self.stops, self.full)
        end: npt.NDArray[np.int64] = candidates.min(axis=1, initial=self.full)
        return np.maximum(end, trained)


def _occupy(free_s: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]) -> None:
    """Let the worker that is free first take a trial, in each simulation."""
    free_s[np.arange(len(free_s)), free_s.argmin(axis=1)] += seconds
