"""Particles of one picture: whole, with a hole, of two parts, at the border, one on another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from analysis.measure.geometry.runs import runs_of
from analysis.measure.outputs.labelme import DrawnParticle
from analysis.measure.outputs.rims import rims
from trainables.datasets import geometry

HEIGHT, WIDTH = 90, 120


def masks() -> list[np.ndarray]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 30) ** 2 + (columns - 30) ** 2 <= 15**2
    ring = (rows - 40) ** 2 + (columns - 80) ** 2 <= 18**2
    ring &= (rows - 40) ** 2 + (columns - 80) ** 2 > 6**2
    apart = np.zeros((HEIGHT, WIDTH), bool)
    apart[70:75, 10:20] = apart[72:80, 26:31] = True
    border = (rows >= 80) & (columns >= 100)
    small = (rows - 30) ** 2 + (columns - 30) ** 2 <= 4**2
    return [disc, ring, apart, border, small]


@pytest.fixture
def particles() -> list[DrawnParticle]:
    made = []
    for number, mask in enumerate(masks(), start=1):
        rle: Mapping[str, Any] = geometry.encode_mask(mask)
        [(outer, holes)] = rims(runs_of([rle]))
        name = "disc" if number != 3 else "two parts"
        made.append(DrawnParticle(number, name, 1 - number / 10, rle, outer, holes))
    return made


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A folder's picture of that size, in which there is something to see."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH), np.uint8)
    cv2.imwrite(str(folder / "a.png"), pixels)
    return folder / "a.png"
