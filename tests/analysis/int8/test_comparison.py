"""The table of a file before and after, and what decides whether it is kept."""

import pytest

from analysis.int8.comparison import Comparison, Figures


@pytest.fixture
def comparison() -> Comparison:
    def figures(size: int, alone: float, whole: float, f1: float) -> Figures:
        metrics = {"box_metrics/F1": f1, "box_metrics/map50_95": 0.5, "measure/bias": float("nan")}
        return Figures(size, (alone, 2 * alone, alone), (whole, whole, 2 * whole), metrics)

    return Comparison(
        before=figures(8_000_000, 10.0, 8.0, 0.8),
        after=figures(2_000_000, 15.0, 10.0, 0.775),
        f1="box_metrics/F1",
        precision="box_metrics/map50_95",
        pictures=9,
        timed=5,
        cpu="a processor (VNNI)",
    )


def test_the_table_tells_size_speed_and_what_was_lost(comparison: Comparison) -> None:
    assert comparison.lines()[:-1] == [
        "                        float    int8",
        "size, MB                 8.00    2.00  0.250 of it",
        "pictures/s, the file       10      15  1.50 times",
        "pictures/s, all of it       8      10  1.25 times",
        "box_metrics/map50_95   0.5000  0.5000  +0.0000",
        "box_metrics/F1         0.8000  0.7750  -0.0250",
    ]
    assert "9 pictures of the validation part" in comparison.told
    assert comparison.loss == pytest.approx(0.025)


def test_what_loses_more_than_is_allowed_is_refused_with_the_table(comparison: Comparison) -> None:
    assert not comparison.problem(0.03)
    said = comparison.problem(0.02).splitlines()
    assert said[0] == (
        "expected the int8 file to lose no more than 0.02 of box_metrics/F1, got a loss of 0.0250, "
        "and nothing was written; --max-loss allows more"
    )
    assert "-0.0250" in said[-2]


def test_what_is_written_beside_a_model_is_json_without_nan(comparison: Comparison) -> None:
    plain = comparison.plain()
    assert plain["speed_ratio"] == {"file": 1.5, "all": 1.25}
    assert set(plain["int8"]["val"]) == {"box_metrics/F1", "box_metrics/map50_95"}
