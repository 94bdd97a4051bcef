import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from search_spaces.presets.yolo_seg import PRESETS
from search_spaces.space import parse_space
from tests.support.models.planted import Planted
from trainables.engines.yolo_seg.params import (
    UNTRAINED,
    YoloSegParams,
    model_problem,
    native_config,
)


def test_defaults_are_those_of_ultralytics() -> None:
    framework = pytest.importorskip("trainables.engines.yolo_seg.framework")
    theirs = vars(framework.trainer_module.DEFAULT_CFG)
    ours = YoloSegParams().model_dump(exclude={"model", "download", "workers", "freeze"})
    assert ours == {key: theirs[key] for key in ours}


def test_every_hyperparameter_says_what_it_is() -> None:
    assert all(field.description for field in YoloSegParams.model_fields.values())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_ends_of_every_preset_range_are_valid(name: str) -> None:
    space, problems = parse_space(PRESETS[name].space)
    assert not problems
    fields = YoloSegParams.model_fields
    assert set(space.parameters) | set(space.constants) <= set(fields)
    for key, parameter in space.parameters.items():
        domain: Any = parameter.domain
        ends = getattr(domain, "choices", None) or (domain.low, domain.high)
        for value in ends:
            YoloSegParams.model_validate({**space.constants, key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [("lr0", 0), ("momentum", 1), ("imgsz", 100), ("batch", 0), ("optimizer", "adamw2"), ("x", 1)],
)
def test_a_value_out_of_bounds_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        YoloSegParams.model_validate({key: value})


def test_dropout_never_has_an_effect() -> None:
    assert set(YoloSegParams.without_effect({"dropout": 0.1, "optimizer": "SGD"})) == {"dropout"}


def test_the_warm_up_momentum_has_no_effect_under_adam() -> None:
    given = {"warmup_momentum": 0.5, "optimizer": ("AdamW", "Adam")}
    assert "AdamW" in YoloSegParams.without_effect(given)["warmup_momentum"]


def test_the_warm_up_momentum_may_have_an_effect_if_sgd_is_searched() -> None:
    given = {"warmup_momentum": 0.5, "optimizer": ("AdamW", "SGD")}
    assert YoloSegParams.without_effect(given) == {}


def test_without_a_warm_up_its_other_settings_have_no_effect() -> None:
    given = {"warmup_epochs": 0, "warmup_bias_lr": 0.1, "optimizer": "SGD"}
    assert set(YoloSegParams.without_effect(given)) == {"warmup_bias_lr"}


@pytest.mark.parametrize("fixed", [{"optimizer": "auto"}, {}], ids=["given", "by default"])
def test_an_automatic_optimizer_is_refused_while_the_learning_rate_is_searched(
    fixed: dict[str, Any],
) -> None:
    [(key, message)] = YoloSegParams.problems(fixed, frozenset({"lr0", "box"}))
    assert key == "optimizer"
    assert message == (
        "expected a named optimizer while lr0 is searched, got auto, which ignores it; "
        "set optimizer to AdamW or SGD"
    )


def test_an_automatic_optimizer_is_accepted_while_only_other_keys_are_searched() -> None:
    assert YoloSegParams.problems({"optimizer": "auto"}, frozenset({"box"})) == []


@pytest.mark.parametrize(
    ("epochs", "grey", "ignored"),
    [
        (11, False, set()),
        (10, False, {"mosaic", "cutmix"}),
        (11, True, {"hsv_s"}),
    ],
)
def test_short_trainings_and_grey_images_leave_keys_without_effect(
    epochs: int, grey: bool, ignored: set[str]
) -> None:
    given = {"mosaic": 1.0, "cutmix": (0.0, 0.3), "hsv_s": 0.5, "scale": 0.5}
    assert set(YoloSegParams.without_effect_in(given, epochs, grey=grey)) == ignored
    sometimes = {**given, "close_mosaic": (0, 10)}
    assert "mosaic" not in YoloSegParams.without_effect_in(sometimes, 5, grey=grey)


def test_missing_weights_are_named_with_the_ways_out() -> None:
    problem = model_problem("yolo11n-seg.pt")
    assert problem is not None
    assert "yolo11n-seg.pt" in problem
    assert "yolo11n-seg.yaml" in problem
    assert "download: true" in problem
    assert model_problem("yolo11n-seg.pt", download=True) is None


def test_untrained_models_and_local_files_are_accepted(tmp_path: Path) -> None:
    weights = tmp_path / "own-seg.pt"
    weights.touch()
    assert [model_problem(model) for model in (*UNTRAINED, str(weights))] == [None] * 6


def test_weights_with_code_in_them_are_refused_without_being_opened(tmp_path: Path) -> None:
    weights, trace = tmp_path / "own-seg.pt", tmp_path / "trace"
    weights.write_bytes(pickle.dumps({"model": Planted(trace)}))
    said = (
        "expected weights with nothing in them but a network of Ultralytics' and PyTorch's "
        f"classes, got {weights}, which asks for {os.name}.system and could run any code; it was "
        "not opened. Train with other weights, or from scratch with yolo11n-seg.yaml"
    )
    assert YoloSegParams.problems({"model": str(weights)}, frozenset()) == [("model", said)]
    assert not trace.exists()


def test_the_native_configuration_has_every_key_that_ultralytics_knows() -> None:
    framework = pytest.importorskip("trainables.engines.yolo_seg.framework")
    config = native_config({"lr0": 0.5})
    assert config["lr0"] == 0.5
    assert set(config) <= set(vars(framework.trainer_module.DEFAULT_CFG))
    assert {"task", "mode", "mosaic", "imgsz"} <= set(config)
