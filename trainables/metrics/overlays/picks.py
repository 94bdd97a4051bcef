"""Pictures with particles and picks drawn, to see what a figure stands for.

Left the picture with its true particles, right the same picture with what became of each pick and
each particle: told apart by colour and by form, for readers who do not see the one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from trainables.datasets.drawing import SHIFT, Rgb, displayed
from trainables.metrics.confidence import confidence_text
from trainables.metrics.overlays.instances import (
    OUTCOMES,
    PANEL_PX,
    Panel,
    Pixels,
    caption,
    write_panels,
)
from trainables.metrics.overlays.particle_scores import (
    Matching,
    ParticleScore,
    PickedPicture,
    PickOutcome,
    pick_outcome,
)

TRUE: Final[Rgb] = (70, 175, 255)
"""Colour of the particles that are there."""

_CROSS: Final = 0.75  # half its side, in radii

_THIN_PX, _THICK_PX = 1, 2

_SMALL_PX: Final = 6.0  # radius on the panel below which lines are thin

Places = npt.NDArray[np.float64]

Draw = Callable[[Pixels, Places, float, Rgb, int], None]


def draw_picks(
    picture: PickedPicture, pixels: Pixels, score: ParticleScore, matching: Matching, path: Path
) -> Path:
    """Write a picture with its particles and its picks.

    Args:
        picture: Picture to draw.
        pixels: (H, W, 3) uint8 RGB.
        score: Score of the picture.
        matching: Rule by which the score was taken.
        path: PNG file to write.
    """
    shown, scale = displayed(pixels, PANEL_PX)
    radius = picture.radius_px * scale
    left = shown.copy()
    _circles(left, picture.centers * scale, radius, TRUE, _width_px(radius))
    found = pick_outcome(picture, matching)
    right, legend = _outcomes(shown.copy(), picture, found, scale)
    panels = (
        Panel("true", [(f"particle {len(picture.centers)}", TRUE)], left),
        Panel("picked", legend, right),
    )
    error = score.position_error_px
    where = "" if error is None else f", position error {error:.2f} px"
    confidence = confidence_text(matching.confidence)
    at = f"within {score.match_radius_px:.1f} px, confidence {confidence}{where}"
    return write_panels(panels, (caption(picture.image, score), at), path)


def _outcomes(
    canvas: Pixels, picture: PickedPicture, found: PickOutcome, scale: float
) -> tuple[Pixels, list[tuple[str, Rgb]]]:
    """The picks drawn by what became of them, right ones on top, with their counts."""
    places = {
        "missed": picture.centers[found.missed],
        "false": found.picks.centers[~found.right],
        "found": found.picks.centers[found.right],
    }
    radius = picture.radius_px * scale
    for name, draw in _FORMS.items():
        draw(canvas, places[name] * scale, radius, OUTCOMES[name], _width_px(radius))
    legend = [
        (f"{name} {len(places[name])}", color) for name, color in OUTCOMES.items() if name in places
    ]
    return canvas, legend


def _circles(canvas: Pixels, centers: Places, radius: float, color: Rgb, width: int) -> None:
    for x, y in _fixed(centers):
        cv2.circle(canvas, (x, y), round(radius * 2**SHIFT), color, width, cv2.LINE_AA, SHIFT)


def _squares(canvas: Pixels, centers: Places, radius: float, color: Rgb, width: int) -> None:
    side = round(radius * 2**SHIFT)
    for x, y in _fixed(centers):
        corners = (x - side, y - side), (x + side, y + side)
        cv2.rectangle(canvas, *corners, color, width, cv2.LINE_AA, SHIFT)


def _crosses(canvas: Pixels, centers: Places, radius: float, color: Rgb, width: int) -> None:
    arm = round(_CROSS * radius * 2**SHIFT)
    for x, y in _fixed(centers):
        for down in (arm, -arm):
            ends = (x - arm, y - down), (x + arm, y + down)
            cv2.line(canvas, *ends, color, width, cv2.LINE_AA, SHIFT)


_FORMS: Final[Mapping[str, Draw]] = {"missed": _squares, "false": _crosses, "found": _circles}


def _fixed(centers: Places) -> list[tuple[int, int]]:
    """Places as OpenCV draws them: from the middle of the first pixel, to 1/2**SHIFT."""
    points = np.rint((centers - 0.5) * 2**SHIFT).astype(int)
    return [(x, y) for x, y in points.tolist()]


def _width_px(radius: float) -> int:
    return _THIN_PX if radius < _SMALL_PX else _THICK_PX
