from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask

from analysis.finding.pool import Pool, pool_of, together
from analysis.finding.seams import Tiling, join
from analysis.finding.windows import View, Window, filled, layout, whole
from tests.support.models.seen_particles import DiscFinder, packed, places
from trainables.datasets import geometry

SIDE = 2400


def found_in_windows(
    model: DiscFinder, picture: npt.NDArray[np.uint8], size: int, overlap_px: int
) -> Pool:
    region = whole(picture)
    cuts = layout(region, size, overlap_px / size)
    windows = [filled(cut, size, region) for cut in cuts]
    views = [View(window) for window in windows]
    shape = (picture.shape[0], picture.shape[1])
    pools = [
        view.placed(model([view.pixels(picture)])[0], shape, i) for i, view in enumerate(views)
    ]
    return join(together(pools), Tiling(windows, region))


def truths(discs: Sequence[tuple[float, float, float]], side: int) -> list[dict[str, Any]]:
    return [geometry.disc(x, y, radius, side, side) for x, y, radius in discs]


def matched(pool: Pool, masks: list[dict[str, Any]]) -> npt.NDArray[np.int64]:
    """Index of the true disc of each instance; -1 where none agrees."""
    found = [dict(mask) for mask in pool.masks or ()]
    iou = np.asarray(coco_mask.iou(found, masks, [0] * len(masks)))
    return np.where(iou.max(axis=1) > 0.5, iou.argmax(axis=1), -1)


@pytest.fixture(scope="module")
def picture() -> npt.NDArray[np.uint8]:
    return places(SIDE, SIDE)


@pytest.fixture(scope="module")
def discs() -> list[tuple[float, float, float]]:
    return packed(220, SIDE, (8, 70))


@pytest.mark.parametrize("overlap_px", [64, 128])
def test_every_disc_is_found_once_with_its_very_pixels(
    picture: npt.NDArray[np.uint8], discs: list[tuple[float, float, float]], overlap_px: int
) -> None:
    joined = found_in_windows(DiscFinder(discs), picture, 512, overlap_px)
    masks = truths(discs, SIDE)
    at = matched(joined, masks)
    assert sorted(at.tolist()) == list(range(220))
    areas = np.array([geometry.area(mask) for mask in masks], float)
    np.testing.assert_array_equal(joined.areas, areas[at])
    assert not joined.cut.any()


@pytest.mark.parametrize("overlap_px", [64, 128])
def test_with_outlines_that_differ_by_a_pixel_between_windows_every_disc_is_found_once(
    picture: npt.NDArray[np.uint8], discs: list[tuple[float, float, float]], overlap_px: int
) -> None:
    joined = found_in_windows(DiscFinder(discs, noise_px=1), picture, 512, overlap_px)
    masks = truths(discs, SIDE)
    at = matched(joined, masks)
    assert sorted(at.tolist()) == list(range(220))
    radii = np.array([radius for _, _, radius in discs])[at]
    areas = np.array([geometry.area(mask) for mask in masks], float)[at]
    off = np.abs(joined.areas / areas - 1)
    # The noise itself, on 64 pieces of outline, gives (4 / 3) ** 0.5 / 8 / radius of the area.
    assert (off < np.maximum(0.01, 4 * 0.1443 / radii)).all()
    assert abs(joined.areas.sum() / areas.sum() - 1) < 0.002


@pytest.mark.parametrize("overlap_px", [64, 128])
def test_masks_that_lie_a_pixel_apart_in_two_windows_become_one_of_the_right_area(
    picture: npt.NDArray[np.uint8], discs: list[tuple[float, float, float]], overlap_px: int
) -> None:
    model = DiscFinder(discs, moved_px=1, whole_px=True)
    joined = found_in_windows(model, picture, 512, overlap_px)
    masks = truths(discs, SIDE)
    at = matched(joined, masks)
    assert sorted(at.tolist()) == list(range(220))
    areas = np.array([geometry.area(mask) for mask in masks], float)[at]
    inside = np.array(
        [min(x, y, SIDE - x, SIDE - y) > r + 2 for x, y, r in np.array(discs)[at].tolist()]
    )
    np.testing.assert_array_equal(joined.areas[inside], areas[inside])
    # What the picture's border cuts shows more or less of itself where it is moved.
    assert (np.abs(joined.areas / areas - 1)[~inside] < 0.15).all()


