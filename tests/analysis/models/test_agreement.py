"""When two models find the same."""

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.models.agreement import Pixels, View, compare, paired, views
from trainables.datasets.geometry import disc
from trainables.results import Instances

SCORES = (0.9, 0.5, 0.5, 0.1)


def found(
    *, shift: float = 0.0, score: float = 0.0, radius: float = 8.0, order: Sequence[int] = range(4)
) -> Instances:
    """Four discs, two of them of one score."""
    at = np.array([[20, 20], [60, 20], [20, 60], [60, 60]], np.float32)[list(order)] + shift
    return Instances(
        boxes=np.concatenate([at - 8, at + 8], axis=1).astype(np.float32),
        scores=np.array(SCORES, np.float32) + np.float32(score),
        classes=np.array([0, 1, 0, 1])[list(order)],
        masks=[disc(float(x), float(y), radius, 100, 90) for x, y in at],
    )


class Finds:
    """A model that always finds the same, and remembers what it was shown."""

    classes: tuple[str, ...] = ("a", "b")

    def __init__(self, result: Instances) -> None:
        self.result = result
        self.shown: list[list[tuple[int, ...]]] = []

    def __call__(self, images: Sequence[Pixels]) -> list[Instances]:
        self.shown.append([image.shape[:2] for image in images])
        return [self.result for _ in images]


PARTS = views([View("p", np.zeros((90, 100, 3), np.uint8))])


def test_the_pictures_are_five_of_different_sizes() -> None:
    for n, maps in ((1, False), (5, False), (3, True)):
        shown = views([View("p", np.zeros((700, 900, 3), np.uint8))] * n, maps=maps)
        assert len({part.pixels.shape for part in shown}) == 5
        assert max(max(part.pixels.shape) for part in shown) == (512 if maps else 900)


def test_pictures_go_through_in_batches_of_1_2_and_5_and_all_sizes_together() -> None:
    one, other = Finds(found()), Finds(found())
    agreement = compare(one, other, PARTS)
    assert one.shown == other.shown
    assert [len(batch) for batch in one.shown] == [1] * 5 + [2] * 3 + [5] + [5]
    assert all(len(set(batch)) == 1 for batch in one.shown[:-1])
    assert len(set(one.shown[-1])) == 5
    assert agreement.n_pictures == 21
    assert agreement.n_finds == 4 * 21
    assert not agreement.reason


def test_finds_of_one_score_have_no_order() -> None:
    pairs, alone = paired(found(), found(order=(0, 2, 1, 3)))
    assert pairs == [(0, 0), (1, 2), (2, 1), (3, 3)]
    assert not alone


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (found(shift=0.01), "in one of the two alone, or differ by more than 0.001 px"),
        (found(score=2e-5), "or 1e-05 of score"),
        (found(order=(0, 1, 3, 2)), "in one of the two alone"),
        (found(radius=8.5), "masks differ, IoU 0."),
    ],
)
def test_what_differs_is_said(other: Instances, said: str) -> None:
    reason = compare(Finds(found()), Finds(other), PARTS).reason
    assert said in reason
    assert "and 18 more" in reason
    assert "p (100 x 90 px, in a batch of 1)" in reason


def test_a_little_of_rounding_is_no_difference() -> None:
    agreement = compare(Finds(found()), Finds(found(shift=5e-4, score=5e-6)), PARTS)
    assert not agreement.reason
    assert agreement.box_px == pytest.approx(5e-4, abs=1e-5)
    assert agreement.score == pytest.approx(5e-6, abs=1e-6)


def test_where_nothing_is_found_nothing_is_shown() -> None:
    nothing = Instances(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ()
    )
    agreement = compare(Finds(nothing), Finds(nothing), PARTS)
    assert agreement.reason == (
        "neither finds anything in these pictures, so nothing can be compared"
    )


class Undecided(Finds):
    """A model that finds something else in pictures of some batches."""

    def __init__(self, batches: Sequence[int]) -> None:
        super().__init__(found())
        self.batches = batches

    def __call__(self, images: Sequence[Pixels]) -> list[Instances]:
        usual = super().__call__(images)
        return [found(shift=1.0) for _ in images] if len(self.shown) - 1 in self.batches else usual


def test_a_batch_that_differs_is_tried_again_a_pixel_smaller_and_counted() -> None:
    other = Undecided([1])
    agreement = compare(Finds(found()), other, PARTS)
    assert not agreement.reason
    assert agreement.n_replaced == agreement.plain()["batches_replaced"] == 1
    assert agreement.n_pictures == 21
    (before,), (after,) = other.shown[1:3]
    assert (after[0], after[1]) == (before[0] - 1, before[1] - 1)


@pytest.mark.parametrize("batches", [(1, 2), (0, 2, 4)])
def test_what_differs_again_or_in_three_batches_is_no_chance(batches: Sequence[int]) -> None:
    assert "in one of the two alone" in compare(Finds(found()), Undecided(batches), PARTS).reason
