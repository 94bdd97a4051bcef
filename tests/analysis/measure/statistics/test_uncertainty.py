"""The combined uncertainty, by hand and by simulation."""

import math

import numpy as np
import pytest

from analysis.errors import MeasureError
from analysis.measure.statistics.distribution import geometric
from analysis.measure.statistics.intervals import Estimate, estimates, t_factor
from analysis.measure.statistics.sample import Sample
from analysis.measure.statistics.uncertainty import Sources, combine

BORDER = "particles wholly inside, with Miles-Lantuejoul weights"


def estimate(name: str = "d50_number", value: float = 200.0, se: float | None = 4.0) -> Estimate:
    return Estimate(name, value, se, 5, 250, BORDER)


def test_parts_are_added_in_quadrature() -> None:
    found = combine(estimate(), Sources(scale=0.01, diameter_bias=0.03), "nm")
    assert found.parts == {"sampling": 0.02, "scale": 0.01, "segmentation": 0.03}
    total = math.sqrt(0.02**2 + 0.01**2 + 0.03**2)
    degrees = 4 * (total / 0.02) ** 4
    assert found.relative == pytest.approx(t_factor(degrees) * total)
    half = 200 * (found.relative or 0)
    assert found.interval == pytest.approx((200 - half, 200 + half))
    assert found.missing == ()


def test_sampling_alone_gives_students_interval() -> None:
    found = combine(estimate(), Sources(scale=0.0, diameter_bias=0.0), "nm")
    assert found.interval == pytest.approx(estimate().interval)


@pytest.mark.parametrize("bias", [0.0, 0.01, 0.02, 0.05, 0.2])
def test_a_second_source_makes_no_interval_narrower(bias: float) -> None:
    few = Estimate("d50_number", 200.0, 4.0, 2, 100, BORDER)
    alone = combine(few, Sources(scale=0.0, diameter_bias=0.0), "nm").relative
    with_bias = combine(few, Sources(scale=0.0, diameter_bias=bias), "nm").relative
    assert alone == pytest.approx(t_factor(1) * 0.02)
    assert alone is not None
    assert with_bias is not None
    assert with_bias >= alone


def test_a_number_per_area_has_twice_the_scales_uncertainty_and_the_count_error() -> None:
    found = combine(
        estimate("number_density", 0.5, 0.01), Sources(0.01, diameter_bias=0.5, count_error=0.04)
    )
    assert found.parts == {"sampling": 0.02, "scale": 0.02, "segmentation": 0.04}


def test_a_plain_number_has_nothing_of_the_scale() -> None:
    found = combine(estimate("geometric_sd", 1.5, 0.03), Sources(0.5, diameter_bias=0.5))
    assert found.parts == {"sampling": pytest.approx(0.02)}
    assert found.missing == ("segmentation",)


def test_one_line_says_all_that_the_figure_rests_on() -> None:
    found = combine(estimate(), Sources(scale=0.01, diameter_bias=0.03), "nm")
    assert found.words == (
        "200 +- 15 nm (95 %; sampling 2 %, scale 1 %, segmentation on the validation pictures 3 %; "
        f"{BORDER})"
    )
    wide = combine(estimate(), Sources(scale=0.01, diameter_bias=0.5), "nm")
    assert wide.words.startswith("200 +- 196 nm (95 %")


def test_what_is_not_known_is_said() -> None:
    found = combine(estimate(), Sources(scale=None), "px")
    assert found.missing == ("scale", "segmentation")
    assert "; without scale, not known; without segmentation on the validation pictures" in (
        found.words
    )


@pytest.mark.parametrize(
    ("value", "se"), [(200.0, None), (math.nan, None), (0.0, 0.0)], ids=["one", "none", "zero"]
)
def test_where_nothing_can_be_said_there_is_no_interval(value: float, se: float | None) -> None:
    found = combine(estimate(value=value, se=se), Sources(0.01, 0.03), "nm")
    assert (found.relative, found.interval) == (None, None)
    assert found.words.endswith(f"nm (no interval; {BORDER})")


SOURCES = ("scale", "diameter_bias", "count_error")


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("value", [-0.1, math.inf])
def test_uncertainties_that_are_none_are_refused(name: str, value: float) -> None:
    scale, bias, count = (value if one == name else 0.01 for one in SOURCES)
    with pytest.raises(MeasureError, match=f"expected {name} of 0 or more"):
        Sources(scale, bias, count)


def middle(sample: Sample) -> dict[str, float]:
    return {"geometric_mean": geometric(sample.sizes, sample.weights)[0]}


def test_the_interval_holds_the_truth_where_every_part_is_off() -> None:
    """A scale that is off by 2 %, sizes drawn 3 % too large or small, five pictures."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        image = np.repeat(np.arange(5), 40)
        sizes = rng.lognormal(3 + rng.normal(0, 0.05, 5)[image], 0.3)
        sizes *= rng.normal(1, 0.02) * (1 + rng.choice([-0.03, 0.03]))
        sample = Sample.of(sizes, np.ones(200), image, np.ones(5))
        found = combine(estimates(sample, middle)["geometric_mean"], Sources(0.02, 0.03))
        low, high = found.interval or (math.nan, math.nan)
        held += low <= math.exp(3) <= high
    assert 0.93 <= held / 300 <= 1


def test_a_length_has_the_error_of_its_size_class_or_that_of_the_mean_if_that_is_larger() -> None:
    by_px = {8: 0.1, 16: -0.04, 32: 0.01}
    sources = Sources(None, diameter_bias=0.03, bias_by_px=by_px, pixels=(2.0,))
    assert sources.bias_of(20.0) == 0.1  # 10 px
    assert sources.bias_of(40.0) == 0.04
    assert sources.bias_of(100.0) == 0.03, "small ones may be missing, whatever large ones are"
    assert sources.bias_of(400.0) == 0.03, "nothing is known of so large ones"


def test_with_several_pixel_sizes_the_worst_size_class_counts() -> None:
    sources = Sources(None, 0.03, bias_by_px={8: 0.1, 16: 0.04, 32: 0.01}, pixels=(1.0, 4.0))
    assert sources.bias_of(40.0) == 0.1  # 10 px in one picture, 40 in another
    assert sources.bias_of(80.0) == 0.03, "80 px in one of them: not known"
