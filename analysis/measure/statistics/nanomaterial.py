"""The share of particles at most 100 nm small, which decides what is a nanomaterial in the EU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from analysis.measure.statistics.intervals import estimates, t_factor
from analysis.measure.statistics.sample import Sample

LIMIT_NM: Final = 100.0
"""Source: Commission Recommendation 2022/C 229/01: 50 % or more by number of 1 nm to 100 nm."""

HALF: Final = 0.5

LEAST_PX: Final = 8.0
"""Size in px from which small particles can be expected to be found (docs/getting-started.md)."""


@dataclass(frozen=True)
class NanoShare:
    """Share of particles by number with a minimum Feret diameter of at most 100 nm.

    Attributes:
        value: The share, 0 to 1; NaN without particles.
        interval: Its 95 % interval; None of a single picture, or where few have particles.
        n_particles: Particles that count.
        border: Border rule, in words.
        pixel_nm: Side of the pixels of the coarsest picture that counts.
    """

    value: float
    interval: tuple[float, float] | None
    n_particles: int
    border: str
    pixel_nm: float

    @property
    def words(self) -> str:
        """The share with its interval and what follows from it, in one line."""
        if not self.n_particles:
            return f"share of at most 100 nm: none ({self.border})"
        interval = ""
        if self.interval is not None:
            low, high = (100 * end for end in self.interval)
            interval = f" ({low:.1f} to {high:.1f} %, 95 %)"
        share = f"{100 * self.value:.1f} % by number{interval}"
        return f"{share} have a least Feret diameter of at most 100 nm; EU: {self.verdict}"

    @property
    def verdict(self) -> str:
        """Whether this is a nanomaterial, as far as the interval says."""
        if self.interval is None:
            return "open: too few pictures with particles for an interval"
        low, high = self.interval
        if low >= HALF:
            return "nanomaterial: 50 % or more by number are at most 100 nm"
        if high < HALF and (across := LIMIT_NM / self.pixel_nm) < LEAST_PX:
            return (
                f"open: 100 nm are {across:.2g} px here, and of particles below {LEAST_PX:g} px "
                "hardly any is found"
            )
        if high < HALF:
            return "no nanomaterial: less than 50 % by number are at most 100 nm"
        return "open: the interval holds 50 %"


def nano_share(sample: Sample, unit_nm: float, pixel_nm: float) -> NanoShare:
    """The share with its interval, which is never narrower than chance alone allows.

    Where all particles of all pictures are small, pictures do not differ, and yet the next particle
    may be large. So the interval over pictures is widened to Wilson's (1927) for as many particles.

    Args:
        sample: The particles with their minimum Feret diameters as sizes.
        unit_nm: Nanometres of the unit of the sizes.
        pixel_nm: Side of the pixels of the coarsest picture: where small particles cannot be seen,
            that few were found says nothing.
    """

    def share(of: Sample) -> dict[str, float]:
        """Weighted share of the particles of a sample that are at most 100 nm large."""
        total = float(of.weights.sum())
        small = float(of.weights[of.sizes * unit_nm <= LIMIT_NM].sum())
        return {"share": small / total if total else math.nan}

    found = estimates(sample, share)["share"]
    interval = None
    if found.interval is not None:
        (low, high), (least, most) = found.interval, _wilson(found.value, sample.n_particles)
        interval = min(low, least), min(max(high, most), 1.0)
    return NanoShare(found.value, interval, sample.n_particles, sample.border, pixel_nm)


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = t_factor(math.inf)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)
