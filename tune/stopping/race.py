"""A race between a few configurations: those that are behind drop out, the others get more seeds.

After Maron and Moore 1994, "Hoeffding Races", and Birattari et al. 2002, "A Racing Algorithm for
Configuring Metaheuristics" (F-Race), with Student's t instead of a bound or ranks, as a training's
seeds are few. Every candidate is trained with `SEEDS` seeds; after each round, whoever is behind
the leader by a one-sided t test drops out, and each of the others gets one seed more. The spread is
one for all candidates (pooled). The level is divided by the number of comparisons with the leader
(Bonferroni), and once more by two, as the race looks again after every round.

All is a pure function of how the trainings ended, so a race that was killed goes on as it was.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

SEEDS: Final = 2
"""Seeds of each candidate before the first comparison."""

LEVEL: Final = 0.05
"""Share of races that may lose the best candidate, before it is divided."""

COVERAGE: Final = 0.95
"""Share of intervals of a difference that hold the true one."""


@dataclass(frozen=True)
class Training:
    """A training of a candidate with one seed.

    Attributes:
        candidate: Index of the candidate.
        ended: Whether it has ended.
        value: The objective of its best epoch; None where it has not ended, or has failed.
    """

    candidate: int
    ended: bool
    value: float | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended without a value."""
        return self.ended and self.value is None


@dataclass(frozen=True)
class Dropped:
    """A candidate that dropped out, and the comparison that it lost.

    Attributes:
        leader: Candidate that led then.
        seeds: Number of seeds that both had.
        p: Probability of being as far behind by chance alone, one-sided.
    """

    leader: int
    seeds: int
    p: float


@dataclass(frozen=True)
class Standings:
    """The state of a race.

    Attributes:
        mean: Mean objective of each candidate; a failed training counts as `failed_value`.
        spread: Pooled standard deviation of single trainings, failed ones left out; NaN where no
            candidate has two that did not fail.
        degrees: Degrees of freedom of the spread.
        alive: Candidates that cannot be told apart from the leader, the leader first.
        dropped: The comparison that each of the others lost.
        over: Whether nothing is left to train.
        due: Candidate to train next; None where the race is over, or a round has not ended.
    """

    mean: tuple[float, ...]
    spread: float
    degrees: int
    alive: tuple[int, ...]
    dropped: Mapping[int, Dropped]
    over: bool
    due: int | None = None


def level_of(n: int) -> float:
    """Level of each comparison in a race of `n` candidates.

    >>> round(level_of(6), 4)
    0.005
    """
    return LEVEL / (n - 1) / 2


def standings(
    trainings: Sequence[Training], n: int, budget: int, mode: Literal["max", "min"]
) -> Standings:
    """The state of a race after some trainings.

    Args:
        trainings: Every training begun, in the order in which they were.
        n: Number of candidates, at least 2.
        budget: Number of trainings that the race may take.
        mode: Better direction of the objective.
    """
    alive, dropped, seeds, spent = tuple(range(n)), dict[int, Dropped](), SEEDS, n * SEEDS
    own = [[t for t in trainings if t.candidate == c] for c in range(n)]
    while True:
        had = [of[:seeds] for of in own]
        lacking = [c for k in range(seeds) for c in alive if len(own[c]) <= k]
        if lacking or not all(t.ended for c in alive for t in had[c]):
            now = _measured(own, alive, dropped, mode)
            return replace(now, due=lacking[0] if lacking else None)
        now = _after_round(had, alive, dropped, mode)
        alive, dropped = now.alive, dict(now.dropped)
        if len(alive) == 1 or spent + len(alive) > budget:
            return replace(now, over=True)
        seeds, spent = seeds + 1, spent + len(alive)


def failed_value(trainings: Sequence[Training], mode: Literal["max", "min"]) -> float:
    """What a failed training counts as: 0, or the worst value of all where smaller is better."""
    measured = [t.value for t in trainings if t.value is not None]
    return max(measured, default=0.0) if mode == "min" else 0.0


def interval(now: Standings, seeds: Sequence[int]) -> float:
    """Half the width of the interval of a candidate's mean, or of a difference of two.

    Args:
        now: The race.
        seeds: Number of trainings of the candidate, or of both.

    Returns:
        NaN where the spread is not known.
    """
    from scipy.special import stdtrit  # slow: a study is planned without it

    t = float(stdtrit(now.degrees, (1 + COVERAGE) / 2)) if now.degrees else math.nan
    return t * now.spread * math.sqrt(sum(1 / n for n in seeds))


def _after_round(
    had: Sequence[Sequence[Training]],
    alive: Sequence[int],
    dropped: Mapping[int, Dropped],
    mode: Literal["max", "min"],
) -> Standings:
    """The state after a round, in which whoever is behind has dropped out."""
    now = _measured(had, alive, dropped, mode)
    leader, level = now.alive[0], level_of(len(had))
    lost = {
        c: Dropped(leader, len(had[c]), p)
        for c in now.alive[1:]
        if (p := _p_behind(now, had, c, mode)) < level
    }
    left = tuple(c for c in now.alive if c not in lost)
    return replace(now, alive=left, dropped={**dropped, **lost})


def _measured(
    own: Sequence[Sequence[Training]],
    alive: Sequence[int],
    dropped: Mapping[int, Dropped],
    mode: Literal["max", "min"],
) -> Standings:
    """Means and spread of what has ended."""
    sign = 1.0 if mode == "max" else -1.0
    ended = [[t for t in of if t.ended] for of in own]
    lost = failed_value([t for of in ended for t in of], mode)
    means = [_mean([lost if t.value is None else t.value for t in of]) for of in ended]
    good = [[t.value for t in of if t.value is not None] for of in ended]
    degrees = sum(max(0, len(values) - 1) for values in good)
    squares = sum((v - _mean(values)) ** 2 for values in good for v in values)
    spread = math.sqrt(squares / degrees) if degrees else math.nan
    order = sorted(alive, key=lambda c: (math.isnan(means[c]), -sign * means[c], c))
    return Standings(tuple(means), spread, degrees, tuple(order), dropped, over=False)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _p_behind(
    now: Standings,
    had: Sequence[Sequence[Training]],
    candidate: int,
    mode: Literal["max", "min"],
) -> float:
    """One-sided probability that a candidate is as far behind the leader by chance alone."""
    from scipy.special import stdtr  # slow: a study is planned without it

    leader = now.alive[0]
    behind = (now.mean[leader] - now.mean[candidate]) * (1 if mode == "max" else -1)
    if not now.degrees or behind == 0:  # nothing says how far seeds alone lead apart
        return 1.0
    error = now.spread * math.sqrt(1 / len(had[leader]) + 1 / len(had[candidate]))
    return float(stdtr(now.degrees, -behind / error)) if error else 0.0
