"""Border correction: which particles of a picture count, and how much.

A picture's edge cuts particles, and large ones more often than small ones. To leave the cut ones
out makes sizes and counts too small; to keep them counts too many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from analysis.errors import MeasureError
from analysis.measure.geometry.runs import Floats

Rectangle = tuple[float, float, float, float]
"""x0 y0 x1 y1 in pixels."""

Rule = Literal["weights", "guard", "all"]

WORDS: Final[dict[Rule, str]] = {
    "weights": "particles wholly inside, with Miles-Lantuejoul weights",
    "guard": "particles whose middle lies inside a guard frame",
    "all": "all particles, cut ones included, without a correction",
}
"""What is said beside every figure, so that none stands without its rule."""


@dataclass(frozen=True)
class BorderRule:
    """How particles near the edge of the analysed part of a picture count.

    Attributes:
        rule: "weights": those wholly inside count, each as many times as such a particle is hidden
            or cut elsewhere (Miles 1974; Lantuejoul 1980). "guard": those whose box has its middle
            at least `guard_px` from the edge count once. "all": every particle counts once.
        guard_px: Width of the guard frame; at least half the longest side of a box, so that no
            particle counted is cut.
    """

    rule: Rule = "weights"
    guard_px: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in WORDS:
            allowed = ", ".join(WORDS)
            raise MeasureError(f"expected a border rule, one of {allowed}, got {self.rule!r}")
        if self.rule == "guard" and not self.guard_px > 0:
            raise MeasureError(f"expected a guard frame of some pixels, got {self.guard_px:g}")

    @property
    def words(self) -> str:
        """The rule as it is said beside a figure."""
        frame = f" of {self.guard_px:g} px" if self.rule == "guard" else ""
        return WORDS[self.rule] + frame

    def weights(self, boxes: Floats, analysed: Rectangle) -> Floats:
        """(N,) float64, how often each particle counts; 0 where it does not.

        Args:
            boxes: (N, 4) float64, x0 y0 x1 y1 in pixels.
            analysed: The part of the picture that was searched, without a data bar.

        Raises:
            MeasureError: A particle that counts is cut: the guard frame is too narrow.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        inside = _inside(boxes, analysed)
        if self.rule == "all":
            return np.ones(len(boxes))
        if self.rule == "guard":
            return self._guarded(boxes, inside, analysed)
        weights: Floats = _miles_lantuejoul(boxes, inside, analysed) * inside
        return weights

    def area_px2(self, analysed: Rectangle) -> float:
        """Area that the counted particles stand for, in square pixels.

        Raises:
            MeasureError: The guard frame leaves nothing of the picture.
        """
        frame = 2 * self.guard_px if self.rule == "guard" else 0.0
        width, height = analysed[2] - analysed[0] - frame, analysed[3] - analysed[1] - frame
        if min(width, height) <= 0:
            raise MeasureError(
                f"expected a guard frame that leaves a part of {analysed[2] - analysed[0]} x "
                f"{analysed[3] - analysed[1]} px, got {self.guard_px:g} px on every side"
            )
        return float(width * height)

    def _guarded(self, boxes: Floats, inside: npt.NDArray[np.bool_], analysed: Rectangle) -> Floats:
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        low, high = np.array(analysed[:2]) + self.guard_px, np.array(analysed[2:]) - self.guard_px
        counts = np.all((middle >= low) & (middle < high), axis=1)
        if cut := int((counts & ~inside).sum()):
            raise MeasureError(
                f"expected a guard frame of at least half the largest particle, got "
                f"{self.guard_px:g} px; {cut} of the particles inside it reach the picture's edge"
            )
        once: Floats = counts.astype(np.float64)
        return once


def least_guard_px(boxes: Floats) -> float:
    """Width of the narrowest guard frame for particles of a run: half the longest side of a box.

    Args:
        boxes: (N, 4) float64, x0 y0 x1 y1 in pixels, those at the edge too.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return float((boxes[:, 2:] - boxes[:, :2]).max(initial=0.0)) / 2


def _inside(boxes: Floats, analysed: Rectangle) -> npt.NDArray[np.bool_]:
    x0, y0, x1, y1 = boxes.T
    return np.asarray(
        (x0 > analysed[0]) & (y0 > analysed[1]) & (x1 < analysed[2]) & (y1 < analysed[3])
    )


def _miles_lantuejoul(boxes: Floats, inside: npt.NDArray[np.bool_], analysed: Rectangle) -> Floats:
    """W H / ((W - w) (H - h)): all places of a particle to those at which it lies inside."""
    across, down = analysed[2] - analysed[0], analysed[3] - analysed[1]
    width = np.where(inside, boxes[:, 2] - boxes[:, 0], 0)
    height = np.where(inside, boxes[:, 3] - boxes[:, 1], 0)
    weights: Floats = across * down / ((across - width) * (down - height))
    return weights
