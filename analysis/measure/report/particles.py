"""Which particles a page shows: the unusual ones, and an even sample by size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.measure.geometry.calibration import UM_PER_UNIT
from analysis.measure.geometry.runs import Floats, Ints
from analysis.measure.job.stages import CLASS
from analysis.measure.tables import BOXES, SIZES, DonePictures, size_column, values_of

SOLIDITY: Final = "solidity"

UNUSUAL: Final = 3.5
"""Modified z-score from which a particle is unusual (Iglewicz and Hoaglin 1993)."""

_NORMAL: Final = 0.6745  # median absolute deviation of the standard normal distribution

_LEAST_SPREAD: Final = 0.02
"""Least median deviation that counts: among equal particles, a pixel would be unusual."""

_FEWEST: Final = 8  # particles of a class below which none of them is called unusual


@dataclass(frozen=True, eq=False)
class Counted:
    """The particles of a run that count in its figures, as numbers.

    Attributes:
        sizes: (N,) float64, sizes in the run's unit, all above 0.
        weights: (N,) float64, border weights, all above 0.
        solidity: (N,) float64, NaN of particles without masks.
        classes: (N,) int64, index of the class.
        picture: (N,) int64, which of the measured pictures it is in.
        row: (N,) int64, its row in that picture's part.
    """

    sizes: Floats
    weights: Floats
    solidity: Floats
    classes: Ints
    picture: Ints
    row: Ints

    def __len__(self) -> int:
        """Number of particles."""
        return len(self.sizes)


@dataclass(frozen=True)
class Shown:
    """A particle of the page.

    Attributes:
        index: Its index in `Counted`.
        why: What is unusual about it; "" of one that is sampled.
    """

    index: int
    why: str = ""


def counted_particles(done: DonePictures, unit: str, classes: Sequence[str]) -> Counted:
    """The particles that count, read picture after picture.

    Args:
        done: The pictures.
        unit: Unit of lengths; "" for pixels. Pictures without a scale are left out where others
            have one, as in the figures.
        classes: Class names.
    """
    index = {name: number for number, name in enumerate(classes)}
    found: list[tuple[Floats, Floats, Floats, Ints, Ints, Ints]] = []
    columns = (*SIZES, *BOXES, SOLIDITY, CLASS)
    for number, (_, record, part) in enumerate(done.parts(columns)):
        um_per_px = record.row["um_per_px"]
        if unit and not um_per_px:
            continue
        sizes = values_of(part, size_column(part)) * (
            um_per_px / UM_PER_UNIT[unit] if unit else 1.0
        )
        solidity = (
            values_of(part, SOLIDITY)
            if SOLIDITY in part.column_names
            else np.full(len(sizes), np.nan)
        )
        weights = done.weights(record, part)
        names = np.array([index[name] for name in part[CLASS].to_pylist()], np.int64)
        rows = np.flatnonzero((weights > 0) & (sizes > 0))
        here = np.full(len(rows), number, np.int64)
        found.append((sizes[rows], weights[rows], solidity[rows], names[rows], here, rows))
    if not found:
        none, no_ints = np.empty(0), np.empty(0, np.int64)
        return Counted(none, none, none, no_ints, no_ints, no_ints)
    return Counted(*(np.concatenate(column) for column in zip(*found, strict=True)))


def outliers(counted: Counted, classes: Sequence[str], most: int) -> list[Shown]:
    """Particles that are unusually large, small or ragged among their class, the most so first."""
    scores = np.zeros(len(counted))
    reasons = np.zeros(len(counted), np.int64)
    for code in range(len(classes)):
        chosen = np.flatnonzero(counted.classes == code)
        if len(chosen) < _FEWEST:
            continue
        size = _unusual(np.log(counted.sizes[chosen]))
        ragged = -np.minimum(_unusual(counted.solidity[chosen]), 0)
        scores[chosen] = np.maximum(abs(size), ragged)
        reasons[chosen] = np.where(ragged > abs(size), 2, size < 0)
    order = np.argsort(-scores, kind="stable")[:most]
    return [
        Shown(n, _WORDS[reasons[n]].format(classes[counted.classes[n]]))
        for n in order.tolist()
        if scores[n] >= UNUSUAL
    ]


_WORDS: Final = ("large for {}", "small for {}", "ragged for {}")


def _unusual(values: Floats) -> Floats:
    """Modified z-scores of logarithms of sizes, or of solidities; 0 where unknown."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values))
    middle = np.median(known)
    spread = max(float(np.median(abs(known - middle))), _LEAST_SPREAD)
    scores: Floats = np.nan_to_num(_NORMAL * (values - middle) / spread)
    return scores


def sampled(
    counted: Counted, pictures: Sequence[int], without: Sequence[Shown], most: int
) -> list[Shown]:
    """Particles of some pictures at even ranks of size, the smallest and the largest among them."""
    there = np.isin(counted.picture, list(pictures))
    there[[shown.index for shown in without]] = False
    chosen = np.flatnonzero(there)
    order = chosen[np.argsort(counted.sizes[chosen], kind="stable")]
    return [Shown(n) for n in order[even(len(order), most)].tolist()]


def even(n: int, most: int) -> Ints:
    """At most so many of the indices 0 to n - 1, evenly spread, both ends among them.

    >>> even(5, 3).tolist(), even(2, 3).tolist(), even(3, 0).tolist()
    ([0, 2, 4], [0, 1], [])
    """
    spread: Ints = np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)
    return spread


def shown_pictures(
    n: int, flagged: Sequence[int], of_outliers: Sequence[int], most: int
) -> list[int]:
    """Which of n pictures a page shows: flagged ones first, of outliers, evenly spread others.

    Args:
        n: Number of pictures.
        flagged: Those that a person should look at; they take a third at most.
        of_outliers: Those with unusual particles; all of them are shown.
        most: Number of pictures at most, not below that of `of_outliers`.
    """
    needed = list(dict.fromkeys(of_outliers))
    others = [number for number in flagged if number not in set(needed)]
    room = min(most // 3, most - len(needed))
    looked_at = [others[i] for i in even(len(others), room)]
    taken = {*needed, *looked_at}
    left = [number for number in range(n) if number not in taken]
    taken |= {left[i] for i in even(len(left), most - len(taken))}
    first = set(flagged)
    return sorted(taken, key=lambda number: (number not in first, number))
