import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.metrics.confidence import choose_confidence, confidence_text
from trainables.metrics.instances import evaluate
from trainables.metrics.matching import GroundTruth
from trainables.metrics.particles import evaluate_particles
from trainables.results import Instances, Picks

Floats = npt.NDArray[np.float64]
NOISE = 6e-8  # by which a score differs in a batch of another size


def _row(scores: Floats, hits: npt.NDArray[np.bool_]) -> tuple[Instances, GroundTruth, Picks]:
    """Objects 20 px wide in a row, 50 px apart; each hit lies on one, each miss between two."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    left = 50.0 * np.arange(len(scores)) + np.where(hits, 0, 25)
    boxes = np.stack([left, 0 * left, left + 20, 0 * left + 20], 1).astype(np.float32)
    found = Instances(boxes, scores.astype(np.float32), np.zeros(len(scores), np.int64))
    there = boxes[hits]
    truth = GroundTruth(there, np.zeros(len(there), np.int64), None, 20, 50 * len(scores) + 50)
    middles = np.stack([left + 10, 0 * left + 10], 1)
    return found, truth, Picks(middles, found.scores.astype(np.float64))


SCORES = st.lists(
    st.tuples(st.floats(0.0625, 1, width=32), st.booleans()), min_size=1, max_size=30
).filter(lambda drawn: any(hit for _, hit in drawn))


@settings(max_examples=80, deadline=None)
@given(drawn=SCORES)
def test_masks_boxes_and_picks_take_the_same_confidence(drawn: list[tuple[float, bool]]) -> None:
    scores, hits = np.array([s for s, _ in drawn]), np.array([h for _, h in drawn])
    found, truth, picks = _row(scores, hits)
    of_boxes = evaluate([found], [truth], ("a",), kind="boxes")
    centers = (truth.boxes[:, :2] + truth.boxes[:, 2:]).astype(np.float64) / 2
    of_picks = evaluate_particles([picks], [centers], 5.0)
    assert of_boxes.f1 == pytest.approx(of_picks.f1)
    counted = picks.scores[picks.scores >= of_boxes.confidence]
    lower = picks.scores[picks.scores < of_boxes.confidence]
    if len(lower):
        assert of_boxes.confidence == of_picks.confidence
        assert of_boxes.confidence == pytest.approx((counted.min() + lower.max()) / 2, abs=1e-8)
    else:  # picks below 0.05 are never reported, boxes may be
        assert of_boxes.confidence == pytest.approx(counted.min() / 2, abs=1e-8)
        assert of_picks.confidence == pytest.approx((counted.min() + 0.05) / 2, abs=1e-8)


@settings(max_examples=80, deadline=None)
@given(drawn=SCORES, seed=st.integers(0, 2**32 - 1))
def test_scores_of_a_batch_of_another_size_have_the_same_f1(
    drawn: list[tuple[float, bool]], seed: int
) -> None:
    scores, hits = np.array([s for s, _ in drawn]), np.array([h for _, h in drawn])
    found, truth, _ = _row(scores, hits)
    best = evaluate([found], [truth], ("a",), kind="boxes")
    noise = np.random.default_rng(seed).choice([-NOISE, 0, NOISE], len(scores))
    moved, again, _ = _row(np.clip(scores + noise, 0, 1), hits)
    other = evaluate([moved], [again], ("a",), kind="boxes", confidence=best.confidence)
    assert (other.precision, other.recall, other.f1) == (best.precision, best.recall, best.f1)


def test_scores_that_noise_may_exchange_are_admitted_or_left_out_together() -> None:
    scores, f1 = np.array([0.9, 0.5 + NOISE, 0.5, 0.2]), np.array([0.5, 0.9, 0.8, 0.7])
    assert choose_confidence(scores, f1) == 0.35
    assert choose_confidence(np.array([0.9, 0.5, 0.2]), f1[:3]) == 0.35


def test_where_no_number_lies_between_two_scores_the_upper_one_is_taken() -> None:
    next_to = float(np.nextafter(0.05, 1))
    assert choose_confidence(np.array([next_to]), np.ones(1), floor=0.05) == next_to
    assert choose_confidence(np.array([0.02]), np.ones(1), floor=0.05) == 0.02
    assert choose_confidence(np.zeros(0), np.zeros(0)) == 1


@settings(max_examples=200, deadline=None)
@given(value=st.floats(0, 1))
def test_a_confidence_is_written_so_that_it_reads_back_as_itself(value: float) -> None:
    assert float(confidence_text(value)) == value
    assert "e" not in confidence_text(value)
