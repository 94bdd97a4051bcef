"""Scale bars that are drawn here, in the layouts of many microscopes: how many are read right."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from analysis.scale.bar.finding import ScaleBar, find_scale_bar
from analysis.scale.bar.lengths import BarText, lengths_in
from analysis.scale.bar.lettering import read_line
from analysis.scale.bar.ocr import ocr_is_installed
from analysis.scale.bar.strokes import Box, Stroke, find_strokes
from analysis.scale.region import analysed_region
from tests.support.samples.drawn_bars import (
    LAYOUTS,
    drawn_bar,
    drawn_label,
    drawn_without_bar,
    font,
)

pytestmark = pytest.mark.skipif(
    not ocr_is_installed(), reason="rapidocr and onnxruntime are not installed"
)

N_LABELS, N_BARS, N_WITHOUT = 120, 40, 12


@pytest.mark.slow
def test_labels_are_read_with_their_units() -> None:
    right, wrong = 0, []
    for seed in range(N_LABELS):
        grey, text, box = drawn_label(seed)
        bright = bool(np.median(grey) < 128)
        line = read_line(grey, Box(*box), bright=bright)
        read = [found.text for found in lengths_in(line)]
        expected = text.replace("µ", "u").replace("Å", "A")
        right += read == [expected]
        wrong += [(expected, read)] if read and read != [expected] else []
    assert wrong == []
    assert right >= 0.97 * N_LABELS


@pytest.mark.slow
def test_whole_data_bars_are_read_and_none_silently_wrong() -> None:
    right, wrong, layouts = 0, [], set()
    for seed in range(N_BARS):
        drawn = drawn_bar(seed)
        layouts.add(drawn.layout)
        bar = find_scale_bar(drawn.pixels).bar
        if bar is None:
            continue
        true_px = drawn.x1 - drawn.x0 + 1
        close = abs(bar.stroke.length_px - true_px) <= max(1, 0.02 * true_px)
        if bar.text.text == drawn.text and close:
            right += 1
        else:
            wrong.append((seed, drawn.layout, drawn.text, bar.text.text, bar.stroke.length_px))
    assert wrong == []
    assert right >= 0.97 * N_BARS
    assert len(layouts) == len(LAYOUTS)


@pytest.mark.slow
def test_numbers_with_units_but_without_a_bar_are_no_scale() -> None:
    for seed in range(N_WITHOUT):
        search = find_scale_bar(drawn_without_bar(seed))
        assert search.bar is None, seed
        assert search.reason


def test_the_drawn_bar_is_among_the_strokes_with_its_exact_ends() -> None:
    for seed in range(len(LAYOUTS)):
        drawn = drawn_bar(seed)
        ends = [(s.box.x0, s.box.x1) for s in find_strokes(drawn.pixels)]
        near = [e for e in ends if abs(e[0] - drawn.x0) <= 1 and abs(e[1] - drawn.x1) <= 1]
        assert near, drawn.layout


def test_the_data_bar_is_found_by_its_ground() -> None:
    found = 0
    for seed in range(3 * len(LAYOUTS)):
        drawn = drawn_bar(seed)
        strip = analysed_region(drawn.pixels).strip
        if drawn.strip is None:
            assert strip is None, drawn.layout
        elif strip is not None:
            found += 1
            height = drawn.pixels.shape[0]
            assert abs(strip.y - drawn.strip) <= 0.02 * height, (seed, drawn.layout)
    assert found == sum(drawn_bar(s).strip is not None for s in range(3 * len(LAYOUTS)))


def test_a_white_margin_below_a_black_bar_in_a_white_box_is_no_bar() -> None:
    grey = np.asarray(np.random.default_rng(5).integers(60, 120, (360, 512)), np.uint8)
    image = Image.fromarray(grey)
    draw = ImageDraw.Draw(image)
    draw.rectangle((415, 318, 511, 359), fill=255)  # 97 px wide; below the bar 6 px remain
    draw.rectangle((421, 348, 506, 353), fill=0)
    draw.text((463, 346), "500 nm", fill=0, font=font("DejaVuSans", 20), anchor="mb")
    bar = find_scale_bar(np.array(image)).bar
    assert bar is not None
    assert (bar.text.text, bar.stroke.length_px, bar.stroke.bright) == ("500 nm", 86, False)


def bars_in(grey: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> list[tuple[int, int]]:
    """First and last columns of all bars that may be scale bars."""
    return [(stroke.box.x0, stroke.box.x1) for stroke in find_strokes(grey)]


def test_a_pixel_that_jpeg_dimmed_does_not_end_a_bar() -> None:
    grey = np.zeros((120, 400), np.uint8)
    grey[60, 100:300] = 253
    grey[60, 295] = 219
    assert bars_in(grey) == [(100, 299)]


def test_a_particle_aslant_and_the_head_of_an_arrow_are_no_bars() -> None:
    image = Image.new("L", (400, 120), 0)
    draw = ImageDraw.Draw(image)
    for row in range(8):
        draw.line((40 + 3 * row, 40 + row, 80 + 3 * row, 40 + row), fill=250)
    draw.polygon([(200, 80), (230, 70), (230, 90)], fill=255)
    draw.line((230, 80, 330, 80), fill=200)
    assert bars_in(np.array(image)) == [(200, 330)], "the arrow is, as a whole"


@pytest.mark.parametrize(
    ("value", "unit", "px", "um_per_px"),
    [(0.5, "um", 250, 0.002), (200, "nm", 100, 0.002), (1, "mm", 400, 2.5)],
)
def test_a_pixel_is_the_written_length_by_the_bars_pixels(
    value: float, unit: str, px: int, um_per_px: float
) -> None:
    box = Box(10, 5, 10 + px - 1, 7)
    bar = ScaleBar(Stroke(box, box, True, 255, 128), BarText(f"{value:g} {unit}", value, unit, box))
    assert bar.um_per_px == pytest.approx(um_per_px)
