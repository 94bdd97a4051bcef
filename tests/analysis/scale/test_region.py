"""The part of a picture that shows the specimen."""

import numpy as np

from analysis.scale.bar.finding import ScaleBar
from analysis.scale.bar.lengths import BarText
from analysis.scale.bar.strokes import Box, Grey, Stroke
from analysis.scale.region import analysed_region, region_mask
from analysis.scale.scale import Area


def noise(height: int, width: int, low: int = 60, high: int = 160) -> Grey:
    rng = np.random.default_rng(3)
    return np.asarray(rng.integers(low, high, (height, width)), np.uint8)


def test_a_picture_without_anything_is_whole() -> None:
    assert analysed_region(noise(90, 120)).areas == (Area(0, 0, 120, 90),)


def test_black_frames_are_left_out_on_every_side() -> None:
    grey = np.zeros((100, 120), np.uint8)
    grey[5:90, 8:117] = noise(85, 109)
    assert analysed_region(grey).areas == (Area(8, 5, 109, 85),)


def test_dark_ground_without_particles_stays() -> None:
    grey = np.zeros((200, 200), np.uint8)
    rows, columns = np.mgrid[:200, :200]
    grey[(rows - 120) ** 2 + (columns - 100) ** 2 < 40**2] = 200
    assert analysed_region(grey).areas == (Area(0, 0, 200, 200),)


def test_a_data_bar_ends_where_its_ground_ends_and_has_writing_in_it() -> None:
    for ground, ink in ((0, 255), (255, 0), (53, 255)):
        grey = noise(400, 500)
        grey[360:] = ground
        bare = grey.copy()
        for x in range(20, 300, 20):
            grey[372:386, x : x + 8] = ink
        found = analysed_region(grey)
        assert found.strip == Area(0, 360, 500, 40)
        assert found.areas == (Area(0, 0, 500, 360),)
        whole = analysed_region(bare).strip
        assert whole is None  # a frame or nothing, as nothing is written there


def test_a_data_bar_at_the_top_is_left_out_too() -> None:
    grey = noise(400, 500)
    grey[:40] = 0
    for x in range(20, 300, 20):
        grey[10:24, x : x + 8] = 255
    assert analysed_region(grey).areas == (Area(0, 40, 500, 360),)


def test_a_scale_bar_on_the_picture_is_left_out_with_its_text_and_its_plain_box() -> None:
    grey = noise(400, 500)
    grey[340:, 350:] = 255
    grey[380:386, 370:470] = 0
    box = Box(370, 380, 469, 385)
    stroke = Stroke(box, box, bright=False, level=255, middle=128)
    bar = ScaleBar(stroke, BarText("1 um", 1.0, "um", Box(390, 350, 450, 370)))
    found = analysed_region(grey, bar)
    mask = region_mask(found.areas, (400, 500))
    assert not mask[341:, 351:].any()
    assert mask[:338].all()
    assert mask[:, :348].all()
    assert mask.sum() == sum(area.pixels for area in found.areas)  # they do not overlap
