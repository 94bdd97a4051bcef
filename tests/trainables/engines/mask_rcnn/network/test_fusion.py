"""Instances of two models in one image."""

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="needs pycocotools")

from trainables.datasets.geometry import encode_crop
from trainables.engines.mask_rcnn.network.fusion import Fusion
from trainables.results import Instances

SIZE = 100


def _found(*objects: tuple[Sequence[int], float, int]) -> Instances:
    """Filled boxes x1 y1 x2 y2 with score and class."""
    ordered = sorted(objects, key=lambda entry: -entry[1])
    return Instances(
        np.array([box for box, _, _ in ordered], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in ordered], np.float32),
        np.array([name for _, _, name in ordered], np.int64),
        tuple(
            encode_crop(np.ones((y2 - y1, x2 - x1)), (x1, y1), SIZE, SIZE)
            for (x1, y1, x2, y2), _, _ in ordered
        ),
    )


LEFT, LEFT_SHIFTED, RIGHT = (10, 10, 40, 40), (12, 10, 42, 40), (60, 60, 90, 90)


def _fuse(a: Instances, b: Instances, weight: float = 0.5, **changes: float) -> Instances:
    fusion = Fusion({"a": weight, "b": 1 - weight}, changes.get("iou", 0.5), 300)
    return fusion({"a": a, "b": b})


def test_what_both_found_is_one_object_with_the_weighted_mean_of_their_scores() -> None:
    fused = _fuse(_found((LEFT, 0.9, 0)), _found((LEFT_SHIFTED, 0.5, 0)), weight=0.6)
    assert len(fused) == 1
    assert fused.scores[0] == pytest.approx(0.6 * 0.9 + 0.4 * 0.5)
    assert fused.boxes[0].tolist() == list(LEFT)


def test_what_one_found_keeps_its_score_so_that_scores_stay_comparable() -> None:
    fused = _fuse(_found((LEFT, 0.9, 0)), _found((RIGHT, 0.8, 0)), weight=0.6)
    assert fused.scores.tolist() == pytest.approx([0.9, 0.8])
    assert fused.boxes.tolist() == [list(LEFT), list(RIGHT)]


def test_the_model_with_the_larger_say_gives_the_mask() -> None:
    a, b = _found((LEFT, 0.6, 0)), _found((LEFT_SHIFTED, 0.7, 0))
    assert _fuse(a, b, weight=0.5).boxes[0].tolist() == list(LEFT_SHIFTED)
    assert _fuse(a, b, weight=0.8).boxes[0].tolist() == list(LEFT)


def test_objects_of_different_classes_do_not_suppress_each_other() -> None:
    fused = _fuse(_found((LEFT, 0.9, 0)), _found((LEFT, 0.8, 1)))
    assert fused.classes.tolist() == [0, 1]


def test_overlap_below_the_limit_is_two_objects() -> None:
    a, b = _found((LEFT, 0.9, 0)), _found(((25, 10, 55, 40), 0.8, 0))  # IoU 1/3
    assert len(_fuse(a, b)) == 2
    assert len(_fuse(a, b, iou=0.3)) == 1


def test_the_fused_instances_are_sorted_by_their_own_scores() -> None:
    a = _found((LEFT, 0.9, 0), (RIGHT, 0.8, 0))
    fused = _fuse(a, _found((LEFT, 0.1, 0)))
    assert fused.scores.tolist() == pytest.approx([0.8, 0.5])
    assert fused.boxes[0].tolist() == list(RIGHT)


def test_the_weights_belong_to_the_models_by_name_not_by_place() -> None:
    a, b = _found((LEFT, 0.9, 0)), _found((LEFT, 0.5, 0))
    fusion = Fusion({"a": 0.6, "b": 0.4}, 0.5, 300)
    assert fusion({"b": b, "a": a}).scores == fusion({"a": a, "b": b}).scores
    with pytest.raises(ValueError, match=r"expected a weight for each model, got none for \['c'\]"):
        fusion({"a": a, "c": b})


def test_the_order_of_the_objects_does_not_matter_and_twenty_doubles_become_twenty() -> None:
    rng = np.random.default_rng(0)
    places = [(20 * (i % 5), 20 * (i // 5)) for i in range(20)]
    boxes = [(x, y, x + 15, y + 15) for x, y in places]
    shifted = [(x1 + 1, y1, x2 + 1, y2) for x1, y1, x2, y2 in boxes]
    scores = rng.permutation(20) / 40 + 0.5
    for _ in range(3):
        a = _found(*((boxes[i], float(scores[i]), 0) for i in rng.permutation(20)))
        b = _found(*((shifted[i], float(scores[i]), 0) for i in rng.permutation(20)))
        fused = _fuse(a, b)
        np.testing.assert_allclose(np.sort(fused.scores), np.sort(scores), rtol=1e-6)


def test_one_model_alone_and_nothing_at_all_are_left_as_they_are() -> None:
    alone = _found((LEFT, 0.9, 0))
    assert Fusion({"a": 1.0}, 0.5, 300)({"a": alone}) is alone
    assert len(_fuse(_found(), _found())) == 0
    assert _fuse(alone, _found()).scores.tolist() == pytest.approx([0.9])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_weight_of_zero_switches_a_model_off(weight: float) -> None:
    a = _found((LEFT, 0.9, 0), (RIGHT, 0.4, 0))
    b = _found((LEFT_SHIFTED, 0.8, 0), ((45, 10, 55, 20), 0.7, 1))
    kept = a if weight else b
    assert _fuse(a, b, weight) is kept
    fusion = Fusion({"a": weight, "b": 1 - weight}, 0.5, 300)
    assert fusion.voices(["a", "b"]) == ["a" if weight else "b"]


def test_somebody_has_a_say() -> None:
    with pytest.raises(ValueError, match=r"expected a weight above 0 for one of \['a', 'b'\]"):
        Fusion({"a": 0.0, "b": 0.0}, 0.5, 300)({"a": _found(), "b": _found()})


def test_no_more_than_the_largest_number_of_instances_is_left() -> None:
    fusion = Fusion({"a": 0.5, "b": 0.5}, 0.5, 1)
    fused = fusion({"a": _found((LEFT, 0.4, 0)), "b": _found((RIGHT, 0.8, 0))})
    assert fused.boxes.tolist() == [list(RIGHT)]
