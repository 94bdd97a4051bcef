"""Units of length, and that no column has a wrong one."""

import numpy as np
import pytest

from analysis.errors import MeasureError
from analysis.measure.geometry.calibration import (
    aliases,
    calibrated,
    choose_unit,
    in_pixels,
    units,
)
from analysis.measure.geometry.columns import COLUMNS
from analysis.measure.geometry.intensity import intensity_table
from analysis.measure.geometry.shapes import shape_table
from tests.support.drawn_masks import many

RLES = many("ellipse", 9, n=5)
TABLE = shape_table(RLES) | intensity_table(RLES, np.arange(52 * 52).reshape(52, 52))


def test_lengths_and_areas_are_scaled_by_their_power() -> None:
    found = calibrated(TABLE, 0.0045, "nm")
    assert found["feret_max_nm"] == pytest.approx(TABLE["feret_max"] * 4.5)
    assert found["area_nm2"] == pytest.approx(TABLE["area"] * 4.5**2)
    assert found["centroid_x_nm"] == pytest.approx(TABLE["centroid_x"] * 4.5)
    assert found["intensity_mean"].tolist() == TABLE["intensity_mean"].tolist()
    assert found["box_x_px"].tolist() == TABLE["box_x_px"].tolist()
    assert len(found) == len(TABLE) == len(COLUMNS)


@pytest.mark.parametrize(
    ("unit", "per_um"), [("pm", 1e6), ("A", 1e4), ("nm", 1e3), ("um", 1), ("mm", 1e-3)]
)
def test_every_unit_is_the_right_part_of_a_micrometre(unit: str, per_um: float) -> None:
    found = calibrated(TABLE, 2.0, unit)
    assert found[f"feret_min_{unit}"] == pytest.approx(TABLE["feret_min"] * 2 * per_um)
    assert found[f"holes_area_{unit}2"] == pytest.approx(TABLE["holes_area"] * 4 * per_um**2)


def test_numbers_without_a_unit_are_the_same_at_two_scales() -> None:
    one, other = calibrated(TABLE, 0.01, "um"), calibrated(TABLE, 3.7, "mm")
    without = [name for name, column in COLUMNS.items() if not column.dimension]
    assert {"circularity", "aspect_ratio", "solidity", "sphericity"} < set(without)
    for name in without:
        np.testing.assert_array_equal(one[name], other[name])


def test_every_length_and_area_says_its_unit() -> None:
    for name, column in COLUMNS.items():
        titled = column.titled("um")
        suffix = {1: "_um", 2: "_um2"}.get(column.dimension or 0, "")
        assert titled == name + suffix
        if column.unit:
            assert name.endswith(f"_{column.unit}")
    assert set(in_pixels(TABLE)) >= {"area_px2", "perimeter_px", "circularity", "box_x_px"}
    assert units(TABLE, "um")["area_um2"] == "um^2"
    assert units(TABLE, "um")["feret_angle_deg"] == "deg"
    assert units(TABLE, "um")["circularity"] == units(TABLE, "um")["n_holes"] == ""


@pytest.mark.parametrize("scale", [None, float("nan"), (0.1, float("nan"))])
def test_without_a_scale_lengths_are_empty_and_shapes_stay(
    scale: float | tuple[float, float] | None,
) -> None:
    found = calibrated(TABLE, scale, "um")
    assert np.isnan(found["area_um2"]).all()
    assert np.isnan(found["equivalent_diameter_um"]).all()
    assert found["circularity"].tolist() == TABLE["circularity"].tolist()


def test_pixels_that_are_not_square_are_refused() -> None:
    with pytest.raises(MeasureError, match=r"expected square pixels, got 0\.1 x 0\.12 um"):
        calibrated(TABLE, (0.1, 0.12), "um")
    same = calibrated(TABLE, (0.1, 0.1), "um")["area_um2"]
    assert same == pytest.approx(calibrated(TABLE, 0.1, "um")["area_um2"])


@pytest.mark.parametrize(
    ("scale", "unit", "message"),
    [
        (0.0, "um", "positive number of um per pixel, got 0 x 0"),
        (-1.0, "um", "positive"),
        (float("inf"), "um", "positive"),
        (1.0, "inch", "one of pm, A, nm, um, mm, got 'inch'"),
    ],
)
def test_scales_and_units_that_are_none_are_refused(scale: float, unit: str, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        calibrated(TABLE, scale, unit)


@pytest.mark.parametrize(
    ("lengths", "unit"),
    [([0.02, 0.5, 9], "nm"), ([2, 900], "um"), ([2e3], "mm"), ([], "um"), ([np.nan, 0.3], "nm")],
)
def test_the_unit_is_chosen_from_the_data(lengths: list[float], unit: str) -> None:
    assert choose_unit(np.array(lengths, np.float64)) == unit


def test_the_columns_that_the_seed_promised_are_there_by_their_names() -> None:
    named = aliases("um")
    promised = "Area_um2 Perimeter_um Major_Axis_um Minor_Axis_um Aspect_Ratio Circularity"
    assert set(promised.split()) | {"Wavelength_nm"} <= set(named)
    assert named["Area_um2"] == "area_um2"
    assert named["C. Length"] == "rectangle_length_um"
    assert set(named.values()) <= set(calibrated(TABLE, 1.0, "um"))
    assert "Area_um2" not in aliases("nm")
    assert aliases("nm")["Ferret diameter"] == "feret_max_nm"
