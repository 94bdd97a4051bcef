"""The particles of a run as a sample: their sizes, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import MeasureError
from analysis.measure.geometry.runs import Floats, Ints
from analysis.measure.statistics.border import BorderRule


@dataclass(frozen=True, eq=False)
class Sample:
    """Sizes of particles of several pictures, the smallest first.

    Attributes:
        sizes: (N,) float64, a length of each particle, such as its equivalent diameter.
        weights: (N,) float64, how often each counts: its border weight.
        image: (N,) int64, the picture of each, 0 to k - 1.
        areas: (k,) float64, area that the counted particles of each picture stand for, in the
            square of the sizes' unit; pictures without particles are among them.
        unit: Unit of the sizes.
        border: What counted, in words.
    """

    sizes: Floats
    weights: Floats
    image: Ints
    areas: Floats
    unit: str = "px"
    border: str = BorderRule().words

    @classmethod
    def of(
        cls,
        sizes: Floats,
        weights: Floats,
        image: Ints,
        areas: Floats,
        *,
        unit: str = "px",
        border: str = BorderRule().words,
    ) -> Sample:
        """The particles that count, in order of their sizes.

        Particles of weight 0 are left out, and so are those whose size is not known (NaN).

        Raises:
            MeasureError: A size is not positive, or a particle is of no picture.
        """
        kept = (weights > 0) & ~np.isnan(sizes)
        if (sizes[kept] <= 0).any():
            raise MeasureError(f"expected sizes above 0, got {sizes[kept].min():g} {unit}")
        if len(image) and not 0 <= image.min() <= image.max() < len(areas):
            raise MeasureError(f"expected pictures 0 to {len(areas) - 1}, got {image.max()}")
        order = np.flatnonzero(kept)[np.argsort(sizes[kept], kind="stable")]
        return cls(sizes[order], weights[order], image[order], areas, unit, border)

    @property
    def n_particles(self) -> int:
        """Number of particles that count."""
        return len(self.sizes)

    @property
    def n_images(self) -> int:
        """Number of pictures, those without particles included."""
        return len(self.areas)

    def repeated(self, times: Ints) -> Sample:
        """The sample with each picture as often as given, 0 times too.

        Args:
            times: (k,) int64.
        """
        often = times[self.image]
        kept = often > 0
        return replace(
            self,
            sizes=self.sizes[kept],
            weights=(self.weights * often)[kept],
            image=self.image[kept],
            areas=self.areas * times,
        )
