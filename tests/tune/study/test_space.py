"""Search spaces as studies write them, resolved without a study."""

from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from search_spaces.domains import ChoiceDomain, FloatDomain
from search_spaces.presets.registry import presets
from search_spaces.schema import Hyperparameters
from trainables.contract import EngineInfo
from trainables.registry import engine_info, engines
from tune.study.space import ResolvedSpace, resolve_points, resolve_space


class Params(Hyperparameters):
    """Hyperparameters of which one does nothing beside a value of another."""

    aliases: ClassVar = {"learning_rate": "lr0"}

    lr0: float = Field(0.01, gt=0, le=1)
    batch: int = Field(16, ge=1, le=64)
    optimizer: Literal["AdamW", "SGD"] = "AdamW"
    momentum: float = Field(0.9, ge=0, lt=1)
    sizes: tuple[int, ...] = (8, 16)

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """AdamW has no momentum."""
        optimizers = params.get("optimizer", "AdamW")
        used = "SGD" in (optimizers if isinstance(optimizers, tuple) else (optimizers,))
        return {} if used or "momentum" not in params else {"momentum": "only SGD has one"}


INFO = EngineInfo("sample", Params, ("seg_metrics",), "seg_metrics/F1", "")
LR0 = {"loguniform": [1e-4, 0.1]}
BOTH = {"choice": ["AdamW", "SGD"]}


def resolved(space: Any, info: EngineInfo = INFO, **fixed: Any) -> ResolvedSpace:
    found, problems = resolve_space(info, space, fixed)
    assert problems == []
    return found


def problems(space: Any, info: EngineInfo = INFO, **fixed: Any) -> list[str]:
    return [str(problem) for problem in resolve_space(info, space, fixed)[1]]


# --- what is searched, fixed, or does nothing


def test_a_space_of_ones_own_is_searched_as_it_is_written() -> None:
    found = resolved({"lr0": LR0, "batch": {"choice": [8]}, "optimizer": BOTH}, momentum=0.5)
    assert found.written == {"lr0": LR0, "batch": {"choice": [8]}, "optimizer": BOTH}
    assert list(found.space.parameters) == ["lr0", "optimizer"]
    assert found.space.parameters["lr0"].domain == FloatDomain(1e-4, 0.1, log=True)
    assert found.fixed == {"momentum": 0.5, "batch": 8}
    assert found.no_effect == {}
    assert found.preset is None


def test_fixed_values_are_read_as_the_engine_reads_them() -> None:
    assert resolved({"lr0": LR0}, sizes=[4, 8]).fixed == {"sizes": (4, 8)}


def test_a_searched_key_without_effect_is_written_but_not_sampled() -> None:
    found = resolved({"lr0": LR0, "momentum": {"uniform": [0.5, 0.9]}})
    assert set(found.written) == {"lr0", "momentum"}
    assert set(found.space.parameters) == {"lr0"}
    assert found.no_effect == {"momentum": "only SGD has one"}
    assert found.varied == {"lr0", "momentum"}


def test_a_key_has_an_effect_where_one_of_the_searched_values_gives_it_one() -> None:
    found = resolved({"optimizer": BOTH, "momentum": {"uniform": [0.5, 0.9]}})
    assert found.no_effect == {}
    assert found.possible == {"optimizer": ("AdamW", "SGD"), "momentum": (0.5, 0.9)}


def test_beside_a_value_only_what_exists_there_varies() -> None:
    only_sgd = {"uniform": [0.5, 0.9], "when": {"optimizer": "SGD"}}
    found = resolved({"lr0": LR0, "optimizer": BOTH, "momentum": only_sgd})
    assert found.varied_beside("optimizer", "SGD") == {"lr0", "momentum"}
    assert found.varied_beside("optimizer", "AdamW") == {"lr0"}


def test_keys_can_be_left_out_unless_conditions_name_them() -> None:
    only_sgd = {"uniform": [0.5, 0.9], "when": {"optimizer": "SGD"}}
    found = resolved({"lr0": LR0, "optimizer": BOTH, "momentum": only_sgd})
    left = found.without({"lr0": "idle", "optimizer": "idle"})
    assert list(left.space.parameters) == ["optimizer", "momentum"]
    assert left.no_effect == {"lr0": "idle"}
    assert left.written == found.written


