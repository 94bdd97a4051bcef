"""Plan of a training's phases: the epochs of the supervised one and of each round.

The tuner sees one training whose epochs run through all phases. The first `supervised_fraction` of
them is supervised; the rounds share what is left evenly, the first ones having one more where it
does not divide. Every phase has at least one epoch.
"""

from itertools import accumulate


def shortest_training(rounds: int) -> int:
    """Least number of epochs of a training: one for each phase."""
    return rounds + 1


def phase_starts(epochs: int, rounds: int, supervised_fraction: float) -> tuple[int, ...]:
    """First epoch, 0-based, of the supervised phase and of each round.

    Args:
        epochs: Number of epochs of the whole training, at least `rounds` + 1.
        rounds: Number of rounds, at least 0.
        supervised_fraction: Fraction of the epochs before the first round, in (0, 1).

    >>> phase_starts(20, 3, 0.5)
    (0, 10, 14, 17)
    """
    if not rounds:
        return (0,)
    supervised = min(max(round(epochs * supervised_fraction), 1), epochs - rounds)
    each, more = divmod(epochs - supervised, rounds)
    lengths = [each + (number < more) for number in range(rounds - 1)]
    return (0, *accumulate([supervised, *lengths]))


def phase_of(epoch: int, starts: tuple[int, ...]) -> int:
    """Phase of a 0-based epoch: 0 is supervised, 1 the first round."""
    return sum(start <= epoch for start in starts) - 1
