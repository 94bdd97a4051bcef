"""The scale bar of a picture: of all bars with a length beside them, the one that fits best."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analysis.scale.bar.lengths import (
    BarText,
    Line,
    all_lengths_in,
    is_label,
    joined,
    lengths_in,
)
from analysis.scale.bar.lettering import (
    reach_px,
    read_line,
    texts_by_detector,
    texts_of_bright_ink,
    texts_of_ink,
)
from analysis.scale.bar.strokes import Box, Grey, Stroke, find_strokes

_MOST_BARS: Final = 30
"""Bars beside which a text is looked for, the likeliest first."""

_MOST_DETECTED: Final = 4
"""Of these, bars around which the slower detector looks for texts."""

_MOST_TEXTS: Final = 6
"""Texts that are read beside a bar, the nearest first."""

_NEAR: Final = 3.5
"""Heights of a text from a bar to where it is read."""

_FARTHEST: Final = 2.6
"""Cost from which on a length does not belong to a bar; about heights of the text."""

_CLEAR: Final = 0.5
"""Cost by which the best must be ahead of one that says something else."""

_CLEAR_OF_ONE_TEXT: Final = 0.12
"""The same where both have one text."""

_TOUCHING_PX: Final = 2
"""Rows between letters and their own outline, at most."""

_UNEVEN: Final = 20.0
"""Standard deviation of a bar's grey levels that counts as much as one height of the text."""

_LEAST_LESS: Final = -80

_LEAST_CONTRAST: Final = 35
"""Grey levels between a text and its ground."""

_MOST_MORE: Final = 30
"""Grey levels that a text may be brighter than its bar."""

_SAME: Final = 0.03

_LEAST_UM_PER_PX: Final = 1e-6
"""No electron microscope samples finer than a picometre."""

_LARGEST_UM_PER_PX: Final = 500.0

_MARGINS: Final = (0.1, 0.35)
"""Further ways to crop a text, which must be read alike."""


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar that was found and read.

    Attributes:
        stroke: The bar.
        text: What is written beside it.
    """

    stroke: Stroke
    text: BarText

    @property
    def um_per_px(self) -> float:
        """Side of a pixel in micrometres."""
        return self.text.um / self.stroke.length_px

    @property
    def rel_uncertainty(self) -> float:
        """One pixel of the bar's length."""
        return 1 / self.stroke.length_px


@dataclass(frozen=True)
class BarSearch:
    """What a search for the scale bar found.

    Attributes:
        bar: The scale bar, or None.
        reason: Why there is none; empty where there is one.
        strokes: All bars that were looked at.
        texts: Rectangles of the texts that were read.
    """

    bar: ScaleBar | None
    reason: str = ""
    strokes: tuple[Stroke, ...] = ()
    texts: tuple[Box, ...] = ()

    def moved(self, x: int, y: int) -> "BarSearch":
        """The search of a part of a picture, with places of the whole picture.

        Args:
            x: First column of the part.
            y: First row of the part.
        """
        bar = self.bar
        if bar is not None:
            text = replace(bar.text, box=bar.text.box.moved(x, y))
            bar = ScaleBar(bar.stroke.moved(x, y), text)
        strokes = tuple(stroke.moved(x, y) for stroke in self.strokes)
        return BarSearch(bar, self.reason, strokes, tuple(b.moved(x, y) for b in self.texts))


@dataclass(frozen=True)
class _Fit:
    """A length beside a bar, and how badly it fits."""

    bar: ScaleBar
    cost: float
    lines: tuple[Line, ...]


def find_scale_bar(grey: Grey) -> BarSearch:
    """The scale bar of a picture, or the reason why there is none.

    Args:
        grey: (H, W) uint8; where it is only a part of a picture, all places are of that part.

    Raises:
        ScaleError: The packages that read texts are not installed.
    """
    strokes = sorted(find_strokes(grey), key=lambda s: _unlikely(s, grey.shape))[:_MOST_BARS]
    reader = _Reader(grey)
    reason = "no bar has a length written beside it" if strokes else "no scale bar was found"
    for texts, most in (
        (texts_of_ink, _MOST_BARS),
        (texts_of_bright_ink, _MOST_BARS),
        (texts_by_detector, _MOST_DETECTED),
    ):
        fits = [fit for stroke in strokes[:most] for fit in _fits(reader, stroke, texts)]
        if fits:
            bar, reason = _chosen(reader, sorted(fits, key=lambda fit: fit.cost))
            if bar is not None:
                return BarSearch(bar, "", tuple(strokes), tuple(reader.boxes))
    return BarSearch(None, reason, tuple(strokes), tuple(reader.boxes))