# --- presets


def test_keys_of_a_preset_are_replaced_dropped_and_fixed() -> None:
    info = engine_info("simulated")
    whole = resolved("default", info)
    assert whole.preset == presets("simulated")["simulated"]
    assert list(whole.space.parameters) == ["lr0", "momentum", "batch", "optimizer"]
    noise = {"uniform": [0, 0.1]}
    space = {"preset": "default", "lr0": LR0, "momentum": None, "optimizer": None, "noise": noise}
    changed = resolved(space, info, optimizer="SGD")
    assert list(changed.space.parameters) == ["lr0", "batch", "noise"], "in the preset's order"
    assert changed.written["lr0"] == LR0
    assert changed.fixed == {"optimizer": "SGD"}


@pytest.mark.parametrize(
    ("optimizer", "when"),
    [
        ({"choice": ["AdamW", "Adam"]}, None),
        ({"choice": ["Adam", "SGD"]}, {"optimizer": ("SGD",)}),
        (None, None),
    ],
    ids=["cannot hold", "can hold", "the default cannot hold"],
)
def test_a_presets_condition_that_cannot_hold_takes_its_key_along(
    optimizer: Any, when: Mapping[str, Any] | None
) -> None:
    space = {"preset": "yolo_seg_script", "optimizer": optimizer}
    found = resolved(space, engine_info("yolo_seg")).space.parameters
    assert ("warmup_momentum" in found) == (when is not None)
    if when:
        assert found["warmup_momentum"].when == when


@pytest.mark.parametrize("engine", sorted(engines()))
def test_whatever_is_fixed_beats_the_preset(engine: str) -> None:
    info = engine_info(engine)
    for name, preset in presets(engine).items():
        whole = resolved(name, info)
        for key, parameter in whole.space.parameters.items():
            value = parameter.domain.draw(Random(0))
            found = resolved(name, info, **{key: value})
            assert found.fixed[key] == value, f"{key} of {name}"
            assert key not in found.space.parameters
            assert key not in found.written
        assert preset == presets(engine)[name], "itself it stays as it is"


def test_a_key_that_is_fixed_and_written_as_searched_is_refused() -> None:
    info = engine_info("simulated")
    space = {"preset": "default", "lr0": LR0}
    assert problems(space, info, lr0=0.1) == [
        "fixed.lr0: expected a key that is not searched, got lr0 = 0.1; keep one; search_space has "
        "{'loguniform': [0.0001, 0.1]}"
    ]


@pytest.mark.parametrize("engine", sorted(engines()))
def test_names_that_other_frameworks_use_are_answered_with_the_engines_own(engine: str) -> None:
    info = engine_info(engine)
    rates = {"yolo_seg": "lr0", "simulated": "lr0", "mask_rcnn": "base_lr"}
    asked = problems("default", info, lr=0.01)
    assert asked[0].endswith(f"got lr = 0.01; did you mean {rates.get(engine, 'learning_rate')}?")
    fields = set(info.params.model_fields)
    assert set(info.params.aliases.values()) <= fields
    assert not set(info.params.aliases) & fields, "a name of its own needs no other"


# --- what is wrong


