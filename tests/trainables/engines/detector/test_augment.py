"""Boxes stay on their objects, whatever is done to the picture."""

import numpy as np
import pytest

pytest.importorskip("torchvision", reason="needs torchvision")

from trainables.engines.detector.augment import Augmentation, Boxes, Pixels, flipped, turned


def spot(box: tuple[int, int, int, int], height: int = 100, width: int = 160) -> Pixels:
    """A bright ellipse that fills a box, on black."""
    y, x = np.mgrid[:height, :width] + 0.5
    x1, y1, x2, y2 = box
    inside = ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1
    return np.repeat(np.uint8(250) * inside[..., None].astype(np.uint8), 3, axis=2)


def bounds(pixels: Pixels) -> list[int]:
    rows, columns = np.nonzero(pixels[..., 0] > 125)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def boxes(*rows: tuple[float, ...]) -> Boxes:
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize(("lr", "ud"), [(True, False), (False, True), (True, True)])
def test_flips_take_the_box_with_them(lr: bool, ud: bool) -> None:
    box = (100, 20, 140, 50)
    picture, [found] = flipped(spot(box), boxes(box), lr, ud)
    np.testing.assert_allclose(found, bounds(picture), atol=1)


@pytest.mark.parametrize("degrees", [-90, -30, 20, 45, 180])
@pytest.mark.parametrize("factor", [0.7, 1.0, 1.2])
def test_a_turned_box_is_the_tight_box_of_the_turned_object(degrees: float, factor: float) -> None:
    box = (95, 40, 125, 60)
    picture, [found], kept = turned(spot(box), boxes(box), degrees, factor)
    assert kept.tolist() == [True]
    np.testing.assert_allclose(found, bounds(picture), atol=1.5)


def test_an_object_that_left_the_picture_is_not_learnt_from() -> None:
    corner, middle = (0, 0, 12, 12), (70, 40, 90, 60)
    _, found, kept = turned(spot(corner), boxes(corner, middle), 0, 1.5)
    assert kept.tolist() == [False, True]
    assert (found >= 0).all()


def test_without_objects_a_picture_is_changed_all_the_same() -> None:
    every = Augmentation(1.0, 1.0, 30.0, 0.3, 0.2, 0.2, 0.2)
    picture = spot((20, 20, 60, 60))
    changed, left, kept = every(picture, np.zeros((0, 4)), np.random.default_rng(0))
    assert changed.shape == picture.shape
    assert (changed != picture).any()
    assert left.shape == (0, 4)
    assert len(kept) == 0
