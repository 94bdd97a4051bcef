"""Lengths in lines of text: "500 nm" is one, the working distance "WD 10.0mm" is not.

What a bar measures stands alone, as a number and a unit. A label before it (WD, HFW, Width, "=")
says that it is something else; the magnification that JEOL writes before it ("X1,500") does not.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.scale.bar.strokes import Box
from trainables.datasets.units import UM

_UNIT: Final = {
    "nm": "nm",
    "um": "um",
    "µm": "um",
    "μm": "um",
    "mm": "mm",
    "å": "A",
    "a": "A",
    "pm": "pm",
}

_TOKEN: Final = re.compile(
    r"(?<![\d.,])(\d{1,4}(?:[.,]\d{1,4})?)\s*(nm|[uµμ]m|mm|pm|[ÅÅåA])(?![A-Za-z0-9])"
)

_MAGNIFICATION: Final = re.compile(r"[x\u00d7X]\s*[\d.,]+\s*[kK]?|[\d.,]+\s*[kK]?\s*[x\u00d7X]")

_LABEL: Final = re.compile(
    r"(?i)\b(wd|hfw|hfov|vfw|fov|field|view|aperture|size|spot|width|height|dist(ance)?|stage|step|"
    r"pixel|depth|focus|aper|tilt|scan)\b"
)

_SURE: Final = 0.75
"""Confidence of a text from which on it is believed."""

_SAME_LINE: Final = 1.6
"""Least gap, in heights of the text, that separates two texts on one line."""

_MANTISSAS: Final = (
    1, 1.2, 1.25, 1.5, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 7.5, 8, 9,
)  # fmt: skip


@dataclass(frozen=True)
class Character:
    """A character and where it stands in the picture, in pixels."""

    text: str
    x: float


@dataclass(frozen=True)
class Line:
    """Texts on one row.

    Attributes:
        box: All of it.
        characters: From left to right.
        confidence: Probability of its characters, the least sure text's, 0 to 1.
    """

    box: Box
    characters: tuple[Character, ...]
    confidence: float = 1.0

    @property
    def text(self) -> str:
        """Its characters, with a bar where there is much room between two."""
        return "".join(c.text for c in self.characters)


@dataclass(frozen=True)
class BarText:
    """What is written beside a bar.

    Attributes:
        text: Number and unit as read, "um" for µm.
        um: Length in micrometres.
        box: Where it stands.
    """

    text: str
    value: float
    unit: str
    box: Box

    @property
    def um(self) -> float:
        """Length in micrometres."""
        return self.value * UM[self.unit]


def lengths_in(line: Line) -> Iterator[BarText]:
    """Lengths that stand alone in a line and may be a bar's, each where it stands."""
    for text, before, after in _lengths(line):
        if is_round(text.value) and not _is_label(_last_part(before)) and not _continues(after):
            yield text


def all_lengths_in(line: Line) -> Iterator[BarText]:
    """All lengths of a line, whatever stands before them."""
    return (text for text, _, _ in _lengths(line))


def _lengths(line: Line) -> Iterator[tuple[BarText, str, str]]:
    """Lengths above 0 in a line that is sure, with what stands before and after each."""
    plain = _plain(line.text) if line.confidence >= _SURE else ""
    for match in _TOKEN.finditer(plain):
        unit = _UNIT[match[2].lower()]
        value = float(match[1].replace(",", "."))
        if value > 0:
            text = BarText(_shown(match[1], unit), value, unit, _box(line, match))
            yield text, plain[: match.start()], plain[match.end() :]


def is_label(text: str) -> bool:
    """Whether a text names a quantity that is no scale bar, such as WD."""
    return _LABEL.search(text) is not None


def is_round(value: float) -> bool:
    """Whether a bar may be this long: programs draw round ones.

    >>> is_round(0.5), is_round(200), is_round(9.9), is_round(3.85)
    (True, True, False, False)
    """
    mantissa = float(f"{value:e}".partition("e")[0])
    return any(abs(mantissa - m) < 1e-6 for m in _MANTISSAS)


def joined(lines: Sequence[Line]) -> list[Line]:
    """Texts on one row as one line, those that are sure; `|` stands where there is much room.

    "500" and "nm" that were found apart are one length again.
    """
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda item: item.box.x0):
        if line.confidence < _SURE:
            continue
        row = next((r for r in rows if _on_one_row(r[-1].box, line.box)), None)
        if row is None:
            rows.append([line])
        else:
            row.append(line)
    return [_one(row) for row in rows]


def _on_one_row(a: Box, b: Box) -> bool:
    shared = min(a.y1, b.y1) - max(a.y0, b.y0) + 1
    return shared >= 0.5 * min(a.height, b.height)


def _one(row: Sequence[Line]) -> Line:
    box, characters = row[0].box, list(row[0].characters)
    for line in row[1:]:
        height = min(line.box.height, row[0].box.height)
        far = line.box.x0 - box.x1 > _SAME_LINE * height
        between = (box.x1 + line.box.x0) / 2
        characters += [Character("|" if far else " ", between), *line.characters]
        box = box.with_(line.box)
    return Line(box, tuple(characters))


def _plain(text: str) -> str:
    """Text with the letters that the recogniser takes for others, one for one."""
    return text.translate(_LOOKALIKES)


_LOOKALIKES: Final = str.maketrans(
    {
        "\uff0c": ",",  # full-width comma, full stop, colon and equals sign
        "\uff0e": ".",
        "\u3002": ".",
        "\uff1a": ":",
        "\uff1d": "=",
        "\u5369": "µ",
        "\u0391": "A",  # a Greek capital alpha
        "\u3000": " ",
    }
)


def _last_part(before: str) -> str:
    return before.rpartition("|")[2].strip()


def _is_label(before: str) -> bool:
    """Whether what stands before a length says what it is."""
    rest = _MAGNIFICATION.sub("", before).strip(" .,-—_'\"")
    return any(c.isalpha() or c in "=:±~<>*/" or c.isdigit() for c in rest)


def _continues(after: str) -> bool:
    """Whether what stands after a length goes on with it, as in "10 mm/s"."""
    return bool(re.match(r"\s*[/^²³x\u00d7*]", after))


def _shown(number: str, unit: str) -> str:
    return f"{number.replace(',', '.')} {unit}"


def _box(line: Line, match: "re.Match[str]") -> Box:
    first, last = line.characters[match.start()].x, line.characters[match.end() - 1].x
    half = round(0.3 * line.box.height)
    return Box(
        max(round(first) - half, line.box.x0),
        line.box.y0,
        min(round(last) + half, line.box.x1),
        line.box.y1,
    )
