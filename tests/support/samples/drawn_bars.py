"""Pictures with a scale bar drawn as microscopes draw them, and the truth beside them.

Fonts are those that come with matplotlib: they have the micro sign and the ring of the ångström.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Grey = npt.NDArray[np.uint8]

UM: Final = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "Å": 1e-4}

FONTS: Final = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")

LENGTHS: Final = (
    *("1 µm", "2 µm", "5 µm", "10 µm", "20 µm", "50 µm", "100 µm", "200 µm", "500 µm", "0.5 µm"),
    *("1 nm", "2 nm", "5 nm", "10 nm", "20 nm", "50 nm", "100 nm", "200 nm", "300 nm", "500 nm"),
    *("1 mm", "2 mm", "0.5 mm", "5 Å", "10 Å", "2.5 µm", "1.5 µm", "30 µm", "0.2 µm", "40 µm"),
)


@dataclass(frozen=True)
class DrawnBar:
    """A picture with a scale bar.

    Attributes:
        layout: Name of the way it is drawn.
        pixels: (H, W) uint8.
        text: What is written, number and unit with one space.
        x0: First column of the bar.
        x1: Last column of the bar.
        strip: First row of the data bar, or None where the bar lies on the picture.
    """

    layout: str
    pixels: Grey
    text: str
    x0: int
    x1: int
    strip: int | None

    @property
    def um_per_px(self) -> float:
        """Micrometres of a pixel."""
        number, unit = self.text.split(" ")
        return float(number) * UM[unit] / (self.x1 - self.x0 + 1)


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font of matplotlib's."""
    return _font(name, size)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    place = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(place), size)


def drawn_label(seed: int) -> tuple[Grey, str, tuple[int, int, int, int]]:
    """A length drawn on a plain strip: the strip, the length, and its x0 y0 x1 y1."""
    rng = np.random.default_rng([7, seed])
    text = LENGTHS[seed % len(LENGTHS)]
    written = text.replace(" ", str(rng.choice(["", " "])))
    written = written.replace("µ", str(rng.choice(["µ", "µ", "u"])))
    face = font(str(rng.choice(FONTS)), int(rng.integers(13, 40)))
    dark = bool(rng.integers(2))
    image = Image.new("L", (420, 90), int(rng.integers(0, 60)) if dark else 255)
    draw = ImageDraw.Draw(image)
    draw.text((30, 20), written, fill=255 if dark else 0, font=face)
    box = draw.textbbox((30, 20), written, font=face)
    return _saved(np.asarray(image), rng), text, tuple(int(v) for v in box)  # type: ignore[return-value]


