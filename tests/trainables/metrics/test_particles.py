import math
import time

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    average_precision_score,
    jaccard_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from trainables.contract import EngineInfo
from trainables.engines.simulated.params import INFO
from trainables.metrics.names import direction, names_in
from trainables.metrics.particles import assign, evaluate_particles, particle_curve
from trainables.metrics.pixels import IGNORED, PixelCounts
from trainables.results import Picks
from tune.study.checks import objective_problem

Floats = npt.NDArray[np.float64]
NONE = np.zeros((0, 2))


def _random(seed: int, side: float = 60) -> tuple[Picks, Floats]:
    """Crowded picks and truths; with odd seeds many confidences are equal."""
    rng = np.random.default_rng(seed)
    n, m = (int(k) for k in rng.integers(0, 25, 2))
    scores = np.round(rng.uniform(0, 1, n), 1 if seed % 2 else 9)
    return Picks(rng.uniform(0, side, (n, 2)), scores), rng.uniform(0, side, (m, 2))


def _judge(centers: Floats, truths: Floats, radius: float) -> tuple[int, float]:
    """Most pairs, and their least sum of distances, by the dense assignment of SciPy."""
    distance = np.linalg.norm(centers[:, None] - truths[None], axis=2)
    cost = np.where(distance <= radius, distance - 1e5, 0)
    rows, columns = linear_sum_assignment(cost)
    paired = cost[rows, columns] < 0
    return int(paired.sum()), float(distance[rows[paired], columns[paired]].sum())


# --- particles


@pytest.mark.parametrize("seed", range(40))
def test_the_assignment_is_the_one_of_a_dense_solver(seed: int) -> None:
    picks, truths = _random(seed)
    first, second, distance = assign(picks.centers, truths, 9.0)
    assert (len(first), distance.sum()) == pytest.approx(_judge(picks.centers, truths, 9.0))
    assert len(set(first)) == len(set(second)) == len(first)
    away = np.linalg.norm(picks.centers[first] - truths[second], axis=1)
    assert np.array_equal(away, distance)
    assert (away <= 9).all()


def test_the_nearest_first_would_leave_one_out_and_the_assignment_does_not() -> None:
    truths = np.array([[0.0, 0.0], [10.0, 0.0]])
    centers = np.array([[4.0, 0.0], [-5.0, 0.0]])  # the first is nearest to 0, 0 and takes 10, 0
    first, second, distance = assign(centers, truths, 7.0)
    assert dict(zip(first.tolist(), second.tolist(), strict=True)) == {0: 1, 1: 0}
    assert sorted(distance.tolist()) == [5, 6]


def test_a_distance_of_exactly_the_radius_or_of_nothing_is_a_pair() -> None:
    centers = np.array([[0.0, 0.0], [10.0, 0.0]])
    truths = np.array([[0.0, 0.0], [10.0, 9.0]])
    assert len(assign(centers, truths, 9.0)[0]) == 2
    assert len(assign(centers, truths, 8.999)[0]) == 1


@pytest.mark.parametrize("seed", range(20))
def test_f1_and_its_confidence_are_the_best_of_all_thresholds(seed: int) -> None:
    images = [_random(seed + 100 * k) for k in range(3)]
    picks, truths = [image[0] for image in images], [image[1] for image in images]
    measured = evaluate_particles(picks, truths, 9.0)
    n_truths = sum(map(len, truths))
    best = {}
    for c in sorted({float(s) for p in picks for s in p.scores}):
        above = [p.at_least(c) for p in picks]
        pairs = sum(_judge(p.centers, t, 9.0)[0] for p, t in zip(above, truths, strict=True))
        best[c] = 2 * pairs / (sum(map(len, above)) + n_truths)
    assert measured.f1 == pytest.approx(max(best.values()))
    counted = min(c for c in best if c >= measured.confidence)
    assert best[counted] == pytest.approx(measured.f1)
    assert all(f < measured.f1 for c, f in best.items() if c > counted)
    below = max((c for c in best if c < counted), default=0.05)
    assert measured.confidence == pytest.approx((counted + min(below, counted)) / 2)
    above = [p.at_least(measured.confidence) for p in picks]
    judged = [_judge(p.centers, t, 9.0) for p, t in zip(above, truths, strict=True)]
    matched = sum(n for n, _ in judged)
    assert measured.matched == matched
    assert measured.precision == pytest.approx(matched / sum(map(len, above)))
    assert measured.recall == pytest.approx(matched / n_truths)
    assert measured.position_error_px == pytest.approx(sum(d for _, d in judged) / matched)


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_is_that_of_the_largest_assignment_at_every_rank(seed: int) -> None:
    picks, truths = _random(2 * seed + 60)
    if not len(picks) or not len(truths):
        pytest.skip("this draw has no picks or no truths")
    order = np.argsort(-picks.scores)
    pairs = [_judge(picks.centers[order[:k]], truths, 9.0)[0] for k in range(len(picks) + 1)]
    precision = [pairs[k] / k for k in range(1, len(pairs))]
    recall = [pairs[k] / len(truths) for k in range(1, len(pairs))]
    wanted = np.mean(
        [
            max((p for p, r in zip(precision, recall, strict=True) if r >= at), default=0.0)
            for at in np.linspace(0, 1, 101)
        ]
    )
    assert evaluate_particles([picks], [truths], 9.0).average_precision == pytest.approx(wanted)


