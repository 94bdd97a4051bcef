"""Boxes stay on their objects, whatever is done to the picture."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("torchvision", reason="needs torchvision")

from trainables.datasets.prepared import PreparedDataset
from trainables.engines.detector.augment import (
    Augmentation,
    Boxes,
    Pixels,
    flipped,
    mosaic,
    recoloured,
    turned,
)
from trainables.engines.detector.data import TrainingPictures
from trainables.engines.detector.params import DetectorParams


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


def test_a_scaled_picture_has_its_boxes_scaled_round_its_centre() -> None:
    _, [found], kept = turned(spot((60, 40, 100, 60)), boxes((60, 40, 100, 60)), 0, 1.5)
    assert kept.all()
    np.testing.assert_allclose(found, [50, 35, 110, 65])


def test_colours_change_and_the_mean_stays_where_only_contrast_does() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[:5], pixels[5:] = (60, 80, 100), (100, 120, 140)
    darker, flat, grey = (
        recoloured(pixels, *factors) for factors in ((0.5, 1, 1), (1, 0.5, 1), (1, 1, 0))
    )
    assert (darker[0, 0], darker[9, 9]) == (
        pytest.approx([30, 40, 50]),
        pytest.approx([50, 60, 70]),
    )
    assert flat.mean() == pytest.approx(pixels.mean(), abs=0.5)
    assert np.ptp(flat[:, 0, 0]) == 20
    assert grey[0, 0].tolist() == [80, 80, 80]


GREYS = (40, 80, 120, 160)


def drawn(at: int, height: int, width: int, *rows: tuple[float, ...]) -> tuple[Pixels, Boxes]:
    return np.full((height, width, 3), GREYS[at], np.uint8), boxes(*rows).reshape(-1, 4)


def test_the_boxes_of_a_mosaic_move_with_its_four_pictures() -> None:
    picture, found, kept = mosaic(
        [
            drawn(0, 100, 160, (0, 0, 20, 10), (130, 60, 160, 100)),
            drawn(1, 100, 160, (0, 0, 20, 10), (110, 50, 130, 80)),
            drawn(2, 30, 80, (0, 0, 20, 10), (50, 5, 80, 30)),  # smaller than its quarter
            drawn(3, 200, 320, (0, 0, 20, 10), (100, 20, 130, 70)),
        ],
        across=0.25,
        down=0.6,
    )
    assert picture.shape == (100, 160, 3)  # the first one's; they meet at (40, 60)
    shown = [picture[y, x, 0] for y, x in ((59, 39), (59, 40), (60, 39), (60, 40), (95, 0))]
    assert shown == [*GREYS, GREYS[0]]
    assert [one.tolist() for one in kept] == [
        [False, True],
        [False, True],
        [False, True],
        [True, False],
    ]
    assert found[0][1].tolist() == [10, 20, 40, 60]
    assert found[1][1].tolist() == [150, 10, 160, 40]  # of 20 px across, 10 are left
    assert found[2][1].tolist() == [10, 65, 40, 90]
    assert found[3].tolist() == [[40, 60, 60, 70], [140, 80, 160, 100]]


@pytest.mark.parametrize(
    ("box", "learnt"),
    [
        ((50, 20, 51.5, 22), True),  # whole, however small
        ((77, 20, 83, 30), True),  # 3 of 6 px are left
        ((78.5, 20, 81.5, 30), False),  # half, but 1.5 px across
        ((60, 20, 160, 30), False),  # 20 px, but a fifth
    ],
)
def test_of_a_cut_object_enough_must_be_left_to_be_learnt_from(
    box: tuple[float, ...], learnt: bool
) -> None:
    x1, y1, x2, y2 = box  # on the mosaic, of which the upper left picture has 80 px
    first = drawn(0, 100, 160, (x1 + 80, y1 + 50, x2 + 80, y2 + 50))
    _, _, kept = mosaic([first, *(drawn(at, 100, 160) for at in (1, 2, 3))], 0.5, 0.5)
    assert kept[0].tolist() == [learnt]


def test_a_training_picture_is_a_mosaic_where_that_is_asked_for(discs: PreparedDataset) -> None:
    def pictures(share: float) -> TrainingPictures:
        return TrainingPictures(discs, DetectorParams(mosaic=share, fliplr=0), seed=3)

    plain, never, always = pictures(0.0), pictures(1e-9), pictures(1.0)
    keys = [(epoch, index) for epoch in range(3) for index in range(len(plain))]
    for key in keys:
        whole, _ = plain[key]
        assert torch.equal(never[key][0], whole)
        mixed, its = always[key]
        assert mixed.shape == whole.shape
        assert not torch.equal(mixed, whole)
        assert len(its["labels"]) == len(its["boxes"])
        assert torch.equal(always[key][0], mixed)
        height, width = mixed.shape[1:]
        assert bool((its["boxes"][:, :2] >= 0).all())
        assert bool((its["boxes"][:, 2:] <= torch.tensor([width, height])).all())
    assert sum(len(always[key][1]["labels"]) for key in keys) > len(keys)
