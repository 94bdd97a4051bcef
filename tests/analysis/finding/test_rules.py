from typing import Any

import numpy as np
import pytest

from analysis.errors import FindingError
from analysis.finding.pool import Pool, pool_of
from analysis.finding.rules import make_rules
from analysis.finding.settings import read_settings
from trainables.datasets import geometry

CLASSES = ("Powder", "Satellite", "Spot")


def rectangles(*given: tuple[int, int, int, int, int, float]) -> Pool:
    """Left, top, width, height, class and score of each instance, in a picture of 200 x 200."""
    masks = [
        geometry.encode_crop(np.ones((height, width)), (left, top), 200, 200)
        for left, top, width, height, _, _ in given
    ]
    scores = np.array([score for *_, score in given])
    return pool_of(np.zeros((len(given), 4)), scores, np.array([g[4] for g in given]), masks)


def applied(rules: dict[str, Any], pool: Pool) -> tuple[list[tuple[int, float]], dict[str, int]]:
    settings = read_settings({"rules": rules}).rules
    kept, removed = make_rules(settings, CLASSES).apply(pool)
    stay = zip(kept.classes.tolist(), kept.boxes[:, 0].tolist(), strict=True)
    return sorted(stay), removed


INSIDE = {"containment_rules": {"Satellite": "Powder"}}


def test_a_child_of_which_95_of_100_pixels_lie_in_one_parent_stays() -> None:
    parent, child = (0, 0, 50, 50, 0, 0.9), (40, 5, 10, 10, 1, 0.8)
    inside = applied(INSIDE, rectangles(parent, child))
    assert inside == ([(0, 0), (1, 40)], {"Satellite in Powder": 0})
    child_95 = rectangles((0, 0, 119, 50, 0, 0.9), (100, 5, 20, 5, 1, 0.8))
    assert applied(INSIDE, child_95) == ([(0, 0), (1, 100)], {"Satellite in Powder": 0})
    child_94 = rectangles((0, 0, 147, 50, 0, 0.9), (100, 5, 50, 2, 1, 0.8))
    assert applied(INSIDE, child_94) == ([(0, 0)], {"Satellite in Powder": 1})


def test_a_child_that_lies_in_two_parents_but_in_none_enough_is_removed() -> None:
    left, right = (0, 0, 60, 50, 0, 0.9), (60, 0, 38, 50, 0, 0.9)
    child = (0, 5, 100, 1, 1, 0.8)
    found = applied(INSIDE, rectangles(left, right, child))
    assert found == ([(0, 0), (0, 60)], {"Satellite in Powder": 1})


def test_without_any_parent_all_children_are_removed() -> None:
    found = applied(INSIDE, rectangles((0, 0, 9, 9, 1, 0.9), (50, 0, 9, 9, 1, 0.8)))
    assert found == ([], {"Satellite in Powder": 2})


def test_the_weaker_of_two_that_overlap_too_much_is_removed_before_containment() -> None:
    """The satellite lies in the weaker powder only, which the stronger one removes."""
    weak, strong = (0, 0, 40, 40, 0, 0.5), (8, 0, 40, 40, 0, 0.9)
    rules = {**INSIDE, "overlap_rules": {0: {"max_iou_threshold": 0.5}}}
    found = applied(rules, rectangles(weak, strong, (1, 1, 4, 4, 1, 0.8), (20, 1, 4, 4, 1, 0.7)))
    assert found == ([(0, 8), (1, 20)], {"overlap of Powder": 1, "Satellite in Powder": 1})


@pytest.mark.parametrize(
    ("rule", "removed"),
    [
        ({}, 1),
        ({"allow_overlap": True}, 1),
        ({"allow_overlap": True, "max_iou_threshold": 0.9}, 0),
        ({"max_iou_threshold": 0.9}, 1),
        ({"max_iou_threshold": 0.95}, 0),
    ],
    ids=["default", "allowed", "at-will", "not-allowed", "higher"],
)
def test_an_overlap_rule_counts_unless_overlap_is_allowed_at_will(
    rule: dict[str, Any], removed: int
) -> None:
    two = rectangles((0, 0, 96, 40, 0, 0.9), (4, 0, 96, 40, 0, 0.8))  # 92 / 100
    assert applied({"overlap_rules": {"Powder": rule}}, two)[1] == {"overlap of Powder": removed}


@pytest.mark.parametrize(("gap", "removed"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("corner", [False, True])
def test_two_that_may_not_touch_need_a_pixel_between_them(
    gap: int, removed: int, corner: bool
) -> None:
    two = rectangles((0, 0, 10, 10, 0, 0.9), (10 + gap, 10 if corner else 0, 180, 10, 0, 0.8))
    rules = {"overlap_rules": {"Powder": {"allow_touch": False}}}
    found, told = applied(rules, two.take(np.array([1, 0])))
    assert told == {"overlap of Powder": removed}
    assert (0, 0) in found


def test_what_lies_in_a_class_that_must_itself_lie_in_another_is_judged_after_it() -> None:
    rules = {"containment_rules": {"Spot": "Satellite", "Satellite": "Powder"}}
    powder, satellite = (0, 0, 50, 50, 0, 0.9), (100, 100, 20, 20, 1, 0.8)
    spot = (105, 105, 5, 5, 2, 0.7)
    found = applied(rules, rectangles(powder, satellite, spot))
    assert found == ([(0, 0)], {"Satellite in Powder": 1, "Spot in Satellite": 1})


def test_boxes_are_judged_by_their_boxes() -> None:
    boxes = np.array([[0, 0, 50, 50], [10, 10, 20, 20], [45, 0, 65, 10]])
    pool = pool_of(boxes, np.array([0.9, 0.8, 0.7]), np.array([0, 1, 1]), None)
    assert applied(INSIDE, pool) == ([(0, 0), (1, 10)], {"Satellite in Powder": 1})


def test_rules_that_are_switched_off_remove_nothing_but_are_checked() -> None:
    pool = rectangles((0, 0, 9, 9, 1, 0.9))
    assert applied({**INSIDE, "enabled": False}, pool) == ([(1, 0)], {})
    with pytest.raises(FindingError, match="Satelite"):
        applied({"enabled": False, "overlap_rules": {"Satelite": {}}}, pool)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"containment_rules": {"Satelite": "Powder"}},
         r"rules\.containment_rules\.Satelite: .*did you mean Satellite\?"),
        ({"containment_rules": {"Satellite": "Powders"}},
         r"rules\.containment_rules\.Satellite\.Powders: .*did you mean Powder\?"),
        ({"containment_rules": {0: 7}}, r"containment_rules\.Powder\.7: .*index from 0 to 2"),
        ({"overlap_rules": {"Pore": {}}}, r"rules\.overlap_rules\.Pore: expected a class"),
        ({"containment_rules": {"Spot": "Powder", "Powder": "Spot"}},
         r"classes that lie in other ones, got (Powder in Spot in Powder|Spot in Powder in Spot)"),
        ({"containment_rules": {"Spot": "Spot"}}, r"got Spot in Spot; no instance could stay"),
    ],
    ids=["child", "parent", "parent-index", "overlap", "circle", "itself"],
)  # fmt: skip
def test_a_rule_for_an_unknown_class_or_in_a_circle_is_refused_by_name(
    rules: dict[str, Any], words: str
) -> None:
    with pytest.raises(FindingError, match=words):
        make_rules(read_settings({"rules": rules}).rules, CLASSES)
