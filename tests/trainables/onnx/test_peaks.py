import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage

from tests.support.raw_samples import real_data
from trainables.datasets import geometry
from trainables.datasets.coordinates import read_coordinates
from trainables.metrics.particles import evaluate_particles
from trainables.onnx.peaks import pick_particles

Map = npt.NDArray[np.float32]


def _discs(centers: npt.ArrayLike, radius: float, side: int = 120) -> Map:
    discs = [geometry.disc(x, y, radius, side, side) for x, y in np.asarray(centers, dtype=float)]
    return np.asarray(coco_mask.decode(geometry.merge(discs)), dtype=np.float32)


def test_touching_discs_are_picked_apart_where_regions_merge() -> None:
    centers = [(30.5, 40.5), (50.5, 40.5), (40.5, 57.5)]
    found = _discs(centers, 10)
    assert ndimage.label(found)[1] == 1  # one region: one pick by the centroid of regions
    picks = pick_particles(found, 10)
    assert evaluate_particles([picks], [np.array(centers)], 1.5).f1 == 1


@pytest.mark.parametrize("distance", [15, 17, 20, 40])
def test_overlapping_discs_are_picked_apart(distance: float) -> None:
    centers = np.array([(30.5, 60.5), (30.5 + distance, 60.5)])
    picks = pick_particles(_discs(centers, 10), 10)
    assert evaluate_particles([picks], [centers], 2.5).f1 == 1


@pytest.mark.parametrize("center", [(60.5, 60.5), (33.0, 47.25), (80.3, 21.8)])
def test_a_pick_lies_between_pixels_where_the_middle_is(center: tuple[float, float]) -> None:
    rows, columns = np.mgrid[:120, :120] + 0.5
    squared = (columns - center[0]) ** 2 + (rows - center[1]) ** 2
    (pick,) = pick_particles(np.exp(-squared / 50).astype(np.float32), 8).centers
    assert pick == pytest.approx(center, abs=0.05)


def test_a_disc_that_the_edge_cuts_is_picked_inside_the_picture() -> None:
    centers = np.array([(2.5, 60.5), (119.5, 3.5), (60.5, 119.5)])
    picks = pick_particles(_discs(centers, 10), 10)
    assert evaluate_particles([picks], [centers], 6).f1 == 1
    assert ((picks.centers > 0) & (picks.centers < 120)).all()
    assert (picks.scores > 0.85).all()


def test_a_disc_near_the_edge_is_not_drawn_to_it() -> None:
    centers = np.array([(6.5, 30.5), (113.5, 90.5)])  # of 120 columns, radius 10
    picks = pick_particles(_discs(centers, 10), 10)
    assert evaluate_particles([picks], [centers], 2).f1 == 1


def test_confidence_follows_the_probability_and_sorts_the_picks() -> None:
    found = 0.9 * _discs([(30, 30)], 8) + 0.4 * _discs([(90, 30)], 8) + 0.02 * _discs([(60, 90)], 8)
    picks = pick_particles(found, 8)
    assert picks.scores == pytest.approx([0.9, 0.4], abs=0.03)
    assert picks.centers == pytest.approx(np.array([(30, 30), (90, 30)]), abs=0.6)
    assert len(pick_particles(found, 8, min_confidence=0.01)) == 3


def test_of_peaks_nearer_than_the_least_distance_the_more_confident_stays() -> None:
    found = 0.9 * _discs([(40, 60)], 6) + 0.6 * _discs([(56, 60)], 6)
    assert len(pick_particles(found, 6, min_distance_px=12)) == 2
    (pick,) = pick_particles(found, 6, min_distance_px=20).centers
    assert pick == pytest.approx((40, 60), abs=0.6)


def test_no_two_picks_of_noise_are_nearer_than_the_least_distance() -> None:
    noise = np.random.default_rng(0).uniform(0, 1, (200, 200)).astype(np.float32)
    picks = pick_particles(noise, 4, min_distance_px=9)
    away = np.linalg.norm(picks.centers[:, None] - picks.centers[None], axis=2)
    assert len(picks) > 100
    assert away[~np.eye(len(picks), dtype=bool)].min() >= 9


def test_a_level_region_is_one_pick_not_one_a_pixel() -> None:
    (pick,) = pick_particles(np.ones((300, 200), np.float32), 10).centers
    assert pick == pytest.approx((100, 150), abs=1)


def test_an_empty_map_has_no_picks() -> None:
    assert len(pick_particles(np.zeros((50, 60), np.float32), 5)) == 0


@pytest.mark.parametrize(
    ("shape", "radius", "distance"), [((9, 9, 1), 3, 3), ((9, 9), 0, 3), ((9, 9), 3, -1)]
)
def test_what_cannot_be_picked_from_is_refused(
    shape: tuple[int, ...], radius: float, distance: float
) -> None:
    with pytest.raises(ValueError, match="expected a map"):
        pick_particles(np.zeros(shape, np.float32), radius, min_distance_px=distance)


def test_the_crowded_real_particles_are_found_again_from_discs_of_06_of_their_radius() -> None:
    star = real_data("cryoem_betagal") / "star" / "Falcon_2012_06_12-15_36_26_0.star"
    found = read_coordinates(star)
    assert found is not None
    (points,) = found.values()
    drawn = _discs(points.centers, 0.6 * 13.5, side=1024)
    picks = pick_particles(drawn, 0.6 * 13.5)
    measured = evaluate_particles([picks], [points.centers], 13.5 / 2)
    assert measured.f1 > 0.999
    assert measured.position_error_px < 0.5
