from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.errors import FindingError
from analysis.finding.ensemble import calibrated, uncalibrated
from analysis.finding.finder import Finder
from analysis.finding.models import FindingModel
from analysis.finding.settings import read_settings
from tests.support.models.seen_particles import BlobFinder, DiscFinder, places
from trainables.results import Instances

A, B, C = (40.0, 40.0, 12.0), (100.0, 40.0, 12.0), (160.0, 40.0, 12.0)

PICTURE = places(80, 200)


def model(
    *discs: tuple[float, float, float], score: float, best: float | None, **given: Any
) -> FindingModel:
    return FindingModel(DiscFinder(discs, score=score, **given), f"model-{best}", best)


def test_a_calibrated_score_keeps_the_order_and_is_one_half_at_the_models_best_confidence() -> None:
    scores = np.linspace(0, 1, 101)
    for confidence in (0.05, 0.3, 0.9):
        found = calibrated(scores, confidence)
        assert (np.diff(found) > 0).all()
        assert found[[0, -1]].tolist() == [0, 1]
        assert calibrated(np.array([confidence]), confidence)[0] == pytest.approx(0.5)
        back = [uncalibrated(float(score), confidence) for score in found]
        np.testing.assert_allclose(back, scores, atol=1e-9)
    assert calibrated(np.array([0.2, 0.7]), 0.5) == pytest.approx([0.2, 0.7])


def test_the_find_of_the_model_that_is_surer_for_its_kind_stays() -> None:
    """0.3 is far above what the shy model was best at, 0.6 is below that of the bold one."""
    shy, bold = model(A, score=0.3, best=0.1), model(A, B, score=0.6, best=0.7)
    finder = Finder([bold, shy], read_settings({}))
    found = finder.find(PICTURE)
    assert len(found.instances) == 1
    assert found.instances.scores[0] == pytest.approx(0.3 * 0.9 / (0.3 * 0.9 + 0.1 * 0.7))
    assert found.confidence == {"disc": 0.5, "other": 0.5}
    both = Finder([bold, shy], read_settings({"confidence": 0.35})).find(PICTURE)
    assert len(both.instances) == 2
    assert both.instances.scores[1] == pytest.approx(0.6 * 0.3 / (0.6 * 0.3 + 0.7 * 0.4))


def test_a_model_is_told_to_report_all_that_counts_after_calibration() -> None:
    blobs = BlobFinder()
    Finder([FindingModel(blobs, "a", 0.2), model(A, score=0.6, best=0.7)], read_settings({}))
    assert blobs.reporting.confidence == pytest.approx(0.2, abs=1e-5)


def test_an_object_counts_that_most_models_found() -> None:
    models = [
        model(A, B, score=0.6, best=0.5),
        model(A, C, score=0.4, best=0.3),
        model(A, B, score=0.4, best=0.5),
    ]
    settings = {"ensemble": {"scores": "vote"}}
    found = Finder(models, read_settings(settings)).find(PICTURE)
    assert found.instances.scores.tolist() == pytest.approx([2 / 3])
    assert found.instances.boxes.tolist() == [[28, 28, 52, 52]]
    any_of_them = {"ensemble": {"scores": "vote", "votes": 1}}
    found = Finder(models, read_settings(any_of_them)).find(PICTURE)
    assert found.instances.scores.tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3])


def test_classes_of_models_are_matched_by_name() -> None:
    one = model(A, score=0.6, best=0.5, classes=("disc", "square"))
    other = model(B, score=0.6, best=0.5, classes=("rod", "disc"), kinds=(1,))
    finder = Finder([one, other], read_settings({}))
    assert finder.classes == ("disc", "square", "rod")
    assert finder.find(PICTURE).instances.classes.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, r"ensemble\.scores: expected for each model the confidence .* none for model-None"),
        ({"ensemble": {"scores": "vote"}}, "confidence: expected one, .* of model-None, got none"),
        ({"confidence": 0.5, "ensemble": {"scores": "vote", "votes": 3}},
         r"ensemble\.votes: expected at most 2, the number of models, got 3"),
    ],
    ids=["calibrated", "vote", "votes"],
)  # fmt: skip
def test_models_that_cannot_be_one_are_refused(settings: dict[str, Any], words: str) -> None:
    models = [model(A, score=0.6, best=0.5), model(A, score=0.6, best=None)]
    with pytest.raises(FindingError, match=words):
        Finder(models, read_settings(settings))


class BoxesOnly(DiscFinder):
    """A model that gives no masks."""

    def __call__(self, images: Any) -> list[Instances]:
        return [replace(found, masks=None) for found in super().__call__(images)]


def test_boxes_and_masks_are_not_compared() -> None:
    boxes = FindingModel(BoxesOnly([B]), "boxes", 0.5)
    finder = Finder([boxes, model(A, score=0.6, best=0.5)], read_settings({}))
    with pytest.raises(FindingError, match="expected masks from all models or from none"):
        finder.find(PICTURE)


def test_no_model_is_no_finder() -> None:
    with pytest.raises(FindingError, match="expected at least one model"):
        Finder([], read_settings({}))