def test_average_precision_of_picks_far_apart_is_near_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(np.arange(40) * 50.0, np.arange(40) * 50.0), -1).reshape(-1, 2)
    is_true = rng.random(1600) < 0.5
    scores = np.clip(rng.normal(0.4 + 0.2 * is_true, 0.15), 0, 1)
    measured = evaluate_particles([Picks(places, scores)], [places[is_true]], 5.0)
    theirs = average_precision_score(is_true, scores)
    assert measured.average_precision == pytest.approx(theirs, abs=0.01)
    assert measured.position_error_px == 0


@pytest.mark.parametrize("seed", range(10))
def test_the_curve_is_precision_and_recall_at_every_confidence(seed: int) -> None:
    images = [_random(seed + 100 * k) for k in range(3)]
    picks, truths = [image[0] for image in images], [image[1] for image in images]
    curve = particle_curve(picks, truths, 9.0)
    scores = {float(s) for p in picks for s in p.scores}
    assert curve.confidence.tolist() == sorted(scores, reverse=True)
    for c, precision, recall, f in zip(
        curve.confidence, curve.precision, curve.recall, curve.f1, strict=True
    ):
        measured = evaluate_particles(picks, truths, 9.0, confidence=float(c))
        expected = (measured.precision, measured.recall, measured.f1)
        assert (precision, recall, f) == pytest.approx(expected)


def test_the_curve_of_nothing_is_empty_and_without_particles_at_0() -> None:
    none = Picks(NONE, np.zeros(0))
    assert len(particle_curve([none], [np.ones((3, 2))], 1.0).f1) == 0
    assert len(particle_curve([], [], 1.0).confidence) == 0
    alone = particle_curve([Picks(np.ones((2, 2)), np.array([0.5, 0.5]))], [NONE], 1.0)
    assert (alone.confidence.tolist(), alone.precision.tolist()) == ([0.5], [0.0])
    assert alone.recall.tolist() == alone.f1.tolist() == [0.0]


def test_given_confidence_decides_which_picks_count() -> None:
    picks = Picks(np.array([[0.0, 0.0], [50.0, 0.0], [99.0, 0.0]]), np.array([0.9, 0.5, 0.2]))
    truths = np.array([[0.0, 3.0], [50.0, 1.0]])
    measured = evaluate_particles([picks], [truths], 5.0, confidence=0.1)
    assert measured.precision == pytest.approx(2 / 3)
    assert measured.recall == 1
    assert measured.position_error_px == 2
    assert evaluate_particles([picks], [truths], 5.0, confidence=0.6).recall == 0.5


def test_the_confidence_lies_in_the_middle_of_what_separates_true_from_false_picks() -> None:
    picks = Picks(np.array([[0.0, 0.0], [50.0, 0.0], [99.0, 0.0]]), np.array([0.9, 0.5, 0.2]))
    truths = np.array([[0.0, 3.0], [50.0, 1.0]])
    assert evaluate_particles([picks], [truths], 5.0).confidence == 0.35
    two = picks.at_least(0.5)
    assert evaluate_particles([two], [truths], 5.0).confidence == pytest.approx(0.275)
    equal = Picks(picks.centers, np.full(3, 0.05))
    assert evaluate_particles([equal], [truths], 5.0).confidence == 0.05


def test_each_image_has_its_own_match_radius() -> None:
    picks = Picks(np.array([[0.0, 0.0]]), np.array([1.0]))
    truth = np.array([[4.0, 0.0]])
    assert evaluate_particles([picks, picks], [truth, truth], [3.0, 5.0]).matched == 1


def test_where_nothing_was_picked_or_nothing_is_there_every_ratio_is_0() -> None:
    picks = Picks(np.array([[1.0, 2.0]]), np.array([0.5]))
    nothing = Picks(NONE, np.zeros(0))
    for found, truth in ((nothing, np.ones((3, 2))), (picks, NONE), (nothing, NONE)):
        measured = evaluate_particles([found], [truth], 4.0)
        values = (measured.precision, measured.recall, measured.f1, measured.average_precision)
        assert values == (0, 0, 0, 0)
        assert measured.position_error_px == 4.0
    assert evaluate_particles([nothing], [NONE], 4.0).confidence == 1
    assert all(math.isfinite(v) for v in evaluate_particles([], [], []).as_metrics().values())


