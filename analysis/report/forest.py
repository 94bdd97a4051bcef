"""A random forest over the trials of a large study, from which the shares of the keys are read.

Hutter, Hoos, Leyton-Brown 2014, "An Efficient Approach for Assessing Hyperparameter Importance"
(fANOVA): a key's share is the part of a regression tree's variance over the whole space that the
key explains alone, the mean over all trees. Values are sorted into bins first and trees have few
levels, so thousands of trials take tenths of a second; scikit-learn takes a second to be loaded.

Breiman 2001, "Random Forests": trials that a tree was not grown from judge what it predicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TREES: Final = 32

LEVELS: Final = 8

BINS: Final = 256


@dataclass(frozen=True)
class Binned:
    """Values of one key, sorted into bins.

    Attributes:
        places: (N,) bin of each trial, from 0 on.
        widths: (at most `BINS`,) parts of the key's range that the bins cover; they sum to 1.
    """

    places: Ints
    widths: Floats

    @classmethod
    def of_numbers(cls, values: Floats) -> Self:
        """Bins with about as many trials each; a bin ends in the middle between two values."""
        distinct = np.unique(values)
        if len(distinct) > BINS:
            distinct = np.unique(np.quantile(values, np.linspace(0, 1, BINS)))
        ends = (distinct[1:] + distinct[:-1]) / 2
        widths = np.diff([distinct[0], *ends, distinct[-1]]) / (distinct[-1] - distinct[0])
        return cls(np.searchsorted(ends, values), widths)

    @classmethod
    def of_choices(cls, values: Sequence[Any]) -> Self:
        """A bin for each value, all of one width."""
        names = {repr(value): value for value in values}
        order = {name: place for place, name in enumerate(names)}
        places = np.array([order[repr(value)] for value in values], np.int64)
        return cls(places, np.full(len(order), 1 / len(order)))


@dataclass
class _Tree:
    """A tree as the boxes of its leaves; rows of `low`, `high` and `mean` belong together.

    Attributes:
        low: First bin of a leaf's box, one a key.
        high: Bin after the last of a leaf's box, one a key.
        mean: Mean objective of a leaf.
    """

    low: list[Ints] = field(default_factory=list)
    high: list[Ints] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)


class _Grower:
    """Grows one tree; each trial it is not grown from gets the mean of the leaf it falls into."""

    def __init__(self, places: Ints, values: Floats) -> None:
        """Take the (N, K) bins of the trials and their (N,) objectives."""
        self._places, self._values = places, values
        self._first = np.arange(places.shape[1]) * BINS  # of each key's bins among those of all
        self.predicted = np.full(len(values), np.nan)
        self.tree = _Tree()

    def grow(self, rows: Ints, unseen: Ints, low: Ints, high: Ints, levels: int) -> None:
        """Divide a box, or make it a leaf.

        Args:
            rows: Trials in the box that the tree is grown from, some of them several times.
            unseen: Other trials in the box.
            low: (K,) first bin of the box.
            high: (K,) bin after its last.
            levels: Levels left below.
        """
        split = self._best_split(rows) if levels else None
        if split is None:
            mean = float(self._values[rows].mean())
            self.predicted[unseen] = mean
            self.tree.low.append(low)
            self.tree.high.append(high)
            self.tree.mean.append(mean)
            return
        key, end = split
        for below in (True, False):
            inner_low, inner_high = low.copy(), high.copy()
            (inner_high if below else inner_low)[key] = end
            kept, other = ((self._places[s, key] < end) == below for s in (rows, unseen))
            self.grow(rows[kept], unseen[other], inner_low, inner_high, levels - 1)

    def _best_split(self, rows: Ints) -> tuple[int, int] | None:
        """The key, and the bin of it where the upper half begins, that leave least variance."""
        values = self._values[rows] - self._values[rows].mean()
        shape = (len(self._first), BINS)
        bins = (self._places[rows] + self._first).ravel()
        weights = np.repeat(values, shape[0])
        n = np.bincount(bins, minlength=shape[0] * BINS).reshape(shape).cumsum(1)
        sums = np.bincount(bins, weights, shape[0] * BINS).reshape(shape).cumsum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            gains = np.where((n > 0) & (n < len(rows)), sums**2 / n + sums**2 / (len(rows) - n), 0)
        key, last = np.unravel_index(int(gains.argmax()), shape)
        return (int(key), int(last) + 1) if gains[key, last] > 1e-12 else None


def shares_of(keys: Sequence[Binned], values: Floats, seed: int = 0) -> tuple[Floats, float]:
    """Shares of the keys in what made the objectives differ, and how well all of them predict it.

    Args:
        keys: Bins of each key.
        values: (N,) objectives.
        seed: Seed of the trees' random draws.

    Returns:
        The (K,) shares, which sum to 1, and R^2 of the predictions for trials that trees have not
        seen.
    """
    random = np.random.default_rng(seed)
    places = np.column_stack([key.places for key in keys])
    sizes = np.array([len(key.widths) for key in keys])
    shares, predicted = [], []
    for _ in range(TREES):
        rows = random.integers(0, len(values), len(values))
        grower = _Grower(places, values)
        unseen = np.setdiff1d(np.arange(len(values)), rows)
        grower.grow(rows, unseen, np.zeros_like(sizes), sizes, LEVELS)
        shares.append(_tree_shares(grower.tree, keys))
        predicted.append(grower.predicted)
    found = np.mean(shares, axis=0)
    return found / found.sum(), _r2(np.array(predicted), values)


def _tree_shares(tree: _Tree, keys: Sequence[Binned]) -> Floats:
    """Part of a tree's variance over the whole space that each key explains alone."""
    low, high, mean = np.array(tree.low), np.array(tree.high), np.array(tree.mean)
    ends = [np.concatenate([[0.0], key.widths.cumsum()]) for key in keys]
    sides = np.column_stack([e[high[:, k]] - e[low[:, k]] for k, e in enumerate(ends)])
    centre = float(mean @ sides.prod(1))
    variance = float((mean - centre) ** 2 @ sides.prod(1))
    alone = []
    for k, key in enumerate(keys):
        steps = np.zeros(len(key.widths) + 1)  # what each leaf adds from its first bin to its last
        rest = (mean - centre) * np.delete(sides, k, 1).prod(1)
        np.add.at(steps, low[:, k], rest)
        np.add.at(steps, high[:, k], -rest)
        alone.append(float(key.widths @ steps.cumsum()[:-1] ** 2))
    return np.array(alone) / variance if variance > 0 else np.zeros(len(keys))


def _r2(predicted: Floats, values: Floats) -> float:
    """R^2 of the mean prediction over the trees, for trials that some tree has not seen."""
    judged = ~np.isnan(predicted).all(0)
    left = values[judged] - np.nanmean(predicted[:, judged], axis=0)
    return float(1 - (left**2).sum() / ((values[judged] - values[judged].mean()) ** 2).sum())
