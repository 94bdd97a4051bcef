"""The log-normal distribution that fits sizes, and whether it does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.measure.geometry.runs import Floats
from analysis.measure.statistics.distribution import geometric
from analysis.measure.statistics.sample import Sample

SIGNIFICANT: Final = 0.05

_FEWEST: Final = 8
"""Particles below which the test says nothing (D'Agostino and Stephens 1986)."""


@dataclass(frozen=True)
class LogNormalFit:
    """A fitted log-normal distribution.

    Attributes:
        median: Its median, which is the geometric mean, in the sample's unit.
        sd: Its geometric standard deviation.
        p_value: How often a sample of a log-normal distribution fits worse; None where there are
            too few particles to say.
        n_particles: Particles it was fitted to.
        border: Border rule, in words.
    """

    median: float
    sd: float
    p_value: float | None
    n_particles: int
    border: str

    @property
    def verdict(self) -> str:
        """What the test says."""
        if self.p_value is None:
            return f"too few particles to say whether log-normal: {self.n_particles}"
        if self.p_value < SIGNIFICANT:
            return f"not log-normal (p = {self.p_value:.2g})"
        return f"log-normal fits (p = {self.p_value:.2g})"


def fit_lognormal(sample: Sample) -> LogNormalFit:
    """Fit a log-normal distribution and test it by Anderson and Darling's statistic.

    Median and spread are fitted to the same particles, which makes every fit look better than it
    is; the p-value allows for that (Stephens' case 3).
    """
    median, sd = geometric(sample.sizes, sample.weights)
    n = sample.n_particles
    p_value = None
    if n >= _FEWEST:
        all_equal = sample.sizes[0] == sample.sizes[-1]
        p_value = (
            0.0 if all_equal else p_value_of(anderson_darling(sample.sizes, sample.weights), n)
        )
    return LogNormalFit(median, sd, p_value, n, sample.border)


def anderson_darling(sizes: Floats, weights: Floats) -> float:
    """Anderson and Darling's A^2 of the logarithms against the normal distribution fitted to them.

    Weights enter as shares of the distribution function, and as the number of equally weighted
    particles that say as much, (sum w)^2 / sum w^2 (Kish 1965). With equal weights it is the
    statistic of `scipy.stats.anderson`.

    Args:
        sizes: (N,) float64, ascending, above 0.
        weights: (N,) float64 above 0.
    """
    from scipy.special import log_ndtr  # put off: it takes a tenth of a second to import

    logs = np.log(sizes)
    share = weights / weights.sum()
    n = 1 / float(np.square(share).sum())
    mean = float((share * logs).sum())
    sd = math.sqrt(float((share * np.square(logs - mean)).sum()) * n / (n - 1))
    z = (logs - mean) / sd
    below = np.cumsum(share)[:-1]  # the sample's share between each size and the next
    log_below, log_above = log_ndtr(z), log_ndtr(-z)
    inner = (np.square(below) * np.diff(log_below)).sum()
    inner -= (np.square(1 - below) * np.diff(log_above)).sum()
    ends = -log_above[0] - log_below[-1] - 1
    return n * float(inner + ends)


def p_value_of(a_squared: float, n: int) -> float:
    """Share of normal samples of n with a larger A^2, mean and spread being fitted.

    Source: D'Agostino and Stephens 1986, "Goodness-of-fit techniques", table 4.9.
    """
    a = a_squared * (1 + 0.75 / n + 2.25 / n**2)
    if a >= 0.6:
        # the parabola would rise again from 153 on
        return math.exp(1.2937 - 5.709 * min(a, 100) + 0.0186 * min(a, 100) ** 2)
    if a >= 0.34:
        return math.exp(0.9177 - 4.279 * a - 1.38 * a**2)
    if a >= 0.2:
        return 1 - math.exp(-8.318 + 42.796 * a - 59.938 * a**2)
    return 1 - math.exp(-13.436 + 101.14 * a - 223.73 * a**2)
