"""Which particles count, and how much; the truth is a simulated plane."""

import numpy as np
import pytest

from analysis.errors import MeasureError
from analysis.measure.geometry.shapes import shape_table
from analysis.measure.statistics.border import BorderRule, least_guard_px
from benchmarks.measure_intervals import biases
from trainables.datasets import geometry

BOXES = np.array([[10, 20, 30, 30], [0, 5, 8, 9], [80, 70, 100, 80], [40, 40, 60, 79.5]])
FRAME = (0, 0, 100, 80)


def test_a_particle_inside_counts_as_often_as_its_like_is_cut() -> None:
    weights = BorderRule().weights(BOXES, FRAME)
    expected = [100 * 80 / ((100 - 20) * (80 - 10)), 0, 0, 100 * 80 / (80 * 40.5)]
    assert weights == pytest.approx(expected)
    assert BorderRule().area_px2(FRAME) == 8000


def test_a_data_bar_is_not_part_of_the_plane() -> None:
    weights = BorderRule().weights(BOXES, (0, 0, 100, 60))
    assert weights == pytest.approx([100 * 60 / (80 * 50), 0, 0, 0])
    assert BorderRule().area_px2((0, 0, 100, 60)) == 6000


def test_all_and_guard_frame_are_to_be_had() -> None:
    assert BorderRule("all").weights(BOXES, FRAME).tolist() == [1, 1, 1, 1]
    guard = BorderRule("guard", 20)
    assert guard.weights(BOXES, FRAME).tolist() == [1, 0, 0, 1]
    assert guard.area_px2(FRAME) == 60 * 40


def test_the_guard_frame_gives_the_density_of_a_plane() -> None:
    rng = np.random.default_rng(0)
    centres = rng.uniform(-20, 220, (200_000, 2))
    half = rng.uniform(2, 18, (len(centres), 1))
    boxes = np.hstack([centres - half, centres + half]).clip(0, 200)
    seen = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    rule, frame = BorderRule("guard", 18), (0, 0, 200, 200)
    density = rule.weights(boxes[seen], frame).sum() / rule.area_px2(frame)
    assert density == pytest.approx(len(centres) / 240**2, rel=0.01)


def test_the_narrowest_guard_frame_is_half_the_longest_side() -> None:
    assert least_guard_px(BOXES) == 39.5 / 2
    assert least_guard_px(np.zeros((0, 4))) == 0
    narrowest = BorderRule("guard", least_guard_px(BOXES))
    assert narrowest.weights(BOXES, FRAME).tolist() == [1, 0, 0, 1]


def test_a_guard_frame_that_lets_cut_particles_count_is_refused() -> None:
    boxes = np.array([[0, 10, 40, 50]])
    with pytest.raises(MeasureError, match="guard frame of at least half the largest particle"):
        BorderRule("guard", 15).weights(boxes, FRAME)
    with pytest.raises(MeasureError, match="leaves a part of 100 x 80 px, got 40 px on every"):
        BorderRule("guard", 40).area_px2(FRAME)


def test_rules_that_are_none_are_refused() -> None:
    with pytest.raises(MeasureError, match="one of weights, guard, all, got 'none'"):
        BorderRule("none")  # type: ignore[arg-type]
    with pytest.raises(MeasureError, match="guard frame of some pixels, got 0"):
        BorderRule("guard")


def test_every_rule_has_its_words() -> None:
    assert BorderRule().words == "particles wholly inside, with Miles-Lantuejoul weights"
    assert BorderRule("guard", 7.5).words.endswith("inside a guard frame of 7.5 px")
    assert "without a correction" in BorderRule("all").words


def test_no_particles_have_no_weights() -> None:
    assert BorderRule().weights(np.zeros((0, 4)), FRAME).shape == (0,)


@pytest.mark.parametrize(
    ("share", "seen"),
    [(0.04, (-1.1, -8)), (0.08, (-2.6, -16)), (0.16, (-5.6, -31))],
    ids=["4 % of the side", "8 %", "16 %"],
)
def test_the_plane_is_found_as_it_is(share: float, seen: tuple[float, float]) -> None:
    """`seen` is what is left of D90 and of the density if particles at the border are left out."""
    found = biases(share, 12_000)
    corrected = found["weights, the default"]
    assert all(abs(corrected[f"d{q}_number"]) <= 0.5 for q in (10, 50, 90))
    assert abs(corrected["number_density"]) <= 1.5
    left_out = found["cut ones left out"]
    assert left_out["d90_number"] == pytest.approx(seen[0], abs=0.8)
    assert left_out["number_density"] == pytest.approx(seen[1], abs=2)


@pytest.mark.slow
def test_masks_of_pixels_give_the_number_per_area() -> None:
    """Discs of 8 % of the side, drawn and measured; true are those whose centre is in it."""
    rng, side, rule = np.random.default_rng(5), 256, BorderRule()
    found = true = 0.0
    for _ in range(300):
        radii = rng.lognormal(np.log(10), 0.3, rng.poisson(90))
        centres = rng.uniform(-64, side + 64, (len(radii), 2))
        true += ((centres >= 0) & (centres < side)).all(axis=1).sum()
        masks = [
            geometry.disc(x, y, r, side, side) for (x, y), r in zip(centres, radii, strict=True)
        ]
        table = shape_table([mask for mask in masks if geometry.area(mask)])
        low = np.stack([table["box_x_px"], table["box_y_px"]], axis=1)
        high = low + np.stack([table["box_width"], table["box_height"]], axis=1)
        analysed = (0.5, 0.5, side - 0.5, side - 0.5)  # as a run counts them
        found += rule.weights(np.hstack([low, high]), analysed).sum() / rule.area_px2(analysed)
    assert true > 10_000
    assert abs(found * side**2 / true - 1) <= 0.006
