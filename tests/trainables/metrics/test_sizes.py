import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tests.support.places import DATA
from trainables.datasets import geometry
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare
from trainables.metrics.instances import evaluate, evaluate_groups, evaluate_instances
from trainables.metrics.matching import GroundTruth, ground_truth
from trainables.metrics.names import MEASURE_NAMES, shifts_by_size
from trainables.metrics.sizes import (
    ENOUGH,
    NOTHING_SHOWN,
    Measurement,
    diameters,
    measurement_error,
)
from trainables.results import Instances

SIZE = 220
NUCLEI = DATA / "nuclei"


@cache
def disc(diameter: float) -> dict[str, object]:
    """A disc's mask; its place plays no part."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    inside = np.asfortranarray((x**2 + y**2 <= (diameter / 2) ** 2).astype(np.uint8))
    encoded: dict[str, object] = coco_mask.encode(inside)
    return encoded


def found(
    sizes: Sequence[float], classes: Sequence[int] = (), scores: Sequence[float] = ()
) -> Instances:
    n = len(sizes)
    return Instances(
        boxes=np.zeros((n, 4), np.float32),
        scores=np.array(scores or [0.9] * n, np.float32),
        classes=np.array(classes or [0] * n, np.int64),
        masks=[disc(size) for size in sizes],
    )


def true(sizes: Sequence[float], classes: Sequence[int] = ()) -> GroundTruth:
    n = len(sizes)
    return GroundTruth(
        boxes=np.zeros((n, 4), np.float32),
        classes=np.array(classes or [0] * n, np.int64),
        masks=[disc(size) for size in sizes],
        height=SIZE,
        width=SIZE,
    )


def measured(
    predictions: Sequence[Instances], truths: Sequence[GroundTruth], n_classes: int = 1
) -> Measurement:
    return measurement_error(predictions, truths, n_classes, confidence=0.5, max_detections=1000)


SIZES = (60.0, 80.0, 100.0, 120.0, 180.0)


def test_the_equivalent_diameter_of_a_disc_is_its_diameter() -> None:
    assert diameters([disc(100)]) == pytest.approx([100], rel=0.005)


def test_a_perfect_model_has_no_measurement_error() -> None:
    assert measured([found(SIZES)], [true(SIZES)]) == Measurement(0.0, 0.0, 0.0)


@pytest.mark.parametrize("scale", [1.1, 0.9])
def test_discs_drawn_too_large_or_small_by_a_tenth_are_a_bias_and_a_distance_of_a_tenth(
    scale: float,
) -> None:
    error = measured([found([scale * size for size in SIZES])], [true(SIZES)])
    assert error.count_error == 0
    assert error.diameter_shift == pytest.approx(scale - 1, abs=0.003)
    assert error.diameter_bias == pytest.approx(0.1, abs=0.003)
    assert error.size_distance == pytest.approx(0.1, abs=0.003)


def test_sizes_all_drawn_alike_have_no_bias_but_a_distance() -> None:
    error = measured([found([100.0] * 4)], [true([60.0, 80.0, 120.0, 140.0])])
    assert error.diameter_bias == pytest.approx(0, abs=0.003)
    assert error.size_distance == pytest.approx((40 + 20 + 20 + 40) / 4 / 100, abs=0.003)


def test_an_object_too_many_here_does_not_make_up_for_one_missed_there() -> None:
    truths = [true([100.0] * 3), true([100.0] * 3)]
    assert measured([found([100.0] * 4), found([100.0] * 2)], truths).count_error == 2 / 6


def test_a_class_taken_for_another_counts_in_both() -> None:
    error = measured([found([100.0, 100.0], [0, 0])], [true([100.0, 100.0], [0, 1])], 2)
    assert error.count_error == 2 / 2


def test_objects_of_a_class_that_does_not_exist_count_as_errors() -> None:
    error = measured([found([100.0, 100.0], [0, 1])], [true([100.0])], 2)
    assert (error.count_error, error.size_distance) == (1.0, 0.0)


def test_the_size_distance_is_a_mean_over_classes_weighted_by_their_true_objects() -> None:
    """Pooled, the sizes of both classes would be the right ones."""
    error = measured(
        [found([150.0, 50.0, 50.0, 50.0], [0, 1, 1, 1])],
        [true([50.0, 150.0, 50.0, 50.0], [0, 1, 1, 1])],
        2,
    )
    assert error.diameter_bias == pytest.approx(0, abs=1e-9)
    assert error.size_distance == pytest.approx(
        (1 * 100 / 50 + 3 * (100 / 3) / (250 / 3)) / 4, rel=0.01
    )


def test_predictions_below_the_confidence_are_not_there() -> None:
    predictions = found([100.0, 30.0], scores=[0.5, 0.49])
    assert measured([predictions], [true([100.0])]) == Measurement(0.0, 0.0, 0.0)


def test_predictions_beyond_the_limit_of_a_class_are_not_there() -> None:
    predictions = [found([100.0] * 5)]
    error = measurement_error(predictions, [true([100.0] * 3)], 1, confidence=0.5, max_detections=3)
    assert error.count_error == 0


def test_nothing_predicted_is_all_missed_and_of_no_size() -> None:
    error = measured([found([]), found([])], [true(SIZES), true([])])
    assert error == NOTHING_SHOWN == Measurement(1.0, -1.0, 1.0)


def test_a_class_of_which_nothing_is_predicted_has_a_distance_of_one() -> None:
    error = measured([found([100.0], [0])], [true([100.0, 100.0], [0, 1])], 2)
    assert error.size_distance == 0.5


@pytest.mark.parametrize("images", [0, 2])
def test_without_any_true_object_nothing_is_shown(images: int) -> None:
    assert measured([found([100.0])] * images, [true([])] * images) == NOTHING_SHOWN


def area_between(a: np.ndarray, b: np.ndarray) -> float:
    """Of the distribution functions of two samples: the distance by its definition."""
    values = np.sort(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(s), values[:-1], side="right") / len(s) for s in (a, b)]
    return float((np.abs(below[0] - below[1]) * np.diff(values)).sum())


samples = st.lists(st.integers(2, 200).map(float), min_size=1, max_size=12)


@given(samples, samples)
def test_the_distance_of_sizes_is_the_area_between_their_distributions(
    a: list[float], b: list[float]
) -> None:
    of_found, of_true = (diameters([disc(size) for size in sizes]) for sizes in (a, b))
    expected = area_between(of_found, of_true) / of_true.mean()
    got = measured([found(a)], [true(b)]).size_distance
    assert got == pytest.approx(expected, rel=1e-13, abs=1e-15)


counts = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5)


@given(counts, st.floats(0.5, 2.0))
def test_every_value_is_finite_and_the_distance_is_at_least_the_bias_of_one_class(
    rows: list[tuple[int, int]], scale: float
) -> None:
    error = measured(
        [found([round(40 * scale)] * n) for n, _ in rows], [true([40.0] * m) for _, m in rows]
    )
    assert all(math.isfinite(value) for value in error.as_metrics().values())
    assert error.size_distance >= error.diameter_bias - 1e-9
    n_true = sum(m for _, m in rows)
    if n_true:
        assert error.count_error == sum(abs(n - m) for n, m in rows) / n_true


def test_the_evaluator_measures_at_the_confidence_of_its_f1() -> None:
    """At the confidence of the best F1 the false small disc is not there."""
    predictions, truths = [found([100.0, 40.0], scores=[0.8, 0.3])], [true([100.0])]
    values = evaluate_instances(predictions, truths, ["disc"])
    assert values["seg_metrics/confidence"] == pytest.approx(0.55)  # between the discs
    assert {name: values[f"measure/{name}"] for name in MEASURE_NAMES} == dict.fromkeys(
        MEASURE_NAMES, 0.0
    )
    low = {"seg_metrics/confidence": 0.1, "box_metrics/confidence": 0.1}
    again = evaluate_instances(predictions, truths, ["disc"], confidences=low)
    assert again["measure/count_error"] == 1.0


def test_the_training_split_and_boxes_have_no_measurement_error() -> None:
    predictions, truths = [found([100.0])], [true([100.0])]
    values = evaluate_instances(predictions, truths, ["disc"], split_prefix="train_")
    assert not [name for name in values if "measure" in name]
    assert evaluate_groups(predictions, truths, ["disc"])["box_metrics"].measurement is None


def test_the_evaluator_has_no_limit_on_detections_of_its_own() -> None:
    n = 400
    one = disc(10)
    many = Instances(
        np.zeros((n, 4), np.float32),
        np.linspace(0.9, 0.6, n).astype(np.float32),
        np.zeros(n, np.int64),
        [one] * n,
    )
    truth = GroundTruth(np.zeros((n, 4), np.float32), np.zeros(n, np.int64), [one] * n, SIZE, SIZE)
    evaluation = evaluate([many], [truth], ["disc"], kind="masks")
    assert evaluation.left_out == 0
    assert evaluation.measurement is not None
    assert evaluation.measurement.count_error == 0


@pytest.mark.skipif(not NUCLEI.is_dir(), reason=f"the real data sets are not at {NUCLEI.parent}")
def test_true_nuclei_grown_by_a_pixel_are_drawn_too_large(tmp_path: Path) -> None:
    prepare(NUCLEI, tmp_path / "data")
    data = PreparedDataset.load(tmp_path / "data")
    truths = [ground_truth(data, image) for image in data.images("val")]
    predictions = [grown(t) for t in truths]
    error = measured(predictions, truths, len(data.classes))
    assert error.count_error == 0
    mean = np.concatenate([diameters(t.masks or ()) for t in truths]).mean()
    assert error.diameter_shift == pytest.approx(2 / mean, rel=0.25)
    assert error.size_distance == pytest.approx(error.diameter_bias, rel=0.05)


def grown(truth: GroundTruth) -> Instances:
    """The true objects with a rim of one pixel."""
    masks = []
    for mask in truth.masks or ():
        inside = np.pad(coco_mask.decode(dict(mask)), 1)
        neighbours = [np.roll(inside, step, axis) for axis in (0, 1) for step in (-1, 1)]
        rim = np.maximum.reduce([inside, *neighbours])[1:-1, 1:-1]
        masks.append(coco_mask.encode(np.asfortranarray(rim)))
    n = len(truth)
    return Instances(truth.boxes, np.full(n, 0.9, np.float32), truth.classes, masks)


def test_the_error_of_diameters_is_known_by_size_where_there_are_enough() -> None:
    small, large = [10.0] * ENOUGH, [100.0]
    y, x = (30 * np.arange(ENOUGH) + 20 for _ in "yx")
    size = int(y.max()) + 20

    def at(sizes: Sequence[float]) -> list[dict[str, object]]:
        return [
            geometry.disc(float(a), float(b), d / 2, size, size)
            for a, b, d in zip(x, y, sizes, strict=False)
        ]

    def instances(masks: list[dict[str, object]]) -> tuple[Instances, GroundTruth]:
        n = len(masks)
        boxes, classes = np.zeros((n, 4), np.float32), np.zeros(n, np.int64)
        seen = Instances(boxes, np.full(n, 0.9, np.float32), classes, masks)
        return seen, GroundTruth(boxes, classes, masks, size, size)

    grown = [1.2 * d for d in small]
    pairs = [
        (instances(at(grown))[0], instances(at(small))[1]),
        (instances(at(large)[:1])[0], instances(at(large)[:1])[1]),
    ]
    evaluation = evaluate([p for p, _ in pairs], [t for _, t in pairs], ["disc"], kind="masks")
    assert evaluation.measurement is not None
    shifts = shifts_by_size(evaluation.measurement.as_metrics())
    assert list(shifts) == [8], "of large ones there is one"
    assert shifts[8] == pytest.approx(0.2, abs=0.02)
