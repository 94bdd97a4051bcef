import pytest

from trainables.metrics.scores import f1, overfit_gap


@pytest.mark.parametrize(
    ("p", "r", "expected"), [(0.8, 0.5, 0.6154), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 0, 0)]
)
def test_f1_is_the_harmonic_mean_and_0_where_both_are_0(
    p: float, r: float, expected: float
) -> None:
    assert f1(p, r) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("train", "val", "level"),
    [
        (0.83, 0.80, "normal"),
        (0.80, 0.65, "warning"),
        (0.35, 0.20, "warning"),
        (0.95, 0.60, "severe"),
        (0.70, 0.36, "warning"),
        (0.50, 0.90, "normal"),
    ],
)
def test_the_overfit_gap_has_three_levels(train: float, val: float, level: str) -> None:
    gap, got = overfit_gap(train, val)
    assert gap == pytest.approx(train - val)
    assert got == level
