import numpy as np
import pytest

from analysis.finding.passes import (
    PLAIN,
    Variant,
    goes_on,
    painted,
    turned,
    turned_back,
    variants,
)
from analysis.finding.pool import pool_of
from analysis.finding.settings import PassSettings
from trainables.datasets import geometry

RULE = PassSettings(
    maximum=10,
    min_total_masks=10,
    min_relative_increase=0.25,
    max_consecutive_zero=1,
    min_iterations=2,
)


def passes(totals: list[int], rule: PassSettings = RULE) -> int:
    """Number of passes after which a search ends that would find so many."""
    n = 1
    while n < len(totals) and goes_on(totals[:n], rule):
        n += 1
    return n


@pytest.mark.parametrize(
    ("totals", "after"),
    [
        ([40, 55, 62, 99], 3),
        ([5, 5, 99], 2),
        ([6, 8, 9, 9], 4),
        ([6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], 4),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 9.5], 10),
        ([0, 0, 99], 2),
    ],
    ids=["adds-too-little", "adds-nothing", "few", "few-until-ten", "maximum", "nothing"],
)
def test_the_search_ends_by_the_pass_rule(totals: list[int], after: int) -> None:
    assert passes(totals) == after


def test_below_the_least_number_a_pass_that_adds_little_does_not_end_the_search() -> None:
    assert all(goes_on([6, 8, 9][:n], RULE) for n in (1, 2, 3))
    few = PassSettings(maximum=3)
    assert [goes_on([6, 8, 9][:n], few) for n in (1, 2, 3)] == [True, True, False]


def test_two_passes_in_a_row_that_add_nothing_may_be_asked_for() -> None:
    patient = RULE.model_copy(update={"max_consecutive_zero": 2})
    assert passes([5, 5, 7, 7, 7, 9], patient) == 5


def test_the_relative_increase_counts_from_the_least_number_of_passes_on() -> None:
    late = RULE.model_copy(update={"min_iterations": 4})
    assert passes([40, 41, 42, 43, 44], late) == 4


def test_all_passes_differ_and_the_first_is_plain() -> None:
    found = variants(PassSettings(maximum=12), windowed=True)
    assert len(found) == 12
    assert found[0] == PLAIN
    unmasked = [variant for variant in found if not variant.masked]
    assert len(set(unmasked)) == len(unmasked) >= 8
    assert {variant.shift for variant in found} > {0.0, 0.5}
    assert not any(v.shift for v in variants(PassSettings(maximum=12), windowed=False))


def test_there_are_no_more_passes_than_kinds_that_differ() -> None:
    assert len(variants(PassSettings(maximum=32, kinds=("flip", "turn")), windowed=True)) == 8
    assert variants(PassSettings(), windowed=True) == [PLAIN]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_what_is_found_in_a_turned_picture_comes_back_to_its_pixels(
    turns: int, mirrored: bool
) -> None:
    variant = Variant(turns, mirrored)
    inside = np.zeros((50, 80), bool)
    inside[5:12, 40:61] = True
    inside[12:20, 40:44] = True
    picture = np.repeat(inside[:, :, None], 3, axis=2).astype(np.uint8)
    shown = turned(picture, variant)
    mask = geometry.encode_mask(shown[:, :, 0])
    found = pool_of(np.zeros((1, 4)), np.array([0.5]), np.array([1]), [mask], source=3)
    back = turned_back(found, variant, shown.shape)
    assert back.masks is not None
    assert dict(back.masks[0]) == geometry.encode_mask(inside)
    assert back.boxes.tolist() == [[40, 5, 61, 20]]
    assert (back.sources.tolist(), back.classes.tolist()) == ([3], [1])
    boxes = pool_of(found.boxes, found.scores, found.classes, None)
    assert turned_back(boxes, variant, shown.shape).boxes.tolist() == [[40, 5, 61, 20]]


def test_what_was_found_is_painted_over_in_the_colour_of_the_rest() -> None:
    picture = np.full((60, 60, 3), (10, 20, 30), np.uint8)
    disc = geometry.disc(30, 20, 8, 60, 60)
    picture[12:28, 22:38] = 200
    found = pool_of(np.zeros((1, 4)), np.ones(1), np.zeros(1), [disc])
    shown = painted(picture, found)
    inside = np.zeros((60, 60), bool)
    crop, (x, y) = geometry.crop(disc)
    inside[y : y + len(crop), x : x + crop.shape[1]] = crop
    assert (shown[inside] == (10, 20, 30)).all()
    assert (shown[40:] == picture[40:]).all()
    assert (picture[20, 30] == 200).all(), "the picture itself stays"
