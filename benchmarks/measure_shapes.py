"""Speed of measuring shapes, against scikit-image's `regionprops_table` in the same run.

    python benchmarks/measure_shapes.py [--particles 4900] [--turns 5]

One picture of 4096 x 4096 pixels with ellipses of a log-normal size (median radius 11 px).
Printed are particles per second on the processor, of both in turns, and the ratio. scikit-image
gets the label picture and the properties that it has a name for; `shape_table` gets run-length
encodings and computes all columns of docs/measurements.md but the intensities.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.measure import regionprops_table

from analysis.measure.geometry.shapes import shape_table
from trainables.datasets import geometry

SIDE_PX = 4096

JUDGED = (
    "area",
    "equivalent_diameter_area",
    "perimeter_crofton",
    "feret_diameter_max",
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "solidity",
    "area_filled",
    "euler_number",
    "orientation",
    "centroid",
    "bbox",
)


@dataclass(frozen=True)
class Speeds:
    """Particles per second on the processor, a figure for each turn.

    Attributes:
        ours: Of `shape_table`.
        theirs: Of `regionprops_table`.
    """

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """How many times faster ours is, by the medians."""
        return median(self.ours) / median(self.theirs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, default=4900)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    speeds = compare(given.particles, given.turns)
    for name, found in (("shape_table", speeds.ours), ("regionprops_table", speeds.theirs)):
        print(f"{name}: {median(found):.0f} ({min(found):.0f} to {max(found):.0f}) particles/s")
    print(f"ratio {speeds.ratio:.1f}")


def compare(n_particles: int, turns: int) -> Speeds:
    """Measure the same particles with both, in turns."""
    labels = picture(n_particles)
    rles = list(geometry.encode_labels(labels).values())
    few = np.where(labels <= 500, labels, 0)[: SIDE_PX // 4]
    n_few = len(np.unique(few)) - 1
    shape_table(rles[:100])  # tables are built, modules imported
    ours = [len(rles) / seconds(lambda: shape_table(rles)) for _ in range(turns)]
    theirs = [
        n_few / seconds(lambda: regionprops_table(few, properties=JUDGED)) for _ in range(turns)
    ]
    return Speeds(ours, theirs)


def seconds(work: Callable[[], Any]) -> float:
    """Seconds that something takes on the processor."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def picture(n_particles: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """(4096, 4096) int32 labels of ellipses that do not touch, row by row."""
    rng = np.random.default_rng(seed)
    across = math.ceil(math.sqrt(n_particles))
    cell = SIDE_PX // across
    labels = np.zeros((SIDE_PX, SIDE_PX), np.int32)
    for label, (row, column) in enumerate(_cells(across, n_particles), start=1):
        radius = float(np.clip(rng.lognormal(math.log(11), 0.4), 3, cell / 2 - 3))
        axes = (radius, radius * rng.uniform(0.5, 1))
        centre = (np.array([column, row]) + 0.5) * cell + rng.uniform(-0.5, 0.5, 2)
        box = ((centre * 16).astype(int).tolist(), [round(axis * 16) for axis in axes])
        cv2.ellipse(labels, *box, rng.uniform(0, 180), 0, 360, label, -1, shift=4)
    return labels


def _cells(across: int, n: int) -> Sequence[tuple[int, int]]:
    return [divmod(i, across) for i in range(n)]


if __name__ == "__main__":
    main()