class _Reader:
    """Reads texts of one picture, each once."""

    def __init__(self, grey: Grey) -> None:
        self.grey = grey
        self._read: dict[tuple[Box, bool], Line] = {}

    @property
    def boxes(self) -> list[Box]:
        """Rectangles of all texts that were read."""
        return [box for box, _ in self._read]

    def read(self, box: Box, *, bright: bool) -> Line:
        """The text in a rectangle."""
        key = (box, bright)
        if key not in self._read:
            self._read[key] = read_line(self.grey, box, bright=bright)
        return self._read[key]


def _unlikely(stroke: Stroke, shape: Sequence[int]) -> float:
    """Larger for bars that look less like one: uneven, short, in the middle of the picture."""
    height = shape[0]
    edge = min(stroke.box.y0, height - 1 - stroke.box.y1) / height
    gap = 0.0 if stroke.gap is None else -0.3
    return edge + stroke.spread / 20 + gap - 0.2 * min(stroke.length_px / shape[1], 0.3)


def _fits(
    reader: _Reader, stroke: Stroke, texts: Callable[[Grey, Stroke], list[Box]]
) -> Iterator[_Fit]:
    """Lengths beside a bar."""
    boxes = [box for box in texts(reader.grey, stroke) if _is_near(reader.grey, stroke, box)]
    boxes = sorted(boxes, key=lambda box: _distance(stroke, box))[:_MOST_TEXTS]
    lines = joined([reader.read(box, bright=stroke.bright) for box in boxes])
    for line in lines:
        for text in lengths_in(line):
            cost = _cost(stroke, text.box) + stroke.spread / _UNEVEN
            if not _one_ink(reader.grey, stroke, text.box):
                continue
            if cost <= _FARTHEST and not _is_labelled(text, line, lines):
                yield _Fit(ScaleBar(stroke, text), cost, tuple(lines))


def _one_ink(grey: Grey, stroke: Stroke, box: Box) -> bool:
    """Whether bar and text are of one brightness, on a ground that is not.

    Small letters are a little less bright than their bar. Without the ground a white margin below
    black letters would be their bar.
    """
    levels = grey if stroke.bright else 255 - grey
    letters = levels[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1]
    level = float(np.percentile(letters, 97))
    rows = [y for y in (box.y0 - 2, box.y1 + 2) if 0 <= y < grey.shape[0]]
    ground = float(np.median(levels[rows, box.x0 : box.x1 + 1])) if rows else 0.0
    return _LEAST_LESS <= level - stroke.level <= _MOST_MORE and level - ground >= _LEAST_CONTRAST


def _is_near(grey: Grey, stroke: Stroke, box: Box) -> bool:
    """Whether a text may be what is written beside a bar, or a label of it."""
    near = min(_NEAR * box.height, reach_px(grey.shape[0]))
    wide = box.width >= box.height or stroke.gap is not None
    return wide and stroke.extent.gap_y(box) <= near and stroke.extent.gap_x(box) <= near


def _distance(stroke: Stroke, box: Box) -> int:
    return stroke.extent.gap_x(box) + stroke.extent.gap_y(box)


