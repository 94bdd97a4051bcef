"""How often `segtune confirm` is right: simulated races between candidates of known means.

    python -m benchmarks.races [--races 1000]

Values are in standard deviations between seeds. Printed for each case: the share of races that name
a single winner, that name the right one, that keep a best candidate in the set, and the trainings.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tune.stopping.race import Training, standings

BUDGET: Final = 25

CASES: Final[Mapping[str, Sequence[float]]] = {
    "noise": (0, 0, 0, 0, 0, 0),
    "lead of 0.5 SD": (0.5, 0, 0, 0, 0, 0),
    "lead of 1 SD": (1, 0, 0, 0, 0, 0),
    "lead of 2 SD": (2, 0, 0, 0, 0, 0),
    "lead of 3 SD": (3, 0, 0, 0, 0, 0),
    "lead of 4 SD": (4, 0, 0, 0, 0, 0),
    "a staircase": (1, 0.8, 0.6, 0.4, 0.2, 0),
}
"""True mean of each candidate."""


@dataclass(frozen=True)
class Races:
    """Shares of many races, each in [0, 1].

    Attributes:
        single: Share that named one winner.
        right: Share that named one of the best alone.
        kept: Share in which a best candidate stayed in the set; the mean over all that are best.
        trainings: Mean number of trainings.
    """

    single: float
    right: float
    kept: float
    trainings: float


def simulate(means: Sequence[float], races: int, seed: int = 0) -> Races:
    """Run races between candidates of these true means.

    Args:
        means: True mean of each candidate, in standard deviations between seeds.
        races: Number of races.
        seed: Seed of all random numbers.
    """
    random = np.random.default_rng(seed)
    best = {c for c, mean in enumerate(means) if mean == max(means)}
    sets, trainings = zip(*(_race(means, random) for _ in range(races)), strict=True)
    return Races(
        single=float(np.mean([len(left) == 1 for left in sets])),
        right=float(np.mean([len(left) == 1 and left <= best for left in sets])),
        kept=float(np.mean([len(left & best) / len(best) for left in sets])),
        trainings=float(np.mean(trainings)),
    )


def _race(means: Sequence[float], random: np.random.Generator) -> tuple[set[int], int]:
    """The candidates left at the end of a race, and the number of its trainings."""
    begun: list[Training] = []
    while (now := standings(begun, len(means), BUDGET, "max")).due is not None:
        begun.append(Training(now.due, ended=True, value=float(random.normal(means[now.due]))))
    return set(now.alive), len(begun)


def main() -> None:
    """Print a table of all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=1000)
    races = parser.parse_args().races
    print(f"{races} races of 6 candidates, at most {BUDGET} trainings each")
    print(f"{'':<16}{'single':>9}{'right':>9}{'kept':>9}{'trainings':>11}")
    for name, means in CASES.items():
        found = simulate(means, races)
        shares = "".join(f"{value:9.1%}" for value in (found.single, found.right, found.kept))
        print(f"{name:<16}{shares}{found.trainings:11.1f}")


if __name__ == "__main__":
    main()
