from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from analysis.picking import finding
from analysis.picking.finding import MASKED, Asked, find_in_areas, find_particles, spans
from analysis.scale.scale import Area
from trainables.datasets import geometry
from trainables.metrics.particles import MIN_CONFIDENCE, evaluate_particles
from trainables.onnx.peaks import pick_particles
from trainables.results import Instances, Picks

Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]


class BrightSpots:
    """A picker that needs no training: how bright a pixel is, is how sure it is of it."""

    classes: tuple[str, ...] = ("spot",)
    confidence = 0.4
    radius_px = 6.0
    min_distance_px = 6.0
    match_radius = 1.0
    um_per_px: float | None = None

    def __init__(self) -> None:
        self.levels: list[tuple[float, float] | None] = []

    def __call__(self, images: Sequence[Pixels]) -> list[Instances]:
        raise NotImplementedError

    def probability(self, image: Pixels, levels: tuple[float, float] | None = None) -> Map:
        self.levels.append(levels)
        return (image / 255).astype(np.float32)

    def picks(
        self,
        probability: Map,
        *,
        min_confidence: float = MIN_CONFIDENCE,
        min_distance_px: float | None = None,
    ) -> Picks:
        return pick_particles(
            probability,
            self.radius_px,
            min_distance_px=min_distance_px,
            min_confidence=min_confidence,
        )


class Outlines:
    """A model of instances that knows what is in the picture."""

    classes: tuple[str, ...] = ("grain",)

    def __init__(self, masks: Sequence[Pixels], *, boxes_only: bool = False) -> None:
        rles = [geometry.encode_mask(mask) for mask in masks]
        corners = [(x, y, x + w, y + h) for x, y, w, h in map(geometry.box, rles)]
        self.found = Instances(
            boxes=np.array(corners, np.float32).reshape(-1, 4),
            scores=np.linspace(0.9, 0.5, len(masks)).astype(np.float32),
            classes=np.zeros(len(masks), np.int64),
            masks=None if boxes_only else rles,
        )
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Sequence[Pixels]) -> list[Instances]:
        self.seen += [image.shape for image in images]
        return [self.found for _ in images]


