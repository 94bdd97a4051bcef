from typing import Any

import numpy as np
import pytest

from analysis.errors import FindingError
from analysis.finding.finder import Finder, Found, searched
from analysis.finding.models import FindingModel
from analysis.finding.settings import read_settings
from analysis.finding.windows import Window
from tests.support.models.seen_particles import BlobFinder, DiscFinder, drawn, packed, places
from trainables.contract import Reporting
from trainables.datasets import geometry
from trainables.results import Instances

ROW = [(40.0 + 60 * i, 50.0, 12.0, 240 - 20 * i) for i in range(6)]
"""Six discs; their scores fall from 0.96 to 0.56."""


def found_by(
    predictor: Any, picture: Any, settings: dict[str, Any], excluded: Any = (), **known: Any
) -> Found:
    known.setdefault("confidence", 0.5)
    model = FindingModel(predictor, **known)
    return Finder([model], read_settings(settings)).find(picture, excluded)


def areas(found: Found) -> list[int]:
    return [geometry.area(dict(mask)) for mask in found.instances.masks or ()]


def test_every_disc_of_a_large_picture_is_found_once_in_windows() -> None:
    discs = packed(150, 1500, (8, 70))
    found = found_by(DiscFinder(discs), places(1500, 1300), {}, picture_px=512)
    right = [
        geometry.area(geometry.disc(x, y, radius, 1300, 1500))
        for x, y, radius in discs
        if x + radius > 0 and x - radius < 1300
    ]
    right = [area for area in right if area]
    assert sorted(areas(found)) == sorted(right)
    assert (found.windows, found.passes, found.n_cut, found.capped) == (12, 1, 0, False)
    assert found.scales == (1.0,)


def test_a_class_confidence_of_0_3_yields_objects_scored_0_3() -> None:
    picture = drawn(100, 200, [(40, 50, 10, 75), (90, 50, 10, 74), (140, 50, 10, 200)])
    predictor = BlobFinder(classes=("blob", "other"), reporting=Reporting(300, 0.4))
    settings = {"confidence": 0.65, "classes": {"blob": {"confidence": 0.3}}}
    found = found_by(predictor, picture, settings)
    assert found.instances.scores.tolist() == pytest.approx([0.8, 0.3])
    assert found.confidence == {"blob": 0.3, "other": 0.65}
    assert predictor.reporting.max_det == 300
    assert predictor.reporting.confidence == pytest.approx(0.3, abs=1e-5)
    assert predictor.reporting.confidence < 0.3
    assert len(found_by(BlobFinder(), picture, {}).instances) == 1


@pytest.mark.parametrize("score", [0.3, 0.7, 0.2, 0.56])
def test_a_score_that_equals_the_confidence_counts(score: float) -> None:
    picture = drawn(100, 100, [(40, 50, 10, round(250 * score))])
    assert len(found_by(BlobFinder(), picture, {"confidence": score}).instances) == 1


def test_the_models_best_confidence_counts_where_the_settings_give_none() -> None:
    found = found_by(BlobFinder(), drawn(100, 400, ROW), {}, confidence=0.75)
    assert len(found.instances) == 3
    assert found.confidence == {"blob": 0.75}
    with pytest.raises(FindingError, match=r"confidence: expected one for blob, as no .* mine"):
        found_by(BlobFinder(), drawn(9, 9, []), {}, confidence=None, name="mine")
    given = {"classes": {"blob": {"confidence": 0.6}}}
    assert len(found_by(BlobFinder(), drawn(100, 400, ROW), given, confidence=None).instances) == 5


def test_a_limit_that_was_hit_is_said_and_can_be_raised() -> None:
    picture = drawn(100, 400, ROW)
    few = found_by(BlobFinder(), picture, {"max_det": 3})
    assert (len(few.instances), few.capped) == (3, True)
    all_of_them = found_by(BlobFinder(reporting=Reporting(3, 0.01)), picture, {"max_det": 50})
    assert (len(all_of_them.instances), all_of_them.capped) == (6, False)
    own = found_by(BlobFinder(reporting=Reporting(3, 0.01)), picture, {})
    assert (len(own.instances), own.capped) == (3, True)


