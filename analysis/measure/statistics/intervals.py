"""95 % intervals of figures, from how much they differ between pictures.

Particles of one picture are alike, so pictures are the sample, not particles. Pictures are drawn
again with replacement, which gives a standard error (Efron 1979); that few of them say little of
their own spread is allowed for by Student's t with one degree less than pictures. The usual limits,
percentiles of the draws, hold the truth in 75 % of runs with 3 pictures, not in 95 %.
`benchmarks/measure_intervals.py` measures it for these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.measure.geometry.runs import Ints
from analysis.measure.statistics.distribution import figures
from analysis.measure.statistics.sample import Sample

LEVEL: Final = 0.95

_DRAWS: Final = 200
"""Enough for a standard error (Efron and Tibshirani 1993, section 6.4)."""

_SEED: Final = 0
"""The same particles have the same intervals every time."""

Figures = Callable[[Sample], Mapping[str, float]]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, which names what it rests on.

    Attributes:
        name: The figure.
        value: Its value, NaN where it is not defined.
        se: Its standard error over pictures, None where there is none.
        n_images: Pictures it rests on.
        n_particles: Particles that count.
        border: Border rule, in words.
    """

    name: str
    value: float
    se: float | None
    n_images: int
    n_particles: int
    border: str

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the standard error."""
        return self.n_images - 1

    @property
    def half_width(self) -> float | None:
        """Half the width of the 95 % interval; None of a single picture."""
        return None if self.se is None else t_factor(self.degrees) * self.se

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; None of a single picture. No figure here can be negative."""
        half = self.half_width
        return None if half is None else (max(self.value - half, 0.0), self.value + half)


def estimates(sample: Sample, of: Figures = figures) -> dict[str, Estimate]:
    """Figures of a sample with their 95 % intervals.

    Args:
        sample: Particles of some pictures.
        of: The figures of a sample by their names.
    """
    values = of(sample)
    draws = [of(sample.repeated(times)) for times in _drawn(sample.n_images)]
    return {
        name: Estimate(
            name,
            value,
            _standard_error([draw[name] for draw in draws], sample.n_images),
            sample.n_images,
            sample.n_particles,
            sample.border,
        )
        for name, value in values.items()
    }


def _drawn(n_images: int) -> Iterator[Ints]:
    """How often each picture is drawn, for every draw; none of a single picture."""
    if n_images > 1:
        share = np.full(n_images, 1 / n_images)
        yield from np.random.default_rng(_SEED).multinomial(n_images, share, _DRAWS)


def _standard_error(drawn: list[float], n_images: int) -> float | None:
    """Standard deviation of the draws, with the factor that makes a variance of k unbiased."""
    if not drawn or not all(map(math.isfinite, drawn)):
        return None
    return float(np.std(drawn, ddof=1)) * math.sqrt(n_images / (n_images - 1))


def t_factor(degrees: float) -> float:
    """Standard errors on either side of a 95 % interval, by Student's t.

    Example:
        >>> round(t_factor(2), 3), round(t_factor(1e9), 3)
        (4.303, 1.96)
    """
    from scipy.special import stdtrit  # put off: it takes a tenth of a second to import

    return float(stdtrit(degrees, 0.5 + LEVEL / 2))


@dataclass(frozen=True)
class Needed:
    """How much more must be measured for a figure to be known to 5 %.

    Attributes:
        images: Pictures more, like those measured.
        particles: Particles more, which are in that many pictures.
    """

    images: int
    particles: int


def more_needed(estimate: Estimate, within: float = 0.05) -> Needed | None:
    """Pictures and particles to add until the 95 % interval is +- `within` of the value.

    The standard error falls with the root of the number of pictures, and Student's factor with it.
    None where nothing can be said: of a single picture, or of a value that is 0 or not defined.
    """
    if estimate.se is None or not estimate.value > 0:
        return None
    k = estimate.n_images
    spread = estimate.se * math.sqrt(k) / (within * estimate.value)
    needed = max(2, math.ceil((spread * t_factor(1e9)) ** 2))
    while t_factor(needed - 1) * spread > math.sqrt(needed):
        needed += 1
    more = max(needed - k, 0)
    return Needed(more, math.ceil(more * estimate.n_particles / k))
