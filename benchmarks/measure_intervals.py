"""Coverage of 95 % intervals, and bias at borders, on simulated planes whose truth is known.

    python benchmarks/measure_intervals.py [--runs 2000] [--seed 20260]

Each run is some pictures of 512 x 512 px, cut from planes of discs at random places. Diameters are
log-normal with a geometric standard deviation of 1.4 about 20 px; between pictures the median
differs by 6 % and the number per area by 10 %, with about 50 discs a picture. The first table has
the shares of runs whose interval holds the truth, the second the bias of figures of discs of 4, 8
and 16 % of the picture's side with each border rule.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analysis.measure.statistics.border import BorderRule
from analysis.measure.statistics.distribution import quantiles
from analysis.measure.statistics.intervals import estimates
from analysis.measure.statistics.sample import Sample

SIDE_PX = 512
SPREAD = math.log(1.4)
NORMAL_D90 = 1.2815515655446004
SEED = 20260

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """Planes that pictures are cut from.

    Attributes:
        median_px: Median diameter of the discs.
        per_image: Mean number of discs whose centre is in a picture.
        size_spread: Relative standard deviation of the median between pictures.
        count_spread: Relative standard deviation of the number per area between pictures.
    """

    median_px: float = 20
    per_image: float = 50
    size_spread: float = 0.06
    count_spread: float = 0.1

    @property
    def truth(self) -> dict[str, float]:
        """True figures, over all pictures that there could be."""
        spread = math.hypot(SPREAD, self.size_spread)
        ends = {10: -NORMAL_D90, 50: 0.0, 90: NORMAL_D90}
        sizes = {f"d{q}_number": self.median_px * math.exp(z * spread) for q, z in ends.items()}
        return sizes | {"number_density": self.per_image / SIDE_PX**2}

    def sample(self, n_images: int, rule: BorderRule, rng: np.random.Generator) -> Sample:
        """What is seen in some pictures, counted by a border rule."""
        margin = self.median_px * math.exp(3.5 * SPREAD)
        mean = self.per_image * ((SIDE_PX + 2 * margin) / SIDE_PX) ** 2
        each = rng.poisson(mean * rng.normal(1, self.count_spread, n_images).clip(0.1))
        image = np.repeat(np.arange(n_images), each)
        shift = rng.normal(0, self.size_spread, n_images)[image]
        sizes = self.median_px * np.exp(rng.normal(0, SPREAD, len(image)) + shift)
        centres = rng.uniform(-margin, SIDE_PX + margin, (len(image), 2))
        seen = _reaches(centres, sizes / 2)
        image, sizes, centres = image[seen], sizes[seen], centres[seen]
        boxes = np.hstack([centres - sizes[:, None] / 2, centres + sizes[:, None] / 2])
        analysed = (0, 0, SIDE_PX, SIDE_PX)
        weights = rule.weights(boxes, analysed)
        areas = np.full(n_images, rule.area_px2(analysed))
        return Sample.of(sizes, weights, image, areas, border=rule.words)


def _reaches(centres: Floats, radii: Floats) -> npt.NDArray[np.bool_]:
    """Whether discs share an area with the picture."""
    nearest = np.clip(centres, 0, SIDE_PX)
    away: npt.NDArray[np.bool_] = np.square(centres - nearest).sum(axis=1) < np.square(radii)
    return away


COVERED = ("d10_number", "d50_number", "d90_number", "number_density")


def coverage(plane: Plane, n_images: int, runs: int, seed: int = SEED) -> dict[str, float]:
    """Share of runs whose 95 % interval holds the truth, for each figure of `COVERED`."""
    rng = np.random.default_rng([seed, n_images])
    held = dict.fromkeys(COVERED, 0)
    for _ in range(runs):
        found = estimates(plane.sample(n_images, BorderRule(), rng), _few)
        for name, truth in plane.truth.items():
            low, high = found[name].interval or (math.nan, math.nan)
            held[name] += low <= truth <= high
    return {name: n / runs for name, n in held.items()}


def _few(sample: Sample) -> dict[str, float]:
    """The figures that the tables are about, and no others, to be quick."""
    ends = quantiles(sample.sizes, sample.weights, (0.1, 0.5, 0.9)).tolist()
    density = float(sample.weights.sum() / sample.areas.sum())
    return dict(zip(COVERED, [*ends, density], strict=True))


def biases(share: float, n_images: int, seed: int = SEED) -> dict[str, dict[str, float]]:
    """Relative bias of figures, in per cent, of discs of a share of the picture's side.

    All pictures are one large sample, so that chance is small; they do not differ otherwise.

    Returns:
        By the way in which particles at borders count: with weights, left out, or all.
    """
    plane = Plane(median_px=share * SIDE_PX, per_image=40, size_spread=0, count_spread=0)
    weighted, every = (
        plane.sample(n_images, rule, np.random.default_rng([seed, n_images]))
        for rule in (BorderRule(), BorderRule("all"))
    )
    left_out = replace(weighted, weights=np.ones(weighted.n_particles))
    ways = {"weights, the default": weighted, "cut ones left out": left_out, "all": every}
    truth = plane.truth
    return {
        name: {figure: 100 * (value / truth[figure] - 1) for figure, value in _few(way).items()}
        for name, way in ways.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--images", type=int, default=40_000, help="of the table of biases")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    for line in (*_coverages(given.runs, given.seed), "", *_biases(given.images, given.seed)):
        print(line, flush=True)


def _coverages(runs: int, seed: int) -> Iterator[str]:
    yield "| pictures | D10 | D50 | D90 | number per area |"
    yield "| --- | --- | --- | --- | --- |"
    for n_images in (3, 5, 10, 20):
        shares = coverage(Plane(), n_images, runs, seed)
        yield f"| {n_images} | " + " | ".join(f"{100 * s:.1f} %" for s in shares.values()) + " |"


def _biases(n_images: int, seed: int) -> Iterator[str]:
    yield "| median diameter | rule | D10 | D50 | D90 | number per area |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for share in (0.04, 0.08, 0.16):
        for name, found in biases(share, n_images, seed).items():
            cells = " | ".join(f"{value:+.2f} %" for value in found.values())
            yield f"| {100 * share:.0f} % of the side | {name} | {cells} |"


if __name__ == "__main__":
    main()