def test_a_limit_that_cut_off_only_what_does_not_count_is_none() -> None:
    predictor = DiscFinder([(20, 20, 5), (60, 20, 5)], score=0.4)
    finder = Finder([FindingModel(predictor, confidence=0.5, max_det=2)], read_settings({}))
    found = finder.find(places(64, 96))
    assert (len(found.instances), found.capped) == (0, False)
    counted = Finder([FindingModel(predictor, confidence=0.3, max_det=2)], read_settings({}))
    assert counted.find(places(64, 96)).capped


def test_a_limit_that_cannot_be_changed_is_no_promise() -> None:
    model = FindingModel(DiscFinder([]), "fixed", confidence=0.5, max_det=100)
    with pytest.raises(FindingError, match=r"max_det: expected at most 100, .* of fixed.* got 300"):
        Finder([model], read_settings({"max_det": 300}))


def test_instances_below_the_least_size_of_their_class_are_removed_and_counted() -> None:
    discs = [(20.0, 20.0, 3.0), (50.0, 20.0, 5.0), (80.0, 20.0, 9.0), (110.0, 20.0, 3.0)]
    settings = {"min_size_px": 60, "classes": {"other": {"min_size_px": 5}}}
    found = found_by(DiscFinder(discs, kinds=(0, 0, 0, 1)), places(64, 128), settings)
    assert sorted(found.instances.classes.tolist()) == [0, 0, 1]
    assert found.removed == {"minimum size": 1, "excluded regions": 0}


def test_what_lies_in_an_excluded_region_is_not_searched_and_not_counted() -> None:
    discs = [(40.0, 40.0, 10.0), (40.0, 88.0, 12.0), (40.0, 150.0, 10.0), (100.0, 60.0, 6.0)]
    model = DiscFinder(discs)
    excluded = [Window(0, 100, 160, 160), Window(90, 50, 110, 70)]
    found = found_by(model, places(160, 160), {}, excluded)
    assert model.asked == [(0, 0, 160, 100)]
    assert areas(found) == [geometry.area(geometry.disc(40, 88, 12, 160, 100)), 316]
    assert found.removed["excluded regions"] == 1
    masks = found.instances.masks
    assert masks is not None
    assert {tuple(mask["size"]) for mask in masks} == {(160, 160)}
    assert found.instances.boxes.tolist() == [[28, 76, 52, 100], [30, 30, 50, 50]]


def test_a_strip_at_the_left_or_top_moves_what_is_found_to_its_place() -> None:
    discs = [(60.0, 40.0, 10.0)]
    found = found_by(DiscFinder(discs), places(100, 100), {}, [Window(0, 0, 20, 100)])
    masks = found.instances.masks
    assert masks is not None
    assert dict(masks[0]) == geometry.disc(60, 40, 10, 100, 100)


def test_strips_are_cut_off_on_all_sides_and_the_rest_stays() -> None:
    picture = Window(0, 0, 100, 80)
    strips = [Window(0, 0, 10, 70), Window(0, 70, 100, 80), Window(95, 0, 120, 80)]
    assert searched(picture, strips) == Window(10, 0, 95, 70)
    assert searched(picture, [Window(20, 20, 30, 30)]) == picture
    everything = [picture]
    with pytest.raises(FindingError, match="of which all is left out"):
        found_by(DiscFinder([]), places(80, 100), {}, everything)


def test_confidences_are_lowered_in_a_poor_picture_where_that_is_asked_for() -> None:
    picture = drawn(100, 400, ROW)
    usual = found_by(BlobFinder(), picture, {"confidence": 0.8})
    lowered = found_by(BlobFinder(), picture, {"confidence": 0.8, "confidence_by_quality": True})
    assert usual.quality == lowered.quality < 0.3
    assert lowered.confidence == {"blob": pytest.approx(0.56)}
    assert (len(usual.instances), len(lowered.instances)) == (3, 6)


def test_a_picture_without_instances_is_searched_like_any_other() -> None:
    for settings in ({}, {"passes": {"maximum": 4}}, {"scales": "adaptive"}):
        found = found_by(BlobFinder(), np.zeros((90, 120, 3), np.uint8), settings)
        assert len(found.instances) == 0
        assert found.instances.masks == ()


