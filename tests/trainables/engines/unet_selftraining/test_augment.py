from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from trainables.engines.unet_selftraining.augment import (
    Augmentation,
    augment,
    change_intensity,
    make_warp,
    random_warp,
    turn,
)
from trainables.engines.unet_selftraining.rounds.pseudo import IGNORED

STILL = Augmentation(rotate_p=0, flip_p=0, elastic_p=0, noise_p=0, contrast_p=0, blur_p=0, ice_p=0)
CHANGES = {
    "noise": replace(STILL, noise_p=1.0),
    "contrast": replace(STILL, contrast_p=1.0),
    "blur": replace(STILL, blur_p=1.0),
    "ice": replace(STILL, ice_p=1.0),
}
MOVING = replace(STILL, rotate_p=1.0, flip_p=1.0, elastic_p=1.0)
SHAPE = (120, 140)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def discs() -> npt.NDArray[np.float32]:
    """Three particles (120, 140), none symmetric to another."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = ((30, 40, 9), (95, 60, 12), (60, 85, 7))
    inside = [(x - u) ** 2 + (y - v) ** 2 <= r * r for u, v, r in places]
    return np.asarray(np.any(inside, axis=0), np.float32)


def box_of(mask: npt.NDArray[np.bool_]) -> list[int]:
    y, x = np.nonzero(mask)
    return [int(x.min()), int(y.min()), int(x.max()), int(y.max())]


def test_a_box_turns_with_the_picture() -> None:
    warp = make_warp((201, 201), turn((201, 201), 30, centre=(100, 100)))
    (moved,) = warp.boxes(np.array([[140.0, 90.0, 160.0, 110.0]]))
    assert (moved[:2] + moved[2:]) / 2 == pytest.approx([143.3, 75.0], abs=0.05)
    assert moved[2] - moved[0] == pytest.approx(20 * (np.cos(np.pi / 6) + np.sin(np.pi / 6)))


def test_the_picture_turns_to_where_its_boxes_say() -> None:
    image = np.zeros((201, 201), np.float32)
    image[98:103, 148:153] = 1
    warp = make_warp(image.shape, turn(image.shape, 30, centre=(100, 100)))
    for moved in (warp.image(image), warp.labels(image)):
        y, x = np.nonzero(moved > 0.5)
        assert (x.mean(), y.mean()) == pytest.approx((143.3, 75.0), abs=0.3)


@pytest.mark.parametrize("seed", range(6))
def test_labels_and_boxes_stay_on_the_particles(seed: int) -> None:
    mask = discs()
    boxes = np.array([box_of((mask > 0) & (np.arange(SHAPE[1]) < 50))], np.float32)
    warp = random_warp(SHAPE, MOVING, random(seed))
    assert warp is not None
    image, labels = warp.image(mask), warp.labels(mask)
    inside = labels != IGNORED
    assert ((image > 0.5) == (labels > 0.5))[inside].mean() > 0.995
    alone = mask * (np.arange(SHAPE[1]) < 50)
    left, top, right, bottom = warp.boxes(boxes)[0]
    found = box_of(warp.labels(alone) == 1)
    assert left - 1 <= found[0]
    assert top - 1 <= found[1]
    assert found[2] <= right + 1
    assert found[3] <= bottom + 1


@pytest.mark.parametrize("seed", range(6))
def test_points_go_where_the_pixels_go(seed: int) -> None:
    warp = random_warp(SHAPE, MOVING, random(seed))
    assert warp is not None
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    middle = warp.points(np.array([[70.0, 60.0], [50.0, 40.0]]))
    for (new_x, new_y), (old_x, old_y) in zip(
        np.rint(middle).astype(int), ((70, 60), (50, 40)), strict=True
    ):
        assert warp.image(x)[new_y, new_x] == pytest.approx(old_x, abs=1.2)
        assert warp.image(y)[new_y, new_x] == pytest.approx(old_y, abs=1.2)


@pytest.mark.parametrize("seed", range(6))
def test_the_unknown_moves_with_the_image_and_no_new_label_comes_up(seed: int) -> None:
    labels = discs()
    labels[:, 100:] = IGNORED
    unknown = (labels == IGNORED).astype(np.float32)
    warp = random_warp(SHAPE, MOVING, random(seed))
    assert warp is not None
    moved = warp.labels(labels)
    assert set(np.unique(moved)) <= {-1.0, 0.0, 1.0}
    assert ((moved == IGNORED) == (warp.labels(unknown) != 0)).all()


def test_what_comes_from_outside_is_unknown_and_not_background() -> None:
    labels = np.zeros((101, 101), np.float32)
    moved = make_warp(labels.shape, turn(labels.shape, 45)).labels(labels)
    assert (moved[[0, 0, -1, -1], [0, -1, 0, -1]] == IGNORED).all()
    assert moved[50, 50] == 0
    assert (moved == 0).mean() == pytest.approx(2 * np.sqrt(2) - 2, abs=0.02)  # of an octagon


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_quarter_turn_is_exact(degrees: int) -> None:
    image = random().normal(size=(64, 64)).astype(np.float32)
    warp = make_warp(image.shape, turn(image.shape, degrees))
    assert np.array_equal(warp.image(image), np.rot90(image, degrees // 90))
    assert np.array_equal(warp.labels(image), np.rot90(image, degrees // 90))


@pytest.mark.parametrize("seed", range(4))
def test_a_flip_is_exact_and_flips_the_pseudo_labels_with_the_image(seed: int) -> None:
    image, labels = random(1).normal(size=SHAPE).astype(np.float32), discs()
    done = augment(image, labels, replace(STILL, flip_p=1.0), random(seed))
    axis = 1 if np.array_equal(done.image, image[:, ::-1]) else 0
    assert np.array_equal(done.image, np.flip(image, axis))
    assert np.array_equal(done.labels, np.flip(labels, axis))


def test_both_flips_come_up() -> None:
    rows = np.repeat(np.arange(8, dtype=np.float32)[:, None], 8, axis=1)
    settings = replace(STILL, flip_p=1.0)
    results = {augment(rows, rows, settings, random(s)).labels[0, 0] for s in range(8)}
    assert results == {0.0, 7.0}


def test_boxes_are_cut_to_the_image_and_those_that_left_it_are_gone() -> None:
    image = np.zeros((100, 100), np.float32)
    boxes = np.array([[2.0, 2.0, 8.0, 8.0], [45.0, 45.0, 55.0, 55.0]])
    settings = replace(STILL, rotate_p=1.0, rotate_degrees=45.0)
    done = augment(image, image, settings, np.random.default_rng(3), boxes)
    assert done.boxes is not None
    assert done.kept is not None
    assert (done.boxes >= 0).all()
    assert (done.boxes <= 99).all()
    assert 1 in done.kept
    untouched = augment(image, image, STILL, random(), boxes)
    assert untouched.boxes == pytest.approx(boxes)
    assert untouched.kept is not None
    assert untouched.kept.tolist() == [0, 1]


def test_a_box_that_leaves_the_image_is_dropped_by_its_index() -> None:
    image = np.zeros((100, 100), np.float32)
    boxes = np.array([[6.0, 6.0, 9.0, 9.0], [45.0, 45.0, 55.0, 55.0]])
    kept = [
        augment(image, image, replace(MOVING, rotate_degrees=30.0), random(s), boxes).kept
        for s in range(20)
    ]
    assert {tuple(k.tolist()) for k in kept if k is not None} == {(0, 1), (1,)}


@pytest.mark.parametrize("settings", [Augmentation(), MOVING, STILL], ids=["usual", "all", "none"])
def test_the_same_seed_gives_the_same_image(settings: Augmentation) -> None:
    image = random(1).normal(size=SHAPE).astype(np.float32)
    one, other = (augment(image, discs(), settings, random(7)) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.labels, other.labels)
    assert {one.image.dtype, one.labels.dtype} == {np.dtype(np.float32)}


def test_another_seed_gives_another_image() -> None:
    image = random(1).normal(size=SHAPE).astype(np.float32)
    results = {augment(image, discs(), MOVING, random(s)).image.tobytes() for s in range(5)}
    assert len(results) == 5


def test_nothing_is_changed_where_nothing_may_happen() -> None:
    image = random(1).normal(size=SHAPE).astype(np.float32)
    before = image.copy()
    done = augment(image, discs(), STILL, random())
    assert np.array_equal(done.image, before)
    assert np.array_equal(done.labels, discs())
    augment(image, discs(), replace(MOVING, noise_p=1.0, contrast_p=1.0), random())
    assert np.array_equal(image, before)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (40.0, 128.0), (0.2, 0.5)])
def test_changes_of_intensity_are_as_strong_on_any_scale(
    change: str, scale: float, offset: float
) -> None:
    image = random(1).normal(size=SHAPE).astype(np.float32)
    settings = CHANGES[change]
    usual = change_intensity(image, settings, random(5))
    scaled = change_intensity(scale * image + offset, settings, random(5))
    assert np.abs(usual - image).max() > 0.05
    assert (scaled - offset) / scale == pytest.approx(usual, abs=2e-3)


def test_noise_has_the_strength_that_was_asked_for() -> None:
    image = 7 * random(1).normal(size=(400, 400)).astype(np.float32)
    settings = replace(STILL, noise_p=1.0, noise_std=(0.25, 0.25))
    added = change_intensity(image, settings, random()) - image
    assert added.std() == pytest.approx(0.25 * image.std(), rel=0.02)


def test_contrast_and_brightness_survive_as_nothing_is_normalised_afterwards() -> None:
    image = random(1).normal(size=SHAPE).astype(np.float32)
    settings = replace(STILL, contrast_p=1.0, contrast=(1.2, 1.2), brightness=0.5)
    changed = change_intensity(image, settings, random(2))
    assert changed.std() == pytest.approx(1.2 * image.std(), rel=1e-4)
    assert 0.01 < abs(changed.mean() - image.mean()) <= 0.5 * image.std()


def test_ice_only_brightens_and_only_within_discs() -> None:
    image = random(1).normal(size=(256, 256)).astype(np.float32)
    settings = replace(STILL, ice_p=1.0, ice_discs=1, ice_radius_px=(10.0, 12.0))
    added = change_intensity(image, settings, random(4)) - image
    assert added.min() > -1e-5
    assert 0 < (added > 0.5).sum() <= np.pi * 12.5**2


def test_a_flat_image_stays_flat() -> None:
    flat = np.full((32, 32), 3.0, np.float32)
    everything = replace(STILL, noise_p=1.0, contrast_p=1.0, blur_p=1.0, ice_p=1.0)
    assert change_intensity(flat, everything, random()) == pytest.approx(flat)
