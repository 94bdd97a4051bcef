import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.presets.preset import Preset, engine_defaults, nearest_point
from search_spaces.presets.registry import ENTRY_POINTS, presets
from search_spaces.presets.yolo_seg import YOLO_SEG, YOLO_SEG_SCRIPT, scaled_lr0, warm_start
from search_spaces.space import SearchSpace, parse_space
from trainables.engines.yolo_seg.params import YoloSegParams
from trainables.registry import engine_info, engines


def all_presets() -> Iterator[tuple[str, str]]:
    for engine in engines():
        for name in presets(engine):
            yield engine, name


PRESETS = list(all_presets())


def read(preset: Preset) -> SearchSpace:
    space, problems = parse_space(preset.space)
    assert problems == []
    return space


def defaults(engine: str) -> dict[str, object]:
    fields = engine_info(engine).params.model_fields
    return {name: field.get_default() for name, field in fields.items()}


def test_every_engine_has_its_own_preset_and_one_for_tests() -> None:
    assert engines()
    for engine in engines():
        assert {engine_info(engine).preset, "smoke"} <= set(presets(engine))


@pytest.mark.parametrize(("engine", "name"), PRESETS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_any_sample_of_a_preset_is_valid_for_its_engine(engine: str, name: str, seed: int) -> None:
    space = read(presets(engine)[name])
    params = {**space.constants, **space.draw(Random(seed))}
    engine_info(engine).params.model_validate(params)


@pytest.mark.parametrize(("engine", "name"), PRESETS)
def test_the_points_of_a_preset_are_legal_complete_and_different(engine: str, name: str) -> None:
    preset = presets(engine)[name]
    space = read(preset)
    points = preset.points(space, defaults(engine))
    assert points
    for point in points:
        assert space.point_problems(point) == []
        active = {key for key in space.parameters if space.active(key, point)}
        assert set(point) == active
    assert all(point not in points[:i] for i, point in enumerate(points))


def test_the_guides_ranges_are_those_of_the_guide() -> None:
    """Seed guide, docs table 1.3, plus nbs; batch from 2 on."""
    parameters = read(YOLO_SEG).parameters
    ranges = {
        name: (p.domain.low, p.domain.high)
        for name, p in parameters.items()
        if not hasattr(p.domain, "choices")
    }
    assert ranges == {
        "lr0": (1e-5, 1e-1),
        "lrf": (0.01, 1.0),
        "momentum": (0.6, 0.98),
        "weight_decay": (0, 0.005),
        "warmup_epochs": (0, 4),
        "warmup_momentum": (0, 0.95),
        "box": (5, 8),
        "cls": (1, 3),
        "dropout": (0, 0.1),
        "fliplr": (0, 0.5),
        "hsv_h": (0, 0.5),
        "hsv_s": (0, 0.5),
        "hsv_v": (0, 0.5),
        "degrees": (0, 10),
        "translate": (0, 0.25),
        "scale": (0, 0.5),
        "perspective": (0, 0.001),
        "mosaic": (0.7, 1.0),
        "copy_paste": (0, 0.3),
        "cutmix": (0, 0.3),
    }
    assert str(parameters["lr0"].domain).endswith("log scale")
    for key in ("batch", "nbs"):
        assert str(parameters[key].domain) == "one of 2, 4, 8, 16, 32, 64"
    assert read(YOLO_SEG).constants == {"optimizer": "AdamW"}


def test_the_scripts_ranges_are_those_of_the_script() -> None:
    space = read(YOLO_SEG_SCRIPT)
    texts = {name: str(p.domain) for name, p in space.parameters.items()}
    assert texts == {
        "optimizer": "one of AdamW, SGD, RMSProp",
        "lr0": "1e-06 to 0.01, log scale",
        "lrf": "0.05 to 1",
        "momentum": "0.7 to 0.98",
        "weight_decay": "1e-05 to 0.01, log scale",
        "box": "4 to 10",
        "cls": "0.5 to 3",
        "dropout": "0 to 0.4",
        "batch": "one of 2, 4, 8, 16, 32, 64",
        "nbs": "one of 2, 4, 8, 16, 32, 64",
        "warmup_momentum": "0.05 to 0.3",
    }
    assert space.constants["warmup_epochs"] == 5
    assert space.constants["mosaic"] == 0


def test_the_guides_points_are_ultralytics_defaults_for_three_batches() -> None:
    fields = {name: f.get_default() for name, f in YoloSegParams.model_fields.items()}
    points = warm_start(read(YOLO_SEG), fields)
    assert [point["batch"] for point in points] == [16, 8, 2]
    assert all(point["nbs"] == point["batch"] for point in points)
    rates = [0.002, 0.002 / math.sqrt(2), 0.002 / math.sqrt(8)]
    assert [point["lr0"] for point in points] == pytest.approx(rates)
    moved = {"lr0", "batch", "nbs"}
    brought_into_range = {"cls": 1.0, "hsv_s": 0.5}
    for point in points:
        for key in set(point) - moved:
            assert point[key] == brought_into_range.get(key, fields[key]), key


def test_points_follow_a_space_whose_batches_were_replaced() -> None:
    space, _ = parse_space({**YOLO_SEG.space, "batch": {"choice": [4, 8]}})
    points = warm_start(space, defaults("yolo_seg"))
    assert [(point["batch"], point["nbs"]) for point in points] == [(8, 8), (4, 4)]
    assert [point["lr0"] for point in points] == [scaled_lr0("AdamW", batch) for batch in (8, 4)]


def test_a_fixed_batch_leaves_one_point_with_its_learning_rate() -> None:
    space, _ = parse_space({**YOLO_SEG.space, "batch": {"fixed": 4}})
    points = warm_start(space, defaults("yolo_seg"))
    assert [(point["nbs"], point["lr0"]) for point in points] == [(4, scaled_lr0("AdamW", 4))]


def test_sgd_gets_its_own_learning_rate() -> None:
    space, _ = parse_space({**YOLO_SEG.space, "optimizer": "SGD"})
    points = warm_start(space, defaults("yolo_seg"))
    assert [point["lr0"] for point in points] == [0.0025, 0.00125, 0.0003125]


@given(
    wanted=st.fixed_dictionaries(
        {},
        optional={
            "lr0": st.floats(-10, 10),
            "cls": st.floats(-10, 10),
            "batch": st.integers(-100, 1000),
            "optimizer": st.text(),
            "unknown": st.integers(),
        },
    )
)
def test_the_nearest_point_is_always_legal(wanted: dict[str, object]) -> None:
    space = read(YOLO_SEG_SCRIPT)
    assert space.point_problems(nearest_point(space, wanted)) == []


def test_an_engine_without_presets_has_none() -> None:
    assert presets("nobody") == {}
    assert presets("no.body") == {}


def test_other_peoples_presets_come_from_their_entry_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = tmp_path / "theirs-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    target = "theirs = search_spaces.presets.simulated:PRESETS"
    (installed / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(presets("theirs")) == {"simulated", "smoke"}


def test_a_presets_own_point_is_the_engines_defaults() -> None:
    space, _ = parse_space({"lr0": {"uniform": [0.0, 0.005]}, "other": {"uniform": [0, 1]}})
    assert engine_defaults(space, {"lr0": 0.01}) == [{"lr0": 0.005}]
