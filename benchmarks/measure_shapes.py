"""Speed of measuring shapes, against scikit-image's `regionprops_table` in the same run.

    python benchmarks/measure_shapes.py [--particles 4900] [--turns 5] [--masks FOLDER]

One picture of 4096 x 4096 pixels with ellipses of a log-normal size (median radius 11 px).
Printed are particles per second on the processor, of both in turns, and the ratio. scikit-image
gets the label picture and the properties that it has a name for; `shape_table` gets run-length
encodings and computes all columns of docs/measurements.md but the intensities. With `--masks` the
particles are those of the pictures in a folder: 8 bits are one value for all, 16 bits labels.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.measure import regionprops_table

from analysis.measure.geometry.shapes import shape_table
from trainables.datasets import geometry

SIDE_PX = 4096

Labels = npt.NDArray[np.int32]

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
    parser.add_argument("--masks", type=Path, help="a folder of masks, in place of ellipses")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    pictures = masks(given.masks) if given.masks else [picture(given.particles)]
    speeds = compare(pictures, given.turns)
    for name, found in (("shape_table", speeds.ours), ("regionprops_table", speeds.theirs)):
        print(f"{name}: {median(found):.0f} ({min(found):.0f} to {max(found):.0f}) particles/s")
    print(f"ratio {speeds.ratio:.1f}")


def compare(pictures: Sequence[Labels], turns: int) -> Speeds:
    """Measure particles with both, in turns; scikit-image the first 500 of each picture."""
    rles = [list(geometry.encode_labels(labels).values()) for labels in pictures]
    few = [_first(labels, 500) for labels in pictures]
    n, n_few = sum(map(len, rles)), sum(len(np.unique(labels)) - 1 for labels in few)
    shape_table(rles[0][:100])  # tables are built, modules imported

    def ours() -> None:
        for particles in rles:
            shape_table(particles)

    def theirs() -> None:
        for labels in few:
            regionprops_table(labels, properties=JUDGED)

    both = [(n / seconds(ours), n_few / seconds(theirs)) for _ in range(turns)]
    return Speeds([our for our, _ in both], [their for _, their in both])


def _first(labels: Labels, n: int) -> Labels:
    """The upper part of a label picture, with its first n particles."""
    few = np.where(labels <= n, labels, 0)
    return few[: int(np.flatnonzero(few.any(axis=1))[-1]) + 1]


def masks(folder: Path) -> list[Labels]:
    """Label pictures of the masks in a folder."""
    found = []
    for path in sorted(folder.iterdir()):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels is not None and pixels.dtype == np.uint8:
            pixels = cv2.connectedComponents((pixels > 0).astype(np.uint8))[1]
        if pixels is not None:
            found.append(pixels.astype(np.int32))
    return found


def seconds(work: Callable[[], Any]) -> float:
    """Seconds that something takes on the processor."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def picture(n_particles: int, seed: int = 0) -> Labels:
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