def _cost(stroke: Stroke, box: Box) -> float:
    """How badly a text belongs to a bar, in heights of the text."""
    height = max(box.height, 8)
    if stroke.gap is not None:
        return 0.0 if _fills(stroke.gap, box) else _FARTHEST + 1
    if stroke.length_px < box.height:
        return _FARTHEST + 1  # a dash of a text
    core = Box(box.x0, box.y0 + height // 6, box.x1, box.y1 - height // 6)
    if not stroke.box.gap_x(core) and not stroke.box.gap_y(core):
        return _FARTHEST + 1  # the stroke is a part of its letters
    extent = stroke.extent
    sideways, upright = extent.gap_x(box), extent.gap_y(box)
    if upright <= _TOUCHING_PX and not sideways and stroke.length_px < box.width:
        return _FARTHEST + 1  # the outline of its letters
    center = abs((box.x0 + box.x1) - (stroke.box.x0 + stroke.box.x1)) / 2
    aligned = min(center, abs(box.x0 - stroke.box.x0), abs(box.x1 - stroke.box.x1), key=lambda d: d)
    beside = upright == 0 and sideways > 0
    off = 0.0 if beside else 0.1 * min(aligned / height, 5)
    return (upright + 0.8 * sideways) / height + off


def _fills(gap: Box, box: Box) -> bool:
    """Whether a text stands in the gap of a bar, on its line."""
    off_line = abs((box.y0 + box.y1) - (gap.y0 + gap.y1)) / 2
    inside = gap.x0 - 3 <= box.x0 and box.x1 <= gap.x1 + 3
    return inside and off_line <= 0.35 * box.height and box.width >= 0.4 * gap.width


def _is_labelled(text: BarText, own: Line, lines: Sequence[Line]) -> bool:
    """Whether a label such as WD stands just above a length, as in a table."""
    for line in lines:
        above = text.box.y0 - line.box.y1
        if line is not own and -2 <= above <= 1.5 * text.box.height:
            middle = (text.box.x0 + text.box.x1) / 2
            near = [c for c in line.characters if abs(c.x - middle) <= 0.8 * text.box.width]
            if is_label("".join(c.text for c in near)):
                return True
    return False


def _chosen(reader: _Reader, fits: Sequence[_Fit]) -> tuple[ScaleBar | None, str]:
    """The best of several, unless another one says something else."""
    best = fits[0]
    for fit in fits[1:]:
        other = abs(fit.bar.um_per_px / best.bar.um_per_px - 1) > _SAME
        if other and fit.cost - best.cost < _clear(best.bar, fit.bar):
            a, b = best.bar, fit.bar
            return None, (
                f"two bars may be the scale bar: {a.text.text} at {a.stroke.length_px} px and "
                f"{b.text.text} at {b.stroke.length_px} px; give --roi, or --pixel-size"
            )
    return _confirmed(reader, best.bar)


def _clear(best: ScaleBar, other: ScaleBar) -> float:
    """Cost by which the best must be ahead of another one that says something else."""
    if best.text.box.gap_x(other.text.box) or best.text.box.gap_y(other.text.box):
        return _CLEAR
    return 0.0 if best.stroke.gap else _CLEAR_OF_ONE_TEXT  # the nearer bar has it


def _confirmed(reader: _Reader, bar: ScaleBar) -> tuple[ScaleBar | None, str]:
    """A bar whose text is read alike in further crops."""
    text = bar.text
    votes = [(text.value, text.unit)]
    for margin in _MARGINS:
        line = read_line(reader.grey, text.box, bright=bar.stroke.bright, margin=margin)
        votes += [(t.value, t.unit) for t in lengths_in(line)][:1]
    wider = _wider(reader, bar)
    if sum(vote == votes[0] for vote in votes) < 2 or any(vote != votes[0] for vote in wider):
        votes += wider
        return None, f"the text beside the bar reads {_words(votes)}; it is too unclear"
    return _plausible(bar)


def _wider(reader: _Reader, bar: ScaleBar) -> list[tuple[float, str]]:
    """What the text reads together with what is beside it, in case that belongs to it."""
    box = bar.text.box
    by = box.height
    around = Box(max(box.x0 - by, 0), box.y0, min(box.x1 + by, reader.grey.shape[1] - 1), box.y1)
    line = read_line(reader.grey, around, bright=bar.stroke.bright)
    return [(text.value, text.unit) for text in all_lengths_in(line) if not text.box.gap_x(box)]


def _words(votes: Sequence[tuple[float, str]]) -> str:
    return " or ".join(dict.fromkeys(f"{value:g} {unit}" for value, unit in votes))


def _plausible(bar: ScaleBar) -> tuple[ScaleBar | None, str]:
    """A bar whose pixels are of a size that there is."""
    text = bar.text
    if text.unit == "pm" and bar.um_per_px < _LEAST_UM_PER_PX:
        text = BarText(text.text.replace("pm", "um"), text.value, "um", text.box)
        bar = ScaleBar(bar.stroke, text)
    elif text.unit == "pm":
        return None, f"the text beside the bar reads {text.text}, which may be µm"
    if not _LEAST_UM_PER_PX <= bar.um_per_px <= _LARGEST_UM_PER_PX:
        return None, f"{text.text} over {bar.stroke.length_px} px is no pixel of a microscope"
    return bar, ""