def test_five_thousand_particles_an_image_are_measured_within_a_second() -> None:
    rng = np.random.default_rng(0)
    truths = rng.uniform(0, 4096, (5000, 2))
    centers = np.concatenate(
        [truths[:4000] + rng.normal(0, 8, (4000, 2)), rng.uniform(0, 4096, (3000, 2))]
    )
    picks = Picks(centers, rng.uniform(0, 1, 7000))
    started = time.process_time()
    measured = evaluate_particles([picks], [truths], 27.0)
    assert time.process_time() - started < 1.0
    assert measured.matched > 3900


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), [1.0, 2.0]], ids=str)
def test_match_radii_that_cannot_be_are_refused(radius: float | list[float]) -> None:
    with pytest.raises(ValueError, match="match radi"):
        evaluate_particles([Picks(NONE, np.zeros(0))], [NONE], radius)


def test_picks_whose_parts_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected centers"):
        Picks(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        Picks(np.array([[np.nan, 0.0]]), np.ones(1))


# --- pixels


def _pixels(seed: int, n: int = 4000) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Probabilities that are multiples of 1/1024, and targets of which some are ignored."""
    rng = np.random.default_rng(seed)
    targets = rng.choice([0.0, 1.0, IGNORED], n, p=[0.7, 0.2, 0.1]).astype(np.float32)
    raw = np.clip(rng.normal(0.4 + 0.2 * (targets == 1), 0.2), 0, 1)
    return (np.round(raw * 1024) / 1024).astype(np.float32), targets


def test_pixel_metrics_are_scikit_learns_without_the_ignored_pixels() -> None:
    p, targets = _pixels(0)
    counts = PixelCounts()
    for part in range(0, len(p), 1000):  # in pieces, as tiles come
        counts.add(
            p[part : part + 1000].reshape(20, 50), targets[part : part + 1000].reshape(20, 50)
        )
    kept = targets != IGNORED
    true, found = targets[kept] == 1, p[kept] >= 0.5
    precision, recall, f, _ = precision_recall_fscore_support(true, found, average="binary")
    assert counts.as_metrics() == {
        "pixel_metrics/F1": pytest.approx(f),
        "pixel_metrics/precision": pytest.approx(precision),
        "pixel_metrics/recall": pytest.approx(recall),
        "pixel_metrics/IoU": pytest.approx(jaccard_score(true, found)),
        "pixel_metrics/AUC": pytest.approx(roc_auc_score(true, p[kept])),
    }


def test_any_probability_is_counted_on_its_side_of_one_half() -> None:
    counts = PixelCounts()
    just_below = np.nextafter(np.float32(0.5), np.float32(0))
    counts.add(np.array([0, just_below, 0.5, 1], np.float32), np.array([0, 0, 1, 1], np.float32))
    values = counts.as_metrics()
    assert values["pixel_metrics/F1"] == values["pixel_metrics/AUC"] == 1


def test_more_ignored_pixels_change_nothing() -> None:
    p, targets = _pixels(1)
    one, other = PixelCounts(), PixelCounts()
    one.add(p, targets)
    other.add(p, targets)
    other.add(p, np.full_like(targets, IGNORED))
    assert one.as_metrics() == other.as_metrics()


def test_one_kind_of_pixels_alone_tells_nothing_of_the_curve() -> None:
    counts = PixelCounts()
    counts.add(np.full(9, 0.9, np.float32), np.zeros(9, np.float32))
    assert counts.as_metrics("train_") == {
        "train_pixel_metrics/F1": 0,
        "train_pixel_metrics/precision": 0,
        "train_pixel_metrics/recall": 0,
        "train_pixel_metrics/IoU": 0,
        "train_pixel_metrics/AUC": 0.5,
    }


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        PixelCounts().add(np.array([value], np.float32), np.zeros(1, np.float32))


# --- names


def _info(*groups: str) -> EngineInfo:
    return EngineInfo("picker", INFO.params, groups, "particle_metrics/F1", "quick")


def test_every_metric_is_an_objective_of_an_engine_that_has_its_group() -> None:
    info = _info("particle_metrics", "pixel_metrics", "train_particle_metrics")
    names = [*names_in("particle_metrics"), *names_in("pixel_metrics")]
    assert "particle_metrics/average_precision" in names
    assert "pixel_metrics/IoU" in names
    for name in names:
        assert objective_problem(name, info) is None
        assert objective_problem(name, _info("seg_metrics")) is not None
    assert objective_problem("seg_metrics/F1", info) is not None


def test_the_reported_keys_are_the_declared_names() -> None:
    picks, truths = _random(4)
    reported = evaluate_particles([picks], [truths], 9.0).as_metrics("train_")
    assert set(reported) == {
        *names_in("train_particle_metrics"),
        "train_particle_metrics/confidence",
    }
    assert set(PixelCounts().as_metrics()) == set(names_in("pixel_metrics"))


def test_only_the_position_error_is_better_small() -> None:
    better = {direction(n) for n in names_in("particle_metrics") if "position" not in n}
    assert better == {"max"}
    assert direction("particle_metrics/position_error_px") == "min"
    assert direction("train_particle_metrics/position_error_px") == "min"