@pytest.mark.parametrize(
    ("space", "fixed", "said"),
    [
        ({"lr": LR0}, {}, "search_space.lr: expected a hyperparameter of sample, got lr = "),
        ({"learning_rate": LR0}, {}, "did you mean lr0?"),
        ({}, {"lrO": 1}, "fixed.lrO: expected a hyperparameter of sample, got lrO = 1; did you"),
        ({"lr0": LR0}, {"lr0": 0.1}, "fixed.lr0: expected a key that is not searched, got lr0 = "),
        ({}, {"batch": 65}, "fixed.batch: expected a whole number from 1 to 64, got 65; the near"),
        ({}, {"batch": True}, "fixed.batch: expected a whole number from 1 to 64, got True"),
        ({}, {"batch": "8"}, "fixed.batch: expected a whole number from 1 to 64, got '8'; the ne"),
        (
            {"batch": {"randint": [1, 66]}},
            {},
            "search_space.batch: expected a whole number from 1 to 64, got 65; the nearest is 64 "
            "(the search space has whole numbers 1 to 65)",
        ),
        ({"batch": 65}, {}, "search_space.batch: expected a whole number from 1 to 64, got 65"),
        ("none", {}, "search_space: expected a preset of sample (none; write the space itself)"),
        ({"preset": None, "lr0": LR0}, {}, "search_space.preset: expected a preset of sample"),
        (
            {"momentum": {"uniform": [0, 0.5]}, "lr0": {**LR0, "when": {"momentum": 0.5}}},
            {},
            "search_space.lr0.when.momentum: expected a key that has an effect, got momentum "
            "(only SGD has one)",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_key(space: Any, fixed: dict[str, Any], said: str) -> None:
    (problem,) = problems(space, **fixed)
    assert said in problem


def test_several_keys_of_another_engine_are_one_problem() -> None:
    (problem,) = problems({"lr0": LR0, "imgsz": {"choice": [64]}, "mosaic": 1.0})
    assert problem == (
        "trainable: expected hyperparameters of sample, got imgsz, mosaic, which are those of "
        "yolo_seg; did you mean `trainable: yolo_seg`?"
    )


# --- points


def points(given: Any, space: Any = None) -> Any:
    found = resolved(space or {"lr0": LR0, "batch": {"choice": [8, 16]}, "optimizer": "AdamW"})
    return resolve_points(INFO, found, given)


def test_points_get_the_values_of_the_space_and_its_order() -> None:
    given = [{"batch": 8.0, "lr0": 0.1, "optimizer": "AdamW", "momentum": 0.5}, {"batch": 16}]
    searched = {"lr0": LR0, "batch": {"choice": [8, 16]}, "optimizer": "AdamW"}
    found, wrong = points(given, {**searched, "momentum": {"uniform": [0, 0.9]}})
    assert wrong == []
    assert repr(found) == "({'lr0': 0.1, 'batch': 8}, {'batch': 16})"


def test_without_points_those_of_the_preset_are_tried() -> None:
    info = engine_info("simulated")
    (point,), wrong = resolve_points(info, resolved("default", info), None)
    assert wrong == []
    assert point == {"lr0": 0.01, "momentum": 0.9, "batch": 16, "optimizer": "AdamW"}
    assert points(None) == ((), []), "a space of one's own has none"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"batch": 9}], "warm_start.points.0.batch: expected one of 8, 16, got 9; the nearest"),
        ([{"lr": 0.1}], "warm_start.points.0.lr: expected a hyperparameter of sample, got lr = "),
        ([{"optimizer": "SGD"}], "warm_start.points.0.optimizer: expected 'AdamW', to which it"),
        ([{"batch": 8}, {"batch": 8.0}], "warm_start.points.1: expected every point once, got th"),
    ],
)
def test_a_wrong_point_is_told_by_its_number(given: Any, said: str) -> None:
    _, (problem,) = points(given)
    assert str(problem).startswith(said)


def test_a_domain_of_one_value_is_a_constant() -> None:
    found = resolved({"batch": {"choice": [4]}, "lr0": {"choice": [0.1, 0.2]}})
    assert found.space.constants == {"batch": 4}
    assert found.space.parameters["lr0"].domain == ChoiceDomain((0.1, 0.2))


# --- keys of which one at most has a value


@pytest.mark.parametrize(
    ("preset", "space", "fixed", "left"),
    [
        ("mask_rcnn", {"warmup_fraction": {"uniform": [0.1, 0.2]}}, {}, "warmup_fraction"),
        ("mask_rcnn", {}, {"warmup_fraction": 0.2}, "warmup_fraction"),
        ("mask_rcnn_scratch", {}, {"warmup_iters": 40}, "warmup_iters"),
        ("mask_rcnn_scratch", {}, {"warmup_iters": None}, "warmup_fraction"),
    ],
)
def test_a_given_key_leaves_out_its_alternatives_of_the_preset(
    preset: str, space: dict[str, Any], fixed: dict[str, Any], left: str
) -> None:
    found, problems = resolve_space(
        engine_info("mask_rcnn"), {"preset": preset, **space}, fixed, None
    )
    assert problems == []
    warmups = {"warmup_iters", "warmup_fraction"}
    assert warmups & set(found.possible) - {k for k, v in fixed.items() if v is None} == {left}
