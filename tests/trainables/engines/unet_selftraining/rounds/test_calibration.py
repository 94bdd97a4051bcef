"""Probabilities that mean what they say."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit

from trainables.engines.unet_selftraining.rounds.calibration import (
    AS_THEY_ARE,
    Calibration,
    calibrate,
)

Map = npt.NDArray[np.float32]


def drawn(slope: float, offset: float, n: int = 40_000) -> tuple[Map, Map]:
    """Logits and targets that hang together by a line."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n // 200, 200)).astype(np.float32)
    target = rng.random(logits.shape) < expit(slope * logits + offset)
    return logits, target.astype(np.float32)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (1.5, -2.0), (0.4, 1.0)])
def test_the_line_that_the_targets_were_drawn_with_is_found(slope: float, offset: float) -> None:
    found = calibrate([drawn(slope, offset)])
    assert (found.slope, found.offset) == pytest.approx((slope, offset), abs=0.06)


def test_soft_targets_pull_to_their_values() -> None:
    logits = drawn(1, 0)[0]
    found = calibrate([(logits, expit(0.7 * logits - 1).astype(np.float32))])
    assert (found.slope, found.offset) == pytest.approx((0.7, -1), abs=0.01)


def test_what_is_ignored_is_not_counted() -> None:
    logits, target = drawn(1.5, -2)
    wrong = np.where(np.arange(200) < 100, -1, target).astype(np.float32)
    other = logits.copy()
    other[:, :100] = 9
    assert calibrate([(other, wrong)]) == calibrate([(logits[:, 100:], target[:, 100:])])


def test_pictures_count_together() -> None:
    logits, target = drawn(1.5, -2)
    halves = [(logits[::2], target[::2]), (logits[1::2], target[1::2])]
    assert calibrate(halves) == calibrate([(logits, target)])


def test_background_that_the_network_calls_a_third_passes_the_threshold_that_it_deserves() -> None:
    logits = np.array([[-0.7] * 97 + [2.0] * 3], np.float32)
    target = np.array([[0.0] * 96 + [1.0] * 4], np.float32)
    probability = calibrate([(logits, target)]).probabilities(logits)
    assert expit(-0.7) > 0.3
    assert probability[0, 0] < 0.05


def test_a_network_that_says_the_opposite_knows_nothing() -> None:
    logits, target = drawn(-1, -1)
    probability = calibrate([(logits, target)]).probabilities(logits)
    np.testing.assert_allclose(probability, target.mean(), atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_of_one_kind_alone_nothing_is_learned(value: float) -> None:
    logits = drawn(1, 0)[0]
    assert calibrate([(logits, np.full_like(logits, value))]) == AS_THEY_ARE


def test_no_error_at_all_has_a_finite_line() -> None:
    logits = np.linspace(-300, 300, 1000, dtype=np.float32)[None]
    found = calibrate([(logits, (logits > 0).astype(np.float32))])
    assert np.isfinite([found.slope, found.offset]).all()
    assert found.probabilities(logits)[0, [0, -1]] == pytest.approx([0, 1], abs=1e-4)


def test_logits_as_they_are_have_the_probabilities_of_the_sigmoid() -> None:
    logits = drawn(1, 0)[0]
    np.testing.assert_allclose(Calibration().probabilities(logits), expit(logits), atol=1e-6)