def content(rng: np.random.Generator, height: int, width: int) -> Grey:
    """A micrograph: bright particles and needles on a noisy ground."""
    image = Image.new("L", (width, height), int(rng.integers(30, 110)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(20, 120))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        a, b = rng.uniform(4, 40, 2)
        level = int(rng.integers(90, 200))
        if rng.integers(2):
            draw.ellipse((x - a, y - b, x + a, y + b), fill=level)
        else:
            draw.line((x, y, x + 6 * a - 90, y + 6 * b - 90), fill=level, width=int(a / 3) + 1)
    noisy = np.asarray(image) + rng.normal(0, 8, (height, width))
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


class _Sheet:
    """A picture on which a layout draws."""

    def __init__(self, rng: np.random.Generator, *, strip: bool, dark: bool) -> None:
        self.rng = rng
        self.width = int(rng.choice([640, 1024, 1280, 1536, 2048]))
        self.height = round(self.width * 0.75)
        self.strip_px = max(44, round(0.07 * self.height)) if strip else 0
        self.dark = dark
        self.ground, self.ink = (int(rng.choice([0, 0, 53])), 255) if dark else (255, 0)
        pixels = content(rng, self.height, self.width)
        self.top = self.height - self.strip_px
        pixels[self.top :] = self.ground
        self.image = Image.fromarray(pixels)
        self.draw = ImageDraw.Draw(self.image)
        self.text_px = max(13, round((0.36 * self.strip_px) if strip else 0.035 * self.height))
        self.font = font(str(rng.choice(FONTS[:4])), self.text_px)
        self.thin = max(1, self.width // 700)
        self.length = str(rng.choice(LENGTHS))
        number, unit = self.length.split(" ")
        self.written = f"{number}{rng.choice(['', ' '])}{unit}"

    def bar_px(self, least: float = 0.05, most: float = 0.28) -> int:
        """A length of the bar in pixels."""
        return int(self.rng.uniform(least, most) * self.width)

    def text(self, x: float, y: float, words: str, anchor: str = "lt") -> tuple[float, ...]:
        """Write, and tell where it stands."""
        self.draw.text((round(x), round(y)), words, fill=self.ink, font=self.font, anchor=anchor)
        return self.draw.textbbox((round(x), round(y)), words, font=self.font, anchor=anchor)

    def block(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """A filled rectangle, its last column and row included."""
        self.draw.rectangle((round(x0), round(y0), round(x1), round(y1)), fill=self.ink)

    def ticked(self, x0: int, x1: int, y: int, up: int, down: int) -> None:
        """A thin line with ticks at its ends."""
        self.block(x0, y, x1, y + self.thin - 1)
        for left in (x0, x1 - self.thin + 1):
            self.block(left, y - up, left + self.thin - 1, y + self.thin - 1 + down)

    def done(self, layout: str, x0: int, x1: int) -> DrawnBar:
        """The finished picture."""
        text = self.length.replace("µm", "um")
        strip = self.top if self.strip_px else None
        pixels = _saved(np.asarray(self.image), self.rng)
        return DrawnBar(layout, pixels, text.replace("Å", "A"), x0, x1, strip)


def _saved(pixels: Grey, rng: np.random.Generator) -> Grey:
    """The picture as it is read back, of half of them as JPEG."""
    if rng.integers(2):
        return np.array(pixels)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(rng.integers(80, 96)))
    return np.array(Image.open(file))


def _jeol(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=True, dark=True)
    n, y = s.bar_px(0.03, 0.25), s.top + 8
    x1 = round(0.78 * s.width)
    s.block(x1 - n + 1, y, x1, y + max(3, s.strip_px // 12))
    row = y + s.strip_px // 12 + 8
    box = s.text(x1 - 0.03 * s.width, row, s.written, "rt")
    s.text(box[0] - 2 * s.text_px, row, f"X{int(rng.integers(1, 90))},500", "rt")
    s.text(x1 + 2 * s.text_px, row, "WD 10.0mm")
    s.text(12, row, "SEI   15.0kV")
    return s.done("jeol", x1 - n + 1, x1)


def _beside(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=True, dark=bool(rng.integers(2)))
    n, y = s.bar_px(), s.top + s.strip_px // 2
    x0 = round(0.55 * s.width)
    s.block(x0, y - 3, x0 + n - 1, y + 3)
    if rng.integers(2):
        s.text(x0 - 0.6 * s.text_px, y, s.written, "rm")
    else:
        s.text(x0 + n + 0.6 * s.text_px, y, s.written, "lm")
    s.text(12, y, "20.0 kV  WD = 5.0 mm", "lm")
    return s.done("beside", x0, x0 + n - 1)


def _zeiss(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=True, dark=bool(rng.integers(2)))
    n, x0 = s.bar_px(0.06), round(rng.uniform(0.02, 0.15) * s.width)
    s.text(x0, s.top + 4, s.written)
    s.ticked(x0, x0 + n - 1, s.top + s.strip_px * 2 // 3, s.strip_px // 7, s.strip_px // 7)
    x = 0.48 * s.width
    s.text(x, s.top + 4, "EHT = 5.00 kV   WD = 2.8 mm")
    s.text(x, s.top + s.strip_px // 2, "Mag = 50.00 K X   Aperture Size = 30.00 µm")
    return s.done("zeiss", x0, x0 + n - 1)


def _fei(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=True, dark=bool(rng.integers(2)))
    edge = round(0.62 * s.width)
    s.draw.rectangle((0, s.top, s.width - 1, s.height - 1), outline=s.ink, width=s.thin)
    for i, (head, body) in enumerate((("HV", "5.00 kV"), ("WD", "4.0 mm"), ("HFW", "2.00 mm"))):
        x = 0.04 * s.width + i * 0.19 * s.width
        s.text(x, s.top + 4, head)
        s.text(x, s.top + s.strip_px // 2 + 2, body)
        s.block(x + 0.16 * s.width, s.top, x + 0.16 * s.width + s.thin - 1, s.height)
    s.block(edge, s.top + s.strip_px // 2, s.width, s.top + s.strip_px // 2 + s.thin - 1)
    s.text((edge + s.width) / 2, s.top + 3 * s.strip_px // 4, "Helios E-Beam", "mm")
    wide = s.font.getlength(s.written)
    n = round(max(s.bar_px(0.18, 0.33), wide + 8 * s.text_px))
    n = min(n, round(0.34 * s.width))
    x0, y = round((edge + s.width - n) / 2), s.top + s.strip_px // 4
    half = (n - wide) / 2 - 0.4 * s.text_px
    s.text(x0 + n / 2, y, s.written, "mm")
    for a, b, tip in (
        (x0, round(x0 + half), x0),
        (round(x0 + n - 1 - half), x0 + n - 1, x0 + n - 1),
    ):
        s.block(a, y - s.thin // 2, b, y - s.thin // 2 + s.thin - 1)
        up = max(3, s.strip_px // 10)
        s.block(min(tip, tip), y - up, tip, y + up)
    return s.done("fei", x0, x0 + n - 1)


def _tescan(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=True, dark=True)
    half = s.top + s.strip_px // 2
    s.draw.line((0, half, s.width, half), fill=s.ground + 40)
    n, x0 = s.bar_px(0.15, 0.28), round(0.66 * s.width)
    s.ticked(x0, x0 + n - 1, half - 5, s.strip_px // 3, 0)
    s.text(x0 + n / 2, half - 8 - s.thin, s.written, "mb")
    for i, words in enumerate(("WD: 3.85 mm", "View field: 10.0 µm")):
        s.text(0.04 * s.width + i * 0.24 * s.width, s.top + 3, words)
    s.text(0.1 * s.width, half + 3, "SEM HV: 5 kV")
    return s.done("tescan", x0, x0 + n - 1)


def _mira(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=True, dark=True)
    row = s.strip_px // 2
    n, x0 = s.bar_px(0.12, 0.28), round(0.62 * s.width)
    s.ticked(x0, x0 + n - 1, s.top + row // 2, row // 4, row // 4)
    s.text(x0 + n / 2, s.top + row + 3, s.written, "mt")
    s.text(0.03 * s.width, s.top + 3, "SEM HV: 20.0 kV")
    s.text(0.33 * s.width, s.top + 3, "WD: 10.00 mm")
    s.text(0.03 * s.width, s.top + row + 3, "View field: 20.0 µm")
    s.text(0.38 * s.width, s.top + row + 3, "Det: SE")
    return s.done("mira", x0, x0 + n - 1)


def _hitachi(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=True, dark=True)
    step = max(6, s.bar_px(0.15, 0.3) // 10)
    x0, y = round(0.64 * s.width), s.top + 6
    for i in range(11):
        tall = s.strip_px // 5 if i in (0, 5, 10) else s.strip_px // 9
        s.block(x0 + i * step, y, x0 + i * step + s.thin - 1, y + tall)
    row = y + s.strip_px // 5 + 6
    s.text(x0 + 10 * step, row, s.written, "rt")
    s.text(10, row, "S4800 10.0kV 8.5mm x50.0k SE(M)")
    return s.done("hitachi", x0, x0 + 10 * step + s.thin - 1)


def _over(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=False, dark=True)
    n, thick = s.bar_px(0.08), max(3, s.height // 110)
    x0 = int(rng.choice([round(0.03 * s.width), round(0.97 * s.width) - n]))
    y = s.height - round(0.04 * s.height) - thick
    if rng.integers(2):
        s.block(x0, y, x0 + n - 1, y + thick - 1)
        s.text(x0 + n / 2, y - 6, s.written, "mb")
    else:
        y -= round(1.5 * s.text_px)
        s.block(x0, y, x0 + n - 1, y + thick - 1)
        s.text(x0 + n / 2, y + thick + 6, s.written, "mt")
    return s.done("over", x0, x0 + n - 1)


def _box(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=False, dark=bool(rng.integers(2)))
    n, thick, pad = s.bar_px(0.12), max(3, s.height // 90), 10
    wide = round(max(n, s.font.getlength(s.written))) + 2 * pad
    high = round(1.3 * s.text_px) + thick + 3 * pad
    left, top = s.width - wide, s.height - high
    s.draw.rectangle((left, top, s.width, s.height), fill=s.ground)
    x0 = left + (wide - n) // 2
    above = bool(rng.integers(2))
    y = s.height - pad - thick if above else top + pad
    s.block(x0, y, x0 + n - 1, y + thick - 1)
    s.text(
        left + wide / 2, y - pad if above else y + thick + pad, s.written, "mb" if above else "mt"
    )
    return s.done("box", x0, x0 + n - 1)


def _outlined(rng: np.random.Generator) -> DrawnBar:
    s = _Sheet(rng, strip=False, dark=True)
    n, thick = s.bar_px(0.1), max(4, s.height // 80)
    x0, y = round(0.02 * s.width), s.height - round(0.03 * s.height) - thick
    s.draw.rectangle((x0 - 2, y - 2, x0 + n + 1, y + thick + 1), fill=0)
    s.block(x0, y, x0 + n - 1, y + thick - 1)
    at = (round(x0 + n / 2), y - 8)
    face = {"font": s.font, "anchor": "mb", "fill": 255}
    s.draw.text(at, s.written, stroke_width=2, stroke_fill=0, **face)  # type: ignore[arg-type]
    return s.done("outlined", x0, x0 + n - 1)


LAYOUTS: Final[tuple[Callable[[np.random.Generator], DrawnBar], ...]] = (
    *(_jeol, _beside, _zeiss, _fei, _tescan, _mira, _hitachi, _over, _box, _outlined),
)


def drawn_bar(seed: int) -> DrawnBar:
    """A picture with a scale bar; each seed a layout, a length, a font and a size of its own."""
    return LAYOUTS[seed % len(LAYOUTS)](np.random.default_rng([11, seed]))


def drawn_without_bar(seed: int) -> Grey:
    """A picture whose data bar holds numbers with units, and no scale bar."""
    rng = np.random.default_rng([13, seed])
    s = _Sheet(rng, strip=bool(seed % 3), dark=bool(rng.integers(2)))
    if s.strip_px:
        s.draw.line((0, s.top, s.width, s.top), fill=s.ink)
        s.text(12, s.top + 8, "HV 15.0 kV   WD 10.0 mm   HFW 20.0 µm")
        s.text(12, s.top + s.strip_px // 2 + 2, "Aperture Size = 30.00 µm   Date :16 Jan 2019")
    return _saved(np.asarray(s.image), rng)
