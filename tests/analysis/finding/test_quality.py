import numpy as np
import pytest

from analysis.finding.quality import confidence_factor, quality, quality_of


@pytest.mark.parametrize(
    ("mean", "std", "value", "factor"),
    [(128, 40, 0.388, 0.85), (20, 10, 0.078, 0.7), (150, 80, 0.61, 1.0)],
)
def test_quality_and_factor_are_those_of_the_rule(
    mean: float, std: float, value: float, factor: float
) -> None:
    assert quality_of(mean, std) == pytest.approx(value, abs=5e-4)
    assert confidence_factor(quality_of(mean, std)) == factor


def test_the_quality_of_a_picture_is_that_of_its_grey_levels() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(20, 220, (80, 60)).astype(np.uint8)
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    assert quality(picture) == pytest.approx(quality_of(grey.mean(), grey.std()), abs=1e-9)
    assert quality(np.full((4, 4, 3), 255, np.uint8)) == pytest.approx(0.4)
