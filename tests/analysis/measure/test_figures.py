"""The figures of a run, beside those worked out by hand from what was drawn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.finding.settings import FindingSettings
from analysis.measure.figures import ClassFigures, run_figures, shift_line, worst_shifts
from analysis.measure.plan import MeasurePlan
from analysis.measure.report.words import figure_rows
from analysis.measure.tables import DonePictures
from tests.support.samples.measured_grains import (
    HEIGHT,
    LARGE,
    SMALL,
    WIDTH,
    empty_picture,
    grains_picture,
    mask_of,
    measured_here,
    planned,
    write_model,
    write_picture,
)

pytestmark = pytest.mark.usefixtures("threshold")

DIAMETERS = [float(np.sqrt(4 * mask_of(grain).sum() / np.pi)) for grain in (SMALL, LARGE)]

SIDES = [int(2 * grain[2]) for grain in (SMALL, LARGE)]

ACROSS, DOWN = WIDTH - 3, HEIGHT - 3
"""Sides of the part in which a particle is whole: 1.5 px from the edge on it is known."""

WEIGHTS = [ACROSS * DOWN / ((ACROSS - side) * (DOWN - side)) for side in SIDES]


@pytest.fixture(scope="module")
def plan(threshold: None, tmp_path_factory: pytest.TempPathFactory) -> MeasurePlan:
    """Grains at 2 nm a pixel, a picture without any, and one whose scales contradict."""
    folder = tmp_path_factory.mktemp("figures")
    pictures = [
        write_picture(folder / "grains.tif", grains_picture()),
        write_picture(folder / "none.tif", empty_picture()),
        write_picture(folder / "two_scales.tif", grains_picture(), nm_per_px=2.1),
    ]
    return planned(
        pictures,
        write_model(folder / "model", ("grain", "pore")),
        folder / "out",
        scale={"pixel_size": "2nm"},
    )


@pytest.fixture(scope="module")
def done(plan: MeasurePlan) -> DonePictures:
    return measured_here(plan)


def part_of(done: DonePictures, *stems: str, rule: str = "weights") -> DonePictures:
    """Some of the pictures, with another border rule."""
    records = {p: r for p, r in done.records.items() if p.stem in stems}
    border = done.settings.border.model_copy(update={"rule": rule, "guard_px": 20.0})
    settings = done.settings.model_copy(update={"border": border})
    return DonePictures(done.folder, records, settings)


def value(figures: ClassFigures, name: str) -> float:
    return figures.estimates[name].value


def test_means_and_densities_are_weighted_and_in_the_unit(
    done: DonePictures, plan: MeasurePlan
) -> None:
    [whole, *_] = run_figures(part_of(done, "grains"), "nm", plan.models)
    assert (whole.name, whole.unit) == ("all", "nm")
    mean = float(np.average(DIAMETERS, weights=WEIGHTS))
    assert value(whole, "mean_1_0") == pytest.approx(2 * mean, rel=1e-9)
    moments = [np.dot(WEIGHTS, np.power(DIAMETERS, k)) for k in (2, 3, 4)]
    assert value(whole, "mean_3_2") == pytest.approx(2 * moments[1] / moments[0], rel=1e-9)
    assert value(whole, "mean_4_3") == pytest.approx(2 * moments[2] / moments[1], rel=1e-9)
    density = sum(WEIGHTS) / (ACROSS * DOWN * 4)
    assert value(whole, "number_density") == pytest.approx(density, rel=1e-9)


def test_the_numbers_per_area_of_all_classes_are_told_in_one_unit(
    done: DonePictures, plan: MeasurePlan
) -> None:
    figures = run_figures(part_of(done, "grains"), "nm", plan.models)
    assert len(figures) > 1
    [unit] = {one.said("number_density").words.rpartition(" per ")[2].split()[0] for one in figures}
    for one in figures:
        said, per_nm2 = one.said("number_density"), value(one, "number_density")
        assert said.value == pytest.approx(per_nm2 * {"um^2": 1e6, "nm^2": 1.0}[unit], rel=1e-9)


def test_a_picture_without_grains_counts_with_its_area(
    done: DonePictures, plan: MeasurePlan
) -> None:
    [alone, *_] = run_figures(part_of(done, "grains"), "nm", plan.models)
    [both, *_] = run_figures(part_of(done, "grains", "none"), "nm", plan.models)
    assert value(both, "number_density") == pytest.approx(value(alone, "number_density") / 2)
    assert value(both, "mean_1_0") == pytest.approx(value(alone, "mean_1_0"))


def test_a_picture_without_a_scale_is_left_out_where_others_have_one(
    done: DonePictures, plan: MeasurePlan
) -> None:
    [all_of_them, *_] = run_figures(done, "nm", plan.models)
    assert all_of_them.estimates["mean_1_0"].n_images == 2
    [in_px, *_] = run_figures(done, "", plan.models)
    assert in_px.estimates["mean_1_0"].n_images == 3
    assert in_px.unit == "px"
    assert value(in_px, "mean_1_0") == pytest.approx(float(np.average(DIAMETERS, weights=WEIGHTS)))


def test_every_figure_says_its_border_rule_and_what_is_not_known(
    done: DonePictures, plan: MeasurePlan
) -> None:
    [figures, *_] = run_figures(part_of(done, "grains", rule="all"), "nm", plan.models)
    for row in figures.rows():
        assert row["border_rule"] == "all particles, cut ones included, without a correction"
    rows = {row["figure"]: row for row in figures.rows()}
    assert rows["mean_1_0"]["particles"] == 3
    assert "segmentation" in rows["mean_1_0"]["not_known"]
    assert (rows["mean_1_0"]["unit"], rows["number_density"]["unit"]) == ("nm", "1/nm^2")
    assert rows["span_number"]["unit"] == ""
    density = rows["number_density"]["value"]
    said = next(row for row in figure_rows(figures) if row.name == "number per area")
    assert (said.value, said.unit) == (f"{1e6 * density:.4g}", "per µm²"), "a number to read"
    assert f"number per area {1e6 * density:.4g} per um^2" in "\n".join(figures.lines())


def test_a_guard_frame_narrows_the_area(done: DonePictures, plan: MeasurePlan) -> None:
    [figures, *_] = run_figures(part_of(done, "grains", rule="guard"), "", plan.models)
    inside = (ACROSS - 40) * (DOWN - 40)
    assert value(figures, "number_density") == pytest.approx(2 / inside)
    assert value(figures, "mean_1_0") == pytest.approx(float(np.mean(DIAMETERS)))


def test_errors_by_size_are_those_of_the_size_that_a_quantile_has_in_pixels(
    done: DonePictures, plan: MeasurePlan
) -> None:
    low = 2 ** int(np.log2(DIAMETERS[0]))  # of the small grain, in pixels
    bias = {"seg_metrics/confidence": 0.1, "measure/diameter_bias": 0.02}
    recorded = {**bias, f"measure/diameter_shift_{low}_to_{2 * low}px": -0.3}
    models = [replace(plan.models[0], metrics=recorded)]
    [figures, *_] = run_figures(part_of(done, "grains", "none"), "nm", models)
    parts = {name: one.parts.get("segmentation") for name, one in figures.combined.items()}
    assert parts["d10_number"] == parts["mean_1_0"] == 0.3
    assert shift_line(models) == (
        f"diameters on the validation pictures: -30 % from {low} to {2 * low} px"
    )
    assert worst_shifts([*models, plan.models[0]]) == {}, "one of them has no record"
    elsewhere = {**bias, "measure/diameter_shift_512_to_1024px": -0.3}
    models = [replace(plan.models[0], metrics=elsewhere)]
    [figures, *_] = run_figures(part_of(done, "grains", "none"), "nm", models)
    assert figures.combined["d10_number"].parts["segmentation"] == 0.02


@pytest.mark.parametrize(
    ("finding", "known"),
    [
        ({}, True),
        ({"confidence": 0.4}, True),
        ({"confidence": 0.9}, False),
        ({"classes": {"grain": {"confidence": 0.9}}}, False),
        ({"classes": {"grain": {"min_size_px": 9}}}, False),
        ({"classes": {"grain": {"iou": 0.3}}}, True),
        ({"min_size_px": 9}, False),
        ({"confidence_by_quality": True}, False),
    ],
)
def test_errors_on_record_are_of_the_confidence_on_record_and_of_all_sizes(
    done: DonePictures, plan: MeasurePlan, finding: dict[str, Any], known: bool
) -> None:
    recorded = {
        "seg_metrics/confidence": 0.4,
        "measure/diameter_bias": 0.02,
        "measure/count_error": 0.09,
    }
    models = [replace(plan.models[0], metrics=recorded)]
    some = part_of(done, "grains", "none")
    asked = some.settings.model_copy(update={"finding": FindingSettings(**finding)})
    [figures, *_] = run_figures(replace(some, settings=asked), "nm", models)
    for name, error in (("mean_1_0", 0.02), ("number_density", 0.09)):
        one = figures.combined[name]
        assert one.parts.get("segmentation") == (error if known else None)
        assert ("segmentation" in one.missing) is not known


def test_of_one_picture_no_interval_is_said(done: DonePictures, plan: MeasurePlan) -> None:
    [figures, *_] = run_figures(part_of(done, "grains"), "nm", plan.models)
    for row in figures.rows():
        ends = ("sampling_low_95", "sampling_high_95", "combined_low_95", "combined_high_95")
        assert [row[end] for end in ends] == [None] * 4


def test_a_class_without_particles_says_so(done: DonePictures, plan: MeasurePlan) -> None:
    whole, grain, pore = run_figures(done, "nm", plan.models)
    assert grain.estimates["mean_1_0"].value == whole.estimates["mean_1_0"].value
    assert pore.name == "pore"
    assert pore.lines() == ["pore: no particle counts"]
    assert pore.estimates["number_density"].value == 0


def test_the_share_below_100_nm_is_said_with_a_scale_alone(
    done: DonePictures, plan: MeasurePlan
) -> None:
    [with_scale, *_] = run_figures(done, "nm", plan.models)
    [without, *_] = run_figures(done, "", plan.models)
    assert with_scale.nano is not None
    assert with_scale.nano.value == pytest.approx(1.0)
    [row] = [row for row in with_scale.rows() if row["figure"] == "share_to_100nm"]
    assert (row["of"], row["value"], row["unit"]) == ("feret_min", with_scale.nano.value, "")
    assert (row["sampling_low_95"], with_scale.nano.interval) == (None, None), "of 2 particles"
    [line] = [line for line in with_scale.lines() if "100 nm" in line]
    assert line.startswith("all: 100.0 % by number have a least Feret diameter")
    assert with_scale.nano.verdict in line
    assert without.nano is None
    assert "share_to_100nm" not in [row["figure"] for row in without.rows()]


def test_the_scale_is_part_of_what_a_length_is_uncertain_by(
    threshold: None, tmp_path: Path
) -> None:
    pictures = [write_picture(tmp_path / f"{n}.tif", grains_picture()) for n in "abc"]
    plan = planned(pictures, write_model(tmp_path), tmp_path / "out", scale={"pixel_size": "2nm"})
    [figures, *_] = run_figures(measured_here(plan), "nm", plan.models)
    low, high = figures.combined["mean_1_0"].interval or (0.0, 0.0)
    mean = value(figures, "mean_1_0")
    scale = 1.96 * 0.0025  # that of a given pixel size
    assert (high - low) / 2 / mean == pytest.approx(scale, rel=0.03)
    assert "scale 0.25 %" in figures.combined["mean_1_0"].words


def test_no_picture_gives_no_figure(done: DonePictures, plan: MeasurePlan) -> None:
    assert run_figures(part_of(done), "nm", plan.models) == []
