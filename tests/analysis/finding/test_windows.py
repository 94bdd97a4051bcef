from typing import Any

import numpy as np
import pytest

from analysis.finding.windows import View, Window, filled, layout
from trainables.datasets import geometry
from trainables.results import Instances


def test_the_windows_of_a_2048_by_1536_picture_are_those_of_the_tiling_rule() -> None:
    region = Window(0, 0, 2048, 1536)
    windows = layout(region, 512, 0.1)
    assert len(windows) == 20
    assert sorted({window.left for window in windows}) == [0, 460, 920, 1380, 1840]
    assert sorted({window.top for window in windows}) == [0, 460, 920, 1380]
    assert {window.width for window in windows if window.left == 1840} == {208}
    assert {window.height for window in windows if window.top == 1380} == {156}
    shown = [filled(window, 512, region) for window in windows]
    assert {(window.width, window.height) for window in shown} == {(512, 512)}
    assert all(there.holds(cut) for there, cut in zip(shown, windows, strict=True))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1 / 3])
@pytest.mark.parametrize("sides", [(100, 64), (64, 64), (513, 200), (30, 300)])
def test_every_pixel_lies_in_a_window_wherever_the_first_one_begins(
    sides: tuple[int, int], shift: float
) -> None:
    region = Window(7, 3, 7 + sides[0], 3 + sides[1])
    seen = np.zeros((400, 600), int)
    for cut in layout(region, 64, 0.25, shift):
        window = filled(cut, 64, region)
        assert region.holds(window)
        assert window.width == min(64, sides[0])
        assert window.height == min(64, sides[1])
        seen[window.top : window.bottom, window.left : window.right] += 1
    assert (seen[3 : 3 + sides[1], 7 : 7 + sides[0]] > 0).all()
    assert (seen > 0).sum() == sides[0] * sides[1]


def one(mask: dict[str, Any]) -> Instances:
    box = np.array([[0, 0, 1, 1]], np.float32)
    return Instances(box, np.ones(1, np.float32), np.zeros(1, np.int64), (mask,))


def test_what_a_window_shows_comes_back_where_it_lies_in_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    view = View(Window(100, 50, 180, 130))
    np.testing.assert_array_equal(view.pixels(picture), picture[50:130, 100:180])
    pool = view.placed(one(geometry.disc(30, 20, 9, 80, 80)), (200, 300), 4)
    assert pool.masks is not None
    assert pool.masks[0] == geometry.disc(130, 70, 9, 300, 200)
    assert pool.sources.tolist() == [4]


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.5, 2.0, 2.5, 3.3])
def test_a_mask_found_at_another_scale_comes_back_in_its_place_with_its_area(scale: float) -> None:
    window = Window(100, 50, 220, 150)
    view = View(window, scale)
    picture = np.zeros((200, 300, 3), np.uint8)
    height, width = view.pixels(picture).shape[:2]
    assert (height, width) == (round(100 * scale), round(120 * scale))
    seen = geometry.disc(60 * scale, 40 * scale, 25 * scale, width, height)
    pool = view.placed(one(seen), (200, 300))
    assert pool.masks is not None
    mine = geometry.crop(dict(pool.masks[0]))
    assert abs(int(mine[0].sum()) / (geometry.area(seen) / scale**2) - 1) < 0.015
    rows, columns = np.nonzero(mine[0])
    assert abs(columns.mean() + mine[1][0] + 0.5 - 160) < 0.25
    assert abs(rows.mean() + mine[1][1] + 0.5 - 90) < 0.25


def test_a_picture_smaller_than_its_canvas_is_shown_on_its_mean_colour() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 30:] = (200, 100, 50)
    view = View(Window(0, 0, 60, 40), canvas=(80, 80))
    shown = view.pixels(picture)
    np.testing.assert_array_equal(shown[:40, :60], picture)
    assert (shown[40:] == (100, 50, 25)).all()
    beyond = geometry.encode_crop(np.ones((10, 10)), (55, 35), 80, 80)
    pool = view.placed(one(beyond), (40, 60))
    assert pool.boxes.tolist() == [[55, 35, 60, 40]]
    assert len(view.placed(one(geometry.disc(70, 70, 5, 80, 80)), (40, 60))) == 0


def test_boxes_are_scaled_and_cut_at_the_window() -> None:
    view = View(Window(100, 50, 200, 150), 2.0)
    boxes = np.array([[20, 40, 60, 80], [180, 180, 210, 220]], np.float32)
    found = Instances(boxes, np.ones(2, np.float32), np.zeros(2, np.int64), None)
    pool = view.placed(found, (200, 300))
    assert pool.boxes.tolist() == [[110, 70, 130, 90], [190, 140, 200, 150]]
