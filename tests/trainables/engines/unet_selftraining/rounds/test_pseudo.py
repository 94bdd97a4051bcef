import numpy as np
import pytest

from trainables.contract import InfeasibleParams
from trainables.engines.unet_selftraining.rounds.pseudo import (
    IGNORED,
    Caps,
    ThresholdPlan,
    Thresholds,
    combine,
)

FIRST = ThresholdPlan().of_round(1)


@pytest.mark.parametrize(
    ("number", "positive", "negative"),
    [
        (1, 0.95, 0.05),
        (2, 0.93, 0.07),
        (3, 0.91, 0.09),
        (4, 0.89, 0.11),
        (8, 0.81, 0.19),
        (9, 0.80, 0.20),
        (10, 0.80, 0.20),
        (100, 0.80, 0.20),
    ],
)
def test_thresholds_relax_by_two_hundredths_a_round_down_to_their_floor(
    number: int, positive: float, negative: float
) -> None:
    assert ThresholdPlan().of_round(number) == Thresholds(positive, negative)


def test_thresholds_without_a_decay_stay() -> None:
    assert ThresholdPlan(0.9, 0.1, decay=0).of_round(5) == Thresholds(0.9, 0.1)


@pytest.mark.parametrize(
    "plan",
    [
        {"positive": 0.7},
        {"negative": 0.3},
        {"positive_floor": 0.1, "negative_ceiling": 0.1},
        {"negative_ceiling": 0.85},
    ],
)
def test_thresholds_that_begin_beyond_their_floor_are_refused(plan: dict[str, float]) -> None:
    with pytest.raises(InfeasibleParams, match="expected negative <= negative_ceiling"):
        ThresholdPlan(**plan)


@pytest.mark.parametrize(
    ("human", "probability", "label"),
    [
        (1, 0.01, 1),
        (0, 0.97, 1),
        (0, 0.5, -1),
        (0, 0.01, 0),
        (-1, 0.97, 1),
        (-1, 0.01, 0),
        (-1, 0.5, -1),
        (1, 0.97, 1),
        (0, 0.95, -1),  # both thresholds are excluded
        (0, 0.05, -1),
    ],
)
def test_what_humans_marked_stays_and_the_rest_is_what_the_model_is_certain_of(
    human: int, probability: float, label: int
) -> None:
    combined = combine(
        np.full((2, 3), probability, np.float32), np.full((2, 3), human, np.int8), FIRST
    )
    assert combined.labels.dtype == np.float32
    assert (combined.labels == label).all()


@pytest.mark.parametrize(
    ("human", "probability", "label"),
    [
        (0, 0.5, 0),  # elsewhere unknown
        (0, 0.01, 0),
        (0, 0.97, 1),  # a neighbour that nobody marked
        (1, 0.01, 1),
    ],
)
def test_around_marked_particles_is_background_unless_the_model_is_certain(
    human: int, probability: float, label: int
) -> None:
    around = np.array([[True, False]])
    maps = np.full((1, 2), probability, np.float32), np.full((1, 2), human, np.int8)
    combined = combine(*maps, FIRST, around=around)
    alone = combine(*maps, FIRST)
    assert combined.labels[0, 0] == label
    assert combined.labels[0, 1] == alone.labels[0, 1]
    parts = combined.n_human, combined.n_positive, combined.n_negative, combined.n_ignored
    assert sum(parts) == 2
    assert combined.n_human == (2 if human else int(label == 0))


def test_a_soft_human_label_keeps_its_value() -> None:
    human = np.array([[0.0, 0.3, 1.0]], np.float32)
    probability = np.array([[0.99, 0.99, 0.01]], np.float32)
    labels = combine(probability, human, FIRST).labels
    assert labels == pytest.approx(np.array([[1.0, 0.3, 1.0]]))


def test_where_the_labels_come_from_is_counted() -> None:
    probability = np.array([[0.99, 0.01, 0.5, 0.02, 0.97]], np.float32)
    human = np.array([[1, 1, 0, 0, 0]], np.int8)
    combined = combine(probability, human, FIRST)
    counts = combined.n_human, combined.n_positive, combined.n_negative, combined.n_ignored
    assert counts == (2, 1, 1, 1)
    assert np.count_nonzero(combined.labels == IGNORED) == combined.n_ignored


def test_a_model_that_is_certain_of_nothing_adds_nothing() -> None:
    combined = combine(np.full((4, 4), 0.5, np.float32), np.zeros((4, 4), np.int8), FIRST)
    assert (combined.n_positive, combined.n_negative) == (0, 0)
    assert (combined.labels == IGNORED).all()


def test_a_cap_keeps_what_is_most_certain() -> None:
    probability = np.array([[0.96, 0.99, 0.97, 0.98], [0.04, 0.01, 0.02, 0.03]], np.float32)
    combined = combine(probability, np.zeros((2, 4), np.int8), FIRST, Caps(0.25, 0.125))
    assert combined.labels.tolist() == [[-1, 1, -1, 1], [-1, 0, -1, -1]]
    assert (combined.n_positive, combined.n_negative) == (2, 1)


def test_of_equally_certain_pixels_a_cap_keeps_the_first_ones() -> None:
    labels = combine(
        np.full((1, 4), 0.99, np.float32), np.zeros((1, 4), np.int8), FIRST, Caps(0.5)
    ).labels
    assert labels.tolist() == [[1, 1, -1, -1]]


def test_a_cap_does_not_count_what_humans_marked() -> None:
    human = np.array([[1, 1, 0, 0]], np.int8)
    labels = combine(np.full((1, 4), 0.99, np.float32), human, FIRST, Caps(0.25)).labels
    assert labels.tolist() == [[1, 1, 1, -1]]


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \[\(2, 2\), \(2, 3\)\]"):
        combine(np.zeros((2, 2), np.float32), np.zeros((2, 3), np.int8), FIRST)
