"""The verdict of a race, read off the trials of its study."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from analysis.models.confirmed import Contender, Verdict
from tune.directory.reader import StudyDir, TrialRecord
from tune.directory.running import counting_value, trainings
from tune.directory.trials import UNFINISHED
from tune.stopping.race import Standings, failed_value, interval, standings

SAME_COST: Final = 1.1
"""Factor up to which two candidates cost the same; times of a machine differ by as much."""


@dataclass(frozen=True)
class _Told:
    """A race and its trials, by candidate.

    Attributes:
        now: Its state.
        own: Trials that have ended, of each candidate.
        lost: What a failed training counts as.
    """

    now: Standings
    own: Sequence[Sequence[TrialRecord]]
    lost: float

    @property
    def seeds(self) -> list[int]:
        """Number of trainings of each candidate."""
        return [len(trials) for trials in self.own]


def judged(verdict: Verdict, race: StudyDir) -> Verdict:
    """A verdict with what the race's study holds by now; its test figures stay.

    Args:
        verdict: As it was stated before, or written last.
        race: The race's study.
    """
    told = _told(verdict, race.trials())
    now, racing = told.now, len(told.own)
    entered = [
        _measured(one, c, told) if c < racing else one.model_copy(update={"mean": told.lost})
        for c, one in enumerate(verdict.contenders)
    ]
    found: dict[str, Any] = {
        "contenders": tuple(entered),
        "spread": _known(now.spread),
        "degrees": now.degrees,
        "alive": now.alive,
        "over": now.over,
    }
    good = [c for c in now.alive if median_training(told.own[c]) is not None]
    if now.over and good:
        chosen = cheapest(good, entered, told.lost)
        found |= {"recommended": chosen, "trial": median_training(told.own[chosen])}
        found |= _gain(entered, chosen, told)
    return verdict.model_copy(update=found)


def cheapest(good: Sequence[int], entered: Sequence[Contender], lost: float) -> int:
    """The cheapest candidate; of those that cost hardly more than it, the best.

    One whose trainings reached no more than a failed one, as where they find nothing, costs little
    for nothing: it is chosen only where none reached more, though so few trainings may not tell
    them apart.

    Args:
        good: Candidates that cannot be told apart, the best first.
        entered: All candidates, measured.
        lost: What a failed training counts as.
    """
    of_use = [c for c in good if entered[c].mean != lost] or good
    costs = {c: entered[c].seconds or math.inf for c in of_use}
    limit = SAME_COST * min(costs.values())
    return next(c for c in of_use if costs[c] <= limit)


def _told(verdict: Verdict, trials: Sequence[TrialRecord]) -> _Told:
    racing = [one for one in verdict.contenders if not one.refused]
    seen = trainings(trials)
    now = standings(seen, len(racing), verdict.budget, verdict.mode)
    ended = [t for t in trials if t.state not in UNFINISHED]
    own = [[t for t in ended if t.warm_start == c] for c in range(len(racing))]
    return _Told(now, own, failed_value(seen, verdict.mode))


def _measured(one: Contender, candidate: int, told: _Told) -> Contender:
    """A candidate with what its trainings reached."""
    trials, now = told.own[candidate], told.now
    drop = now.dropped.get(candidate)
    return one.model_copy(
        update={
            "trials": tuple(t.number for t in trials),
            "values": tuple(counting_value(t) for t in trials),
            "failures": tuple(_failure(t, told.lost) for t in trials if counting_value(t) is None),
            "mean": _known(now.mean[candidate]),
            "half_width": _known(interval(now, (len(trials),))) if trials else None,
            "seconds": _cost([t for t in trials if counting_value(t) is not None]),
            "dropped_p": None if drop is None else drop.p,
        }
    )


def _cost(trials: Sequence[TrialRecord]) -> float | None:
    """Duration of a training, by its median epoch: what a kill or a busy hour took is left out."""
    timed = [m["epoch_seconds"] for t in trials for m in t.metrics if "epoch_seconds" in m]
    if not timed:
        return median([t.seconds for t in trials]) if trials else None
    return median(timed) * median([t.epochs for t in trials])


def _failure(trial: TrialRecord, lost: float) -> str:
    why = trial.message if trial.state == "failed" else "it breaks a constraint of the study"
    return f"trial {trial.number} failed and counts as {lost:g}: {why}"


def median_training(trials: Sequence[TrialRecord]) -> int | None:
    """Number of the training with the median value, the lower of two; None without any."""
    good = sorted((v, t.number) for t in trials if (v := counting_value(t)) is not None)
    return good[(len(good) - 1) // 2][1] if good else None


def _gain(entered: Sequence[Contender], chosen: int, told: _Told) -> dict[str, float | None]:
    """By how much the recommended candidate is better than the default."""
    default = next((c for c, one in enumerate(entered) if one.is_default), None)
    mean = entered[chosen].mean
    if default is None or default == chosen or mean is None:
        return {}
    other = entered[default].mean
    gain = None if other is None else mean - other
    if default >= len(told.own):  # it could not be trained
        return {"gain": gain, "gain_half_width": None}
    seeds = (told.seeds[chosen], told.seeds[default])
    return {"gain": gain, "gain_half_width": _known(interval(told.now, seeds))}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
