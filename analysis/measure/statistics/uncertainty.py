"""One uncertainty of a figure, from the scale, the pictures and the segmentation.

Source: JCGM 100:2008, "Guide to the expression of uncertainty in measurement" (GUM): relative
standard uncertainties are added in quadrature and widened to 95 % by Student's t with the effective
degrees of freedom of Welch and Satterthwaite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from analysis.errors import MeasureError
from analysis.measure.statistics.distribution import LENGTHS
from analysis.measure.statistics.intervals import Estimate, t_factor
from trainables.files.words import digits


@dataclass(frozen=True)
class Sources:
    """Where a run's figures are uncertain besides its pictures, each relative, 0.02 for 2 %.

    Attributes:
        scale: Standard uncertainty of the length of a pixel; None where the scale is not known.
        diameter_bias: Error of the mean diameter on the validation pictures
            (`measure/diameter_bias`); None where the model was never evaluated.
        count_error: Error of counts there (`measure/count_error`), likewise.
        bias_by_px: Errors of diameters there by the lower end of their size class in px, which
            reaches to twice that; of classes with enough particles.
        pixels: Sides of a pixel in the unit of the figures, of all pictures.
    """

    scale: float | None
    diameter_bias: float | None = None
    count_error: float | None = None
    bias_by_px: Mapping[int, float] = field(default_factory=dict)
    pixels: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        for name in ("scale", "diameter_bias", "count_error"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise MeasureError(f"expected {name} of 0 or more, got {value:g}")

    def bias_of(self, length: float) -> float | None:
        """Error of the segmentation in a figure that is a length.

        That of the mean, or of particles as large as the figure where that is larger and the
        validation pictures had enough of them. Not that of such particles alone: they were found,
        and quantiles shift with those that were not.

        Args:
            length: Value of the figure.
        """
        if self.diameter_bias is None or not length > 0:
            return self.diameter_bias
        low, high = (math.floor(math.log2(length / of(self.pixels))) for of in (max, min))
        classes = [2.0**power for power in range(low, high + 1)]
        if not all(one in self.bias_by_px for one in classes):
            return self.diameter_bias
        largest = max(abs(self.bias_by_px[int(one)]) for one in classes)
        return max(largest, self.diameter_bias)


@dataclass(frozen=True)
class Uncertainty:
    """The combined uncertainty of a figure.

    Attributes:
        value: The figure.
        unit: Its unit, empty for a plain number.
        parts: Relative standard uncertainties by their source: "scale", "sampling", "segmentation".
        missing: Sources that are not known and therefore not in it.
        relative: Half of the 95 % interval, relative to the value; None where nothing can be said:
            of one picture, or of a figure that is 0 or not defined.
        border: Border rule, in words.
    """

    value: float
    unit: str
    parts: dict[str, float]
    missing: tuple[str, ...]
    relative: float | None
    border: str

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval with all parts; no figure can be negative."""
        if self.relative is None:
            return None
        half = self.relative * self.value
        return max(self.value - half, 0.0), self.value + half

    def times(self, factor: float, unit: str) -> Uncertainty:
        """The same figure in another unit, of which the first has so many."""
        return replace(self, value=self.value * factor, unit=unit)

    @property
    def words(self) -> str:
        """The figure with its uncertainty, and all that it rests on, in one line."""
        unit = f" {self.unit}" if self.unit else ""
        if self.relative is None:
            return f"{digits(self.value, 4)}{unit} (no interval; {self.border})"
        named = ", ".join(
            f"{SAID[name]} {digits(100 * part, 2)} %" for name, part in self.parts.items()
        )
        without = "".join(f"; without {SAID[name]}, not known" for name in self.missing)
        half = self.relative * self.value
        figure = f"{digits(self.value, 4)} +- {digits(half, 2)}{unit}"
        return f"{figure} (95 %; {named}{without}; {self.border})"


SAID: Final = {
    "scale": "scale",
    "sampling": "sampling",
    "segmentation": "segmentation on the validation pictures",
}
"""Sources of uncertainty, as a reader is told of them."""


def combine(estimate: Estimate, sources: Sources, unit: str = "") -> Uncertainty:
    """The combined uncertainty of a figure of `distribution.figures`.

    A length has the relative uncertainty of the scale, a number per area twice that, a span or a
    geometric standard deviation none. The segmentation's error on the validation pictures (see
    `Sources.bias_of`) is taken whole, as a standard
    uncertainty: how it turns out elsewhere, even its sign, is not known. Of spans and geometric
    standard deviations no such error is recorded.

    Of few pictures the effective degrees of freedom can rise so much with a second source that the
    interval would be narrower than the pictures' own; then that one is taken.
    """
    relative: dict[str, float | None] = {}
    if estimate.name == "number_density":
        scale = None if sources.scale is None else 2 * sources.scale
        relative = {"scale": scale, "segmentation": sources.count_error}
    elif estimate.name in LENGTHS:
        bias = sources.bias_of(estimate.value)
        relative = {"scale": sources.scale, "segmentation": bias}
    else:
        relative = {"segmentation": None}
    known = {name: part for name, part in relative.items() if part is not None}
    missing = tuple(name for name, part in relative.items() if part is None)
    if estimate.se is None or not estimate.value > 0:
        return Uncertainty(estimate.value, unit, known, missing, None, estimate.border)
    sampling = estimate.se / estimate.value
    parts = {"sampling": sampling, **known}
    total = math.sqrt(sum(part**2 for part in parts.values()))
    degrees = estimate.degrees * (total / sampling) ** 4 if sampling else math.inf
    half = max(t_factor(degrees) * total, t_factor(estimate.degrees) * sampling)
    return Uncertainty(estimate.value, unit, parts, missing, half, estimate.border)