def _spots(centers: npt.ArrayLike, height: int, width: int, radius: float = 6) -> Pixels:
    rows, columns = np.mgrid[:height, :width] + 0.5
    picture = np.zeros((height, width))
    for k, (x, y) in enumerate(np.asarray(centers, dtype=float)):
        near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / radius**2)
        picture = np.maximum(picture, (0.6 + 0.4 * k / len(np.asarray(centers))) * near)
    return np.rint(255 * picture).astype(np.uint8)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 64 pixels were a large picture."""
    real = spans
    monkeypatch.setattr(finding, "spans", lambda side: real(side, 64, 16))


def test_a_particle_lies_in_the_middle_of_its_pixels() -> None:
    # a spot on the pixel of row 20 and column 30: its middle is (30.5, 20.5)
    found = find_particles(BrightSpots(), _spots([(30.5, 20.5)], 50, 60), Asked(0.4))
    assert found.picks.centers == pytest.approx(np.array([[30.5, 20.5]]), abs=0.01)
    assert found.mask.shape == (50, 60)
    assert found.mask[20, 30] == MASKED
    assert set(np.unique(found.mask)) == {0, MASKED}


@pytest.mark.usefixtures("small_windows")
def test_a_picture_in_windows_has_the_same_particles_and_pixels_as_a_whole_one() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(12, 230, 21), np.arange(12, 150, 21)), -1).reshape(-1, 2)
    centers = grid + rng.uniform(-4, 4, grid.shape)
    pixels = _spots(centers, 160, 240)
    picker, map_ = BrightSpots(), np.zeros((160, 240), np.float32)
    found = find_particles(picker, pixels, Asked(0.2), map_)
    whole = picker.picks(picker.probability(pixels), min_distance_px=6.0).at_least(0.2)
    assert len(picker.levels) == 7 * 4 + 1
    assert picker.levels[0] == pytest.approx((pixels.mean(), pixels.std()))
    assert len(found.picks) == len(whole) == len(centers)
    assert evaluate_particles([found.picks], [whole.centers], 0.1).f1 == 1
    assert (np.diff(found.picks.scores) <= 0).all()
    np.testing.assert_array_equal(map_, (pixels / 255).astype(np.float32))
    np.testing.assert_array_equal(found.mask == MASKED, map_ >= 0.2)


@pytest.mark.parametrize("side", [1, 63, 64, 65, 97, 500])
def test_the_cores_of_windows_cover_a_side_once_and_lie_inside_them(side: int) -> None:
    parts = spans(side, 64, 16)
    covered = [i for part in parts for i in range(part.core.start, part.core.stop)]
    assert covered == list(range(side))
    for part in parts:
        assert part.window.stop - part.window.start == min(side, 64)
        assert part.core.start - part.window.start >= 16 or part.window.start == 0
        assert part.window.stop - part.core.stop >= 16 or part.window.stop == side


@pytest.mark.parametrize("confidence", [0.1, 0.28, 0.5, 0.7])
def test_a_mask_is_of_the_confidence_from_which_picks_count(confidence: float) -> None:
    pixels = _spots([(20.5, 20.5), (60.5, 20.5)], 40, 80) // 2  # tops of about 0.3 and 0.4
    found = find_particles(BrightSpots(), pixels, Asked(confidence))
    np.testing.assert_array_equal(found.mask == MASKED, pixels / 255 >= np.float32(confidence))
    for x, y in found.picks.centers.astype(int).tolist():  # its confidence is a mean of pixels
        assert found.mask[y - 6 : y + 7, x - 6 : x + 7].any()
    assert found.mask.any() == (confidence < 0.5)


def test_only_picks_of_the_confidence_are_kept_also_below_that_of_the_metrics() -> None:
    pixels = _spots([(20, 20), (40, 20)], 40, 60) // 20  # about 0.03 and 0.04
    counts = [len(find_particles(BrightSpots(), pixels, Asked(c)).picks) for c in (0.01, 0.05)]
    assert counts == [2, 0]


def test_of_two_picks_nearer_than_asked_for_the_surer_one_stays() -> None:
    pixels = _spots([(20.5, 20.5), (36.5, 20.5)], 40, 60)
    assert len(find_particles(BrightSpots(), pixels, Asked(0.2)).picks) == 2
    (center,) = find_particles(BrightSpots(), pixels, Asked(0.2, 20.0)).picks.centers
    assert center == pytest.approx([36.5, 20.5], abs=0.2)


def test_a_colour_picture_is_mapped_in_grey() -> None:
    grey = _spots([(20.5, 20.5)], 40, 60)
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    one, other = (find_particles(BrightSpots(), p, Asked(0.2)) for p in (grey, colour))
    np.testing.assert_array_equal(one.picks.centers, other.picks.centers)


def test_an_instance_is_picked_at_the_centroid_of_its_mask_not_of_its_box() -> None:
    corner = np.zeros((30, 40), np.uint8)  # an L: 10 pixels down, 4 more to the right
    corner[5:15, 8] = 1
    corner[14, 9:13] = 1
    model = Outlines([corner])
    found = find_particles(model, np.zeros((30, 40), np.uint8), Asked(0.5))
    x = (10 * 8.5 + 9.5 + 10.5 + 11.5 + 12.5) / 14
    y = (sum(row + 0.5 for row in range(5, 15)) + 4 * 14.5) / 14
    assert found.picks.centers == pytest.approx(np.array([[x, y]]))
    np.testing.assert_array_equal(found.mask, corner * MASKED)
    assert found.radius_px == 5  # half the longer side of its box
    assert model.seen == [(30, 40, 3)]


def test_instances_below_the_confidence_and_without_a_pixel_are_left_out() -> None:
    masks = [np.zeros((20, 20), np.uint8) for _ in range(3)]
    masks[0][2:6, 2:6] = masks[2][12:16, 12:16] = 1  # the second one is empty
    found = find_particles(Outlines(masks), np.zeros((20, 20), np.uint8), Asked(0.5))
    assert found.picks.centers.tolist() == [[4, 4], [14, 14]]
    assert len(find_particles(Outlines(masks), masks[0], Asked(0.6)).picks) == 1


def test_a_model_of_boxes_is_picked_at_their_middles() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:6, 4:10] = 1
    found = find_particles(Outlines([mask], boxes_only=True), mask, Asked(0.5))
    assert found.picks.centers.tolist() == [[7, 4]]
    assert not found.mask.any()


@pytest.mark.parametrize("model", [BrightSpots(), Outlines([])], ids=["map", "instances"])
def test_a_picture_without_a_particle_has_none(model: Any) -> None:
    found = find_particles(model, np.zeros((20, 30), np.uint8), Asked(0.5))
    assert len(found.picks) == 0
    assert not found.mask.any()


def test_nothing_is_looked_for_in_a_data_bar_or_a_scale_bars_box() -> None:
    pixels = _spots([(20.5, 30.5), (60.5, 30.5), (20.5, 70.5)], 90, 80)
    areas = [Area(0, 10, 40, 40), Area(40, 10, 40, 10)]  # below them a data bar, above a frame
    picker, map_ = BrightSpots(), np.zeros((90, 80), np.float32)
    found = find_in_areas(picker, pixels, Asked(0.4), areas, map_)
    assert found.picks.centers == pytest.approx(np.array([[20.5, 30.5]]), abs=0.01)
    assert found.mask[30, 20] == MASKED
    assert not found.mask[50:].any()
    assert not found.mask[20:, 40:].any()
    assert not map_[50:].any()
    assert map_[30, 20] > 0.5
    whole = find_in_areas(picker, pixels, Asked(0.4), [Area(0, 0, 80, 90)])
    assert len(whole.picks) == 3


def test_the_model_sees_no_more_than_the_rectangle_around_the_areas() -> None:
    model = Outlines([np.ones((40, 80), np.uint8)])
    pixels = np.zeros((90, 80), np.uint8)
    find_in_areas(model, pixels, Asked(0.5), [Area(0, 10, 80, 40)])
    assert model.seen == [(40, 80, 3)]
