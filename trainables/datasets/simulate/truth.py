"""Exact truth of a simulated micrograph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.datasets.simulate.shape import Shape


@dataclass(frozen=True)
class SimulatedObject:
    """One object.

    Attributes:
        category: 0-based index into the spec's classes.
        kind: Kind of the form ("disc", "rod", ...).
        shape: Its whole outline, also where it is hidden or cut.
        rle: Visible pixels as COCO run lengths ({"size": [H, W], "counts": bytes}): without what
            other objects or the data bar hide, holes and parts kept. A pixel is in when its centre
            is in.
        box: x, y, width, height around the visible pixels, as COCO has it.
        visible_px: Number of visible pixels.
        hidden_px: Pixels that other objects hide.
        cut: Whether the border of the picture or the data bar cuts it.
        order: Rank from the back (0) to the front.
    """

    category: int
    kind: str
    shape: Shape
    rle: Mapping[str, Any]
    box: tuple[int, int, int, int]
    visible_px: int
    hidden_px: int
    cut: bool
    order: int


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar as drawn.

    Attributes:
        x0: Its first pixel column.
        x1: Its last pixel column, as in the picture's middle of that column; not a whole number
            where the bar is not a whole number of pixels long.
        y: A pixel row through the bar.
        um: The length it stands for.
        text: Label beside it, such as "500 nm".
    """

    x0: float
    x1: float
    y: int
    um: float
    text: str

    @property
    def length_px(self) -> float:
        """Length from outer edge to outer edge."""
        return self.x1 - self.x0 + 1


@dataclass(frozen=True)
class SimulatedMicrograph:
    """A simulated picture and its truth.

    Attributes:
        name: File name without ending.
        image: (H, W) uint8, or uint16 where the spec has 16 bits.
        objects: From the back to the front.
        um_per_px: Pixel size.
        bar: The scale bar, or None.
    """

    name: str
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    objects: tuple[SimulatedObject, ...]
    um_per_px: float
    bar: ScaleBar | None
