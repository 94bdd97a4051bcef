"""The part of every picture in which the scale bar is looked for."""

from dataclasses import dataclass
from typing import Final

from analysis.errors import ScaleError
from analysis.scale.bar.strokes import Box

_EXAMPLES: Final = "0,0.85,1,0.15 (fractions of width and height) or 0,900,1280,124 (pixels)"

_SMALLEST_PX: Final = 12


@dataclass(frozen=True)
class Roi:
    """A rectangle, in pixels or in fractions of a picture's sides.

    Attributes:
        x: Left edge.
        y: Upper edge.
        width: Width.
        height: Height.
        in_fractions: Whether these are fractions.
        text: The user's own words.
    """

    x: float
    y: float
    width: float
    height: float
    in_fractions: bool
    text: str

    def within(self, shape: tuple[int, int]) -> Box | None:
        """The part of it that lies in a picture of (height, width); None where too little does."""
        across, down = (shape[1], shape[0]) if self.in_fractions else (1, 1)
        x0, y0 = max(round(self.x * across), 0), max(round(self.y * down), 0)
        x1 = min(round((self.x + self.width) * across), shape[1]) - 1
        y1 = min(round((self.y + self.height) * down), shape[0]) - 1
        box = Box(x0, y0, x1, y1)
        return box if min(box.width, box.height) >= _SMALLEST_PX else None


def read_roi(text: str) -> Roi:
    """The rectangle that the user writes as x,y,w,h.

    Raises:
        ScaleError: It is none.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or min(numbers[:2]) < 0 or min(numbers[2:]) <= 0:
        raise ScaleError(f"--roi: expected x,y,w,h as {_EXAMPLES}, got {text!r}")
    x, y, width, height = numbers
    in_fractions = max(numbers) <= 1
    if not in_fractions and any(number != round(number) for number in numbers):
        raise ScaleError(
            f"--roi: expected four fractions up to 1 or four whole numbers of pixels, as "
            f"{_EXAMPLES}, got {text!r}"
        )
    return Roi(x, y, width, height, in_fractions, text)
