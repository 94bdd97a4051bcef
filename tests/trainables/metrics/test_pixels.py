"""The area under the ROC curve of pixels, against scikit-learn's."""

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from trainables.metrics.pixels import PixelCounts

Map = npt.NDArray[np.float32]
AUC = "pixel_metrics/AUC"


def _map(seed: int, n: int, certainty: float) -> tuple[Map, Map]:
    """Probabilities of a network that is more or less certain, and what is there."""
    rng = np.random.default_rng(seed)
    there = (rng.random(n, dtype=np.float32) < 0.1).astype(np.float32)
    logits = certainty * (rng.normal(0, 1.5, n) + 2 * there - 1)
    return (1 / (1 + np.exp(-logits))).astype(np.float32), there


def _auc(*maps: tuple[Map, Map]) -> float:
    counts = PixelCounts()
    for probabilities, there in maps:
        counts.add(probabilities, there)
    return counts.as_metrics()[AUC]


@pytest.mark.parametrize("certainty", [0.5, 2, 8, 20])
def test_the_area_is_scikit_learns_however_certain_the_network_is(certainty: float) -> None:
    maps = [_map(seed, 20_000, certainty) for seed in range(3)]
    p, there = (np.concatenate(parts) for parts in zip(*maps, strict=True))
    assert _auc(*maps) == pytest.approx(roc_auc_score(there, p), abs=1e-12)
    binned = roc_auc_score(there, np.minimum(p * 1024, 1023).astype(int))
    assert certainty < 8 or abs(binned - roc_auc_score(there, p)) > 5e-3


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e-6, 0.25, 0.5, 1.0])
def test_neighbouring_numbers_are_told_apart(value: float) -> None:
    above = np.float32(value)
    lower = np.nextafter(above, np.float32(-1 if value else 1))
    low, high = sorted([lower, above])
    p = np.array([low, low, high, high], np.float32)
    assert _auc((p, np.array([0, 0, 1, 1], np.float32))) == 1
    assert _auc((p, np.array([1, 1, 0, 0], np.float32))) == 0
    assert _auc((p, np.array([0, 1, 0, 1], np.float32))) == 0.5


def test_zero_has_no_sign() -> None:
    assert _auc((np.array([-0.0, 0.0], np.float32), np.array([0, 1], np.float32))) == 0.5


@pytest.mark.parametrize("certainty", [1, 6])
def test_of_many_pixels_the_area_is_right_to_a_hundred_millionth(certainty: float) -> None:
    maps = [_map(seed, 1_500_000, certainty) for seed in range(3)]
    p, there = (np.concatenate(parts) for parts in zip(*maps, strict=True))
    assert _auc(*maps) == pytest.approx(roc_auc_score(there, p), abs=1e-8)


def test_memory_does_not_grow_with_the_pictures() -> None:
    counts, held = PixelCounts(), []
    tracemalloc.start()
    for seed in range(12):
        counts.add(*_map(seed, 1_000_000, 2))
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert counts.bins is not None
    assert held[-1] == pytest.approx(held[5], rel=0.01)
    assert held[-1] < 80e6