def test_boxes_only_stay_boxes() -> None:
    discs = [*ROW, (190.0, 160.0, 30.0, 200)]
    settings = {"windows": {"size_px": 128}}
    found = found_by(BlobFinder(boxes_only=True), drawn(240, 400, discs), settings)
    assert found.instances.masks is None
    boxes = sorted(found.instances.boxes.tolist())
    assert boxes == sorted([[x - r, y - r, x + r, y + r] for x, y, r, _ in discs])


def test_instances_of_two_classes_that_coincide_are_one_object() -> None:
    same = [(40.0, 40.0, 10.0), (40.0, 40.0, 10.0)]
    model = DiscFinder(same, kinds=(1, 0))
    assert found_by(model, places(80, 80), {}).instances.classes.tolist() == [0]
    kept = found_by(model, places(80, 80), {"across_classes_iou": 1})
    assert kept.instances.classes.tolist() == [0, 1]


def test_what_each_rule_removed_is_counted() -> None:
    discs = [(50.0, 50.0, 30.0), (50.0, 50.0, 5.0), (110.0, 50.0, 5.0)]
    rules = {"containment_rules": {"other": "disc"}}
    found = found_by(DiscFinder(discs, kinds=(0, 1, 1)), places(100, 130), {"rules": rules})
    assert sorted(found.instances.classes.tolist()) == [0, 1]
    assert found.removed == {"minimum size": 0, "excluded regions": 0, "other in disc": 1}
    with pytest.raises(FindingError, match="did you mean disc"):
        found_by(DiscFinder([]), places(9, 9), {"rules": {"containment_rules": {"disk": "other"}}})


def test_passes_go_on_where_a_model_reports_too_few_at_once() -> None:
    """The model reports 3 of 6 at once; the others once the first are painted over."""
    picture = drawn(100, 400, ROW)
    settings = {"passes": {"maximum": 6, "kinds": ["mask"]}}
    found = found_by(BlobFinder(reporting=Reporting(3, 0.01)), picture, settings)
    assert len(found.instances) == 6
    assert found.passes == 3
    assert found.capped


def test_turned_and_shifted_passes_find_the_same_particles_in_the_same_place() -> None:
    discs = packed(40, 600, (8, 50))
    settings = {
        "passes": {
            "maximum": 10,
            "kinds": ["flip", "turn", "shift"],
            "max_consecutive_zero": 9,
            "min_total_masks": 1000,
        }
    }
    model = DiscFinder(discs)
    found = found_by(model, places(600, 500), settings, picture_px=256)
    once = found_by(DiscFinder(discs), places(600, 500), {}, picture_px=256)
    assert found.passes == 10
    assert sorted(areas(found)) == sorted(areas(once))
    assert len({asked[:2] for asked in model.asked}) > 12


def test_small_particles_are_found_at_a_scale_at_which_the_network_is_shown_them_larger() -> None:
    discs = [(60.0, 60.0, 20.0, 200), (140.0, 60.0, 4.0, 200), (128.0, 140.0, 5.0, 200)]
    picture = drawn(200, 200, discs)
    once = found_by(BlobFinder(least_px=150), picture, {})
    twice = BlobFinder(least_px=150)
    found = found_by(twice, picture, {"scales": [1, 2]})
    assert (len(once.instances), len(found.instances)) == (1, 3)
    assert set(twice.shown) == {(200, 200)}, "the network is shown no larger pictures"
    assert found.windows == 1 + 9
    right = sorted(geometry.area(geometry.disc(x, y, r, 200, 200)) for x, y, r, _ in discs)
    assert sorted(areas(found)) == pytest.approx(right, rel=0.2)
    only = {"scales": [1, 2], "classes": {"blob": {"scales": False}}}
    assert len(found_by(BlobFinder(least_px=150), picture, only).instances) == 1