@pytest.mark.parametrize("overlap_px", [64, 128])
@pytest.mark.parametrize("seed", range(2))
def test_with_discs_that_move_by_a_pixel_between_windows_every_disc_is_found_once(
    picture: npt.NDArray[np.uint8], overlap_px: int, seed: int
) -> None:
    discs = packed(220, SIDE, (8, 70), seed + 1)
    joined = found_in_windows(DiscFinder(discs, moved_px=1), picture, 512, overlap_px)
    masks = truths(discs, SIDE)
    at = matched(joined, masks)
    assert sorted(at.tolist()) == list(range(220))
    areas = np.array([geometry.area(mask) for mask in masks], float)[at]
    inside = np.array(
        [min(x, y, SIDE - x, SIDE - y) > r + 2 for x, y, r in np.array(discs)[at].tolist()]
    )
    off = np.abs(joined.areas / areas - 1)[inside]
    radii = np.array([r for _, _, r in discs])[at][inside]
    # Two views that are two pixels apart are together so much longer than one: what was seen.
    assert (off < np.maximum(0.01, 2 * 2 * 2 * radii / (np.pi * radii**2))).all()
    assert np.median(off) < 0.01
    assert abs(joined.areas[inside].sum() / areas[inside].sum() - 1) < 0.01


def test_a_small_particle_on_a_big_one_survives_on_a_seam() -> None:
    discs = [(256.0, 300.0, 120.0), (238.0, 300.0, 12.0), (470.0, 256.0, 40.0), (480.0, 256.0, 9.0)]
    model = DiscFinder(discs)
    joined = found_in_windows(model, places(600, 600), 256, 32)
    at = matched(joined, truths(discs, 600))
    assert sorted(at.tolist()) == [0, 1, 2, 3]
    assert len(model.asked) == 9


def test_touching_neighbours_that_no_window_shows_whole_stay_two() -> None:
    discs = [(240.0, 200.0, 60.0), (240.0, 320.0, 60.0), (360.0, 260.0, 70.0)]
    model = DiscFinder(discs, noise_px=1)
    joined = found_in_windows(model, places(500, 500), 128, 32)
    assert sorted(matched(joined, truths(discs, 500)).tolist()) == [0, 1, 2]


def test_a_particle_that_only_one_window_finds_is_kept_and_called_cut() -> None:
    region, windows = Window(0, 0, 180, 100), [Window(0, 0, 100, 100), Window(80, 0, 180, 100)]
    half = geometry.encode_crop(np.ones((40, 40)), (60, 30), 100, 180)
    found = pool_of(np.zeros((1, 4)), np.array([0.8]), np.zeros(1), [half], source=0)
    joined = join(found, Tiling(windows, region))
    assert (len(joined), joined.cut.tolist()) == (1, [True])


def test_a_piece_of_what_another_window_shows_whole_and_did_not_find_is_no_particle() -> None:
    region, windows = Window(0, 0, 180, 100), [Window(0, 0, 100, 100), Window(80, 0, 180, 100)]
    piece = geometry.encode_crop(np.ones((10, 6)), (80, 30), 100, 180)
    found = pool_of(np.zeros((1, 4)), np.array([0.8]), np.zeros(1), [piece], source=1)
    assert len(join(found, Tiling(windows, region))) == 0


def test_parts_of_a_box_become_the_box_around_them() -> None:
    region, windows = Window(0, 0, 180, 100), [Window(0, 0, 100, 100), Window(80, 0, 180, 100)]
    boxes = np.array([[50, 20, 100, 60]]), np.array([[80, 20, 140, 60]])
    parts = [
        pool_of(box, np.array([score]), np.zeros(1), None, source=i)
        for i, (box, score) in enumerate(zip(boxes, (0.7, 0.9), strict=True))
    ]
    joined = join(together(parts), Tiling(windows, region))
    assert joined.boxes.tolist() == [[50, 20, 140, 60]]
    assert joined.scores.tolist() == [0.9]
    assert joined.masks is None
