import time
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from analysis.finding.dedupe import dedupe
from analysis.finding.overlaps import mask_boxes, overlaps
from analysis.finding.pool import Pool, pool_of
from trainables.datasets import geometry

Rles = list[dict[str, Any]]


def pool(masks: Rles, scores: Any, classes: Any = 0) -> Pool:
    n = len(masks)
    given = np.broadcast_to(np.asarray(classes), n)
    return pool_of(np.zeros((n, 4)), np.broadcast_to(np.asarray(scores), n), given, masks)


def doubled(n: int, side: int, seed: int = 0) -> Rles:
    """Discs anywhere, every second one a copy of the last that is moved by up to a pixel."""
    rng = np.random.default_rng(seed)
    masks: Rles = []
    for i in range(n):
        if i % 2 == 0:
            x, y = rng.uniform(0, side, 2)
            radius = rng.uniform(6, 30)
        dx, dy = rng.uniform(-1, 1, 2)
        masks.append(geometry.disc(x + dx, y + dy, radius, side, side))
    return masks


def contents(kept: Pool) -> set[tuple[float, int, bytes]]:
    assert kept.masks is not None
    return {
        (float(score), int(one), bytes(mask["counts"]))
        for score, one, mask in zip(kept.scores, kept.classes, kept.masks, strict=True)
    }


def test_the_overlaps_are_those_of_all_pairs_by_pycocotools() -> None:
    masks = doubled(300, 700)
    whole = np.triu(coco_mask.iou(masks, masks, [0] * len(masks)), k=1)
    found = overlaps(mask_boxes(masks), masks)
    mine = np.zeros_like(whole)
    mine[found.first, found.second] = found.iou
    assert (whole > 0).sum() == len(found.iou) > 300
    np.testing.assert_array_equal(mine, whole)


def test_twenty_discs_doubled_with_a_shift_of_a_pixel_are_twenty_in_any_order() -> None:
    at = [(50 * (i % 5) + 30, 50 * (i // 5) + 30) for i in range(20)]
    masks = [geometry.disc(x + d, y, 15, 300, 300) for x, y in at for d in (0, 1)]
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(40)
        assert len(dedupe(pool([masks[i] for i in order], 0.9), 0.5).kept) == 20


def test_the_same_set_stays_under_twenty_permutations_though_scores_are_equal() -> None:
    """Chains of overlapping discs: with equal scores the order of ranks decides who stays."""
    rng = np.random.default_rng(3)
    at = rng.uniform(0, 300, (200, 2))
    masks = [geometry.disc(x, y, rng.uniform(8, 25), 300, 300) for x, y in at]
    scores = rng.integers(1, 4, 200) / 4
    classes = rng.integers(0, 2, 200)
    sets = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(200)
        shuffled = pool([masks[i] for i in order], scores[order], classes[order])
        sets.append(contents(shuffled.take(dedupe(shuffled, 0.2).kept)))
    assert 20 < len(sets[0]) < 150
    assert all(found == sets[0] for found in sets)


def test_of_two_equally_sure_instances_the_larger_stays_then_the_upper_then_the_left_one() -> None:
    def stays(*masks: dict[str, Any]) -> int:
        return int(dedupe(pool(list(masks), 0.5), 0.3).kept[0])

    small, large = geometry.disc(50, 50, 10, 100, 100), geometry.disc(50, 50, 12, 100, 100)
    assert [stays(small, large), stays(large, small)] == [1, 0]
    upper, lower = geometry.disc(50, 50, 10, 100, 100), geometry.disc(48, 52, 10, 100, 100)
    assert [stays(upper, lower), stays(lower, upper)] == [0, 1]
    left, right = geometry.disc(50, 50, 10, 100, 100), geometry.disc(52, 50, 10, 100, 100)
    assert [stays(left, right), stays(right, left)] == [0, 1]


def test_the_surer_one_stays_and_the_others_stand_for_it() -> None:
    masks = [geometry.disc(x, 50, 20, 200, 100) for x in (50, 54, 120)]
    found = dedupe(pool(masks, [0.4, 0.9, 0.5]), 0.5)
    assert found.kept.tolist() == [1, 2]
    assert found.keeper.tolist() == [1, 1, 2]


def test_one_that_overlaps_only_a_suppressed_one_stays() -> None:
    masks = [geometry.disc(x, 50, 20, 200, 100) for x in (50, 62, 74)]
    assert dedupe(pool(masks, [0.9, 0.8, 0.7]), 0.4).kept.tolist() == [0, 2]


def test_boxes_are_compared_where_there_are_no_masks() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [5, 0, 15, 10]], np.float32)
    found = pool_of(boxes, np.array([0.5, 0.9, 0.7]), np.zeros(3), None)
    pairs = overlaps(found.boxes)
    table = dict(zip(zip(pairs.first, pairs.second, strict=True), pairs.iou, strict=True))
    assert table == {(0, 1): 90 / 110, (0, 2): 50 / 150, (1, 2): 60 / 140}
    assert dedupe(found, 0.5).kept.tolist() == [1, 2]
    assert dedupe(found, 0.4).kept.tolist() == [1]


def test_nothing_found_is_nothing() -> None:
    assert dedupe(pool([], np.zeros(0)), 0.5).kept.tolist() == []


@pytest.mark.parametrize(("n", "seconds"), [(5_000, 0.3), (20_000, 1.5)])
def test_thousands_of_masks_of_a_large_picture_take_no_time(n: int, seconds: float) -> None:
    found = pool(doubled(n, 4096), np.random.default_rng(0).random(n))
    took = []
    for _ in range(3):  # the best of three: other work only ever slows it
        started = time.process_time()
        kept = dedupe(found, 0.5).kept
        took.append(time.process_time() - started)
    assert 0.45 * n < len(kept) < 0.55 * n
    assert min(took) < seconds