def test_a_find_of_another_search_that_lies_in_one_of_alike_size_is_the_same_object() -> None:
    """A disc of 12 px in one of 20 px: 0.36 of the union, below the limit between searches."""
    shared = {"classes": ("disc",), "score": 0.8}
    wide = FindingModel(DiscFinder([(60, 60, 20)], **shared), "wide", 0.5)  # type: ignore[arg-type]
    close = FindingModel(DiscFinder([(64, 60, 12)], **shared), "close", 0.5)  # type: ignore[arg-type]
    small = FindingModel(DiscFinder([(64, 60, 6)], **shared), "small", 0.5)  # type: ignore[arg-type]
    picture = places(128, 128)

    def count(*models: FindingModel) -> int:
        return len(Finder(models, read_settings({})).find(picture).instances)

    assert count(wide, close) == 1
    assert count(wide, small) == 2, "a small particle on a big one survives"
    both = DiscFinder([(60, 60, 20), (64, 60, 12)], classes=("disc",))
    assert count(FindingModel(both, confidence=0.5)) == 2, "one search knows what it does"


@pytest.mark.parametrize("settings", [{}, {"scales": [1, 2]}, {"passes": {"maximum": 4}}])
def test_pictures_that_are_shown_to_the_model_together_give_what_each_gives_alone(
    settings: dict[str, Any],
) -> None:
    pictures = [drawn(100, 400, ROW), drawn(100, 200, ROW[:3]), drawn(700, 700, ROW)]
    excluded = [[Window(0, 60, 400, 100)], [], [Window(0, 0, 120, 700)]]
    predictor = CountedCalls()
    model = FindingModel(predictor, confidence=0.5, picture_px=400)
    finder = Finder([model], read_settings(settings), at_once=8)
    together = finder.find_all(pictures, excluded)
    assert predictor.sizes[0] == 2, "both that fit into a view, in one call"
    alone = [finder.find(*given) for given in zip(pictures, excluded, strict=True)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.instances.boxes, other.instances.boxes)
        assert one.instances.masks == other.instances.masks
        assert (one.windows, one.passes, one.removed) == (
            other.windows,
            other.passes,
            other.removed,
        )
    assert [len(found.instances) for found in alone] == [6, 3, 4]


class CountedCalls(BlobFinder):
    """Remembers how many pictures each call had."""

    def __call__(self, images: Any) -> Any:
        self.sizes = [*getattr(self, "sizes", []), len(images)]
        return super().__call__(images)


def test_a_particle_that_windows_cut_at_one_scale_and_another_shows_whole_is_one() -> None:
    """At scale 1 only the first window finds its part of it; at one half it is whole."""
    picture = drawn(300, 300, [(150, 150, 100, 200)])
    settings = {"windows": {"size_px": 150, "overlap": 0.1}}
    once = found_by(FirstPart(), picture, settings)
    assert (len(once.instances), once.n_cut) == (1, 1)
    assert once.instances.boxes.tolist() == [[50, 50, 150, 150]]
    both = found_by(FirstPart(), picture, {**settings, "scales": [1, 0.5]})
    assert (len(both.instances), both.n_cut) == (1, 0)
    np.testing.assert_allclose(both.instances.boxes, [[50, 50, 250, 250]], atol=3)


class FirstPart(BlobFinder):
    """Finds nothing that reaches the upper or the left border of what it is shown."""

    def __call__(self, images: Any) -> Any:
        return [
            chosen(found, (found.boxes[:, :2] > 0).all(axis=1))
            for found in super().__call__(images)
        ]


def chosen(found: Instances, kept: Any) -> Instances:
    indices = np.flatnonzero(kept)
    masks = tuple((found.masks or ())[i] for i in indices.tolist())
    return Instances(found.boxes[indices], found.scores[indices], found.classes[indices], masks)


def test_of_a_device_with_little_memory_less_is_asked_at_once() -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch calls it."""

    shown = []

    class Small(BlobFinder):
        def __call__(self, images: Any) -> Any:
            shown.append(len(images))
            if len(images) > 2:
                raise OutOfMemoryError("CUDA out of memory")
            return super().__call__(images)

    picture = drawn(100, 400, ROW)
    finder = Finder([FindingModel(Small(), confidence=0.5)], read_settings({}), at_once=8)
    assert [len(found.instances) for found in finder.find_all([picture] * 5)] == [6] * 5
    assert shown == [5, 4, 2, 2, 1]
    assert len(finder.find_all([picture] * 2)) == 2
    assert shown[5:] == [2], "it is remembered"
