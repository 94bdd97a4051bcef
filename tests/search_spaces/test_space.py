from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.domains import parse_domain
from search_spaces.space import SearchSpace, domain_values, n_values, parse_space


def space(**written: object) -> SearchSpace:
    parsed, problems = parse_space(written)
    assert problems == []
    return parsed


CONDITIONAL = space(
    nesterov={"choice": [True, False], "when": {"momentum": [0.9, 0.95]}},
    momentum={"choice": [0.8, 0.9, 0.95], "when": {"optimizer": "SGD"}},
    optimizer={"choice": ["AdamW", "SGD"]},
)


@given(seed=st.integers(0, 2**32))
def test_a_conditional_key_is_drawn_exactly_where_its_condition_holds(seed: int) -> None:
    params = CONDITIONAL.draw(Random(seed))
    assert ("momentum" in params) == (params["optimizer"] == "SGD")
    assert ("nesterov" in params) == (params.get("momentum") in (0.9, 0.95))


@given(seed=st.integers(0, 2**32))
def test_whatever_is_drawn_is_a_legal_point(seed: int) -> None:
    assert CONDITIONAL.point_problems(CONDITIONAL.draw(Random(seed))) == []


def test_keys_come_after_those_their_conditions_name() -> None:
    assert list(CONDITIONAL.parameters) == ["optimizer", "momentum", "nesterov"]


def test_a_key_whose_parent_is_absent_is_absent_even_where_null_is_meant() -> None:
    parsed = space(
        freeze={"choice": [None, 3], "when": {"optimizer": "SGD"}},
        depth={"choice": [1, 2], "when": {"freeze": None}},
        optimizer={"choice": ["AdamW", "SGD"]},
    )
    assert not parsed.active("depth", {"optimizer": "AdamW"})
    assert parsed.active("depth", {"optimizer": "SGD", "freeze": None})


def test_single_values_are_constants_and_count_for_conditions() -> None:
    parsed = space(
        optimizer={"choice": ["SGD"]},
        mosaic=1.0,
        momentum={"uniform": [0, 1], "when": {"optimizer": "SGD"}},
    )
    assert parsed.constants == {"optimizer": "SGD", "mosaic": 1.0}
    assert set(parsed.draw(Random(0))) == {"momentum"}


def test_a_domain_of_one_value_is_a_constant_however_it_is_written() -> None:
    parsed = space(warmup={"randint": [3, 4]}, batch={"choice": [8]}, lr0={"uniform": [0, 1]})
    assert parsed.constants == {"warmup": 3, "batch": 8}
    assert list(parsed.parameters) == ["lr0"]


def test_a_condition_on_a_step_holds_for_the_value_as_it_is_written() -> None:
    parsed = space(
        mixup={"quniform": [0.1, 0.3, 0.1]},
        mode={"choice": ["flip", "paste"], "when": {"mixup": 0.3}},
    )
    drawn = [parsed.draw(Random(seed)) for seed in range(50)]
    assert {point["mixup"] for point in drawn} == {0.1, 0.2, 0.3}
    assert all(("mode" in point) == (point["mixup"] == 0.3) for point in drawn)
    assert len(parsed.grid()) == 4


def test_a_grid_is_the_product_of_its_domains_in_a_stable_order() -> None:
    parsed = space(
        batch={"choice": [4, 8]}, warmup={"randint": [0, 3]}, scale={"quniform": [0, 1, 0.5]}
    )
    expected = [
        {"batch": b, "warmup": w, "scale": s}
        for b, w, s in product([4, 8], [0, 1, 2], [0.0, 0.5, 1.0])
    ]
    assert parsed.grid() == expected


def test_a_grid_has_each_configuration_of_a_conditional_space_once() -> None:
    grid = CONDITIONAL.grid()
    assert {"optimizer": "AdamW"} in grid
    assert len(grid) == 1 + 1 + 2 * 2
    assert all(point not in grid[:i] for i, point in enumerate(grid))
    assert all(CONDITIONAL.point_problems(point) == [] for point in grid)


def test_a_grid_over_a_continuous_domain_is_refused_by_its_key() -> None:
    with pytest.raises(ValueError, match="lr0: a grid needs finite domains"):
        space(lr0={"loguniform": [1e-5, 0.1]}).grid()


def test_finite_domains_list_their_values() -> None:
    parameters = space(a={"quniform": [0.0, 0.2, 0.05]}, b={"uniform": [0, 1]}).parameters
    assert domain_values(parameters["a"].domain) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert domain_values(parameters["b"].domain) is None
    fine = parse_domain({"quniform": [0, 1, 1e-12]})
    assert n_values(fine) == 10**12 + 1, "counted without listing them"


POINTS = space(
    lr0={"loguniform": [1e-5, 0.1]},
    warmup={"randint": [0, 5]},
    batch={"choice": [2, 4, 8]},
    optimizer={"choice": ["AdamW", "SGD"]},
    momentum={"uniform": [0.6, 0.98], "when": {"optimizer": "SGD"}},
    imgsz=640,
)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"lr0": 5.0}, "expected 1e-05 to 0.1, log scale, got 5.0; the nearest is 0.1"),
        ({"lr0": "high"}, "expected 1e-05 to 0.1, log scale, got 'high'"),
        ({"lr0": float("nan")}, "got nan"),
        ({"lr0": True}, "got True"),
        ({"lr0": [1]}, "got [1]"),
        ({"warmup": 9}, "expected whole numbers 0 to 4, got 9; the nearest is 4"),
        ({"warmup": float("inf")}, "got inf"),
        ({"batch": 16}, "expected one of 2, 4, 8, got 16; the nearest is 8"),
        ({"optimizer": "Adam"}, "expected one of AdamW, SGD, got 'Adam'; did you mean AdamW?"),
        ({"learning_rate": 0.1}, "expected a searched key (lr0, warmup, batch, optimizer"),
        ({"bach": 8}, "got bach = 8; did you mean batch?"),
        ({"imgsz": 320}, "expected 640, to which it is fixed, got 320"),
        ({"optimizer": "AdamW", "momentum": 0.9}, "exists only when optimizer is SGD"),
    ],
)
def test_a_point_outside_the_space_is_named_with_what_is_allowed(
    point: dict[str, object], message: str
) -> None:
    problems = POINTS.point_problems(point)
    assert len(problems) == 1
    assert message in problems[0][1]


@pytest.mark.parametrize(
    "point", [{}, {"lr0": 0.01}, {"momentum": 0.9}, {"imgsz": 640, "warmup": 3.0}]
)
def test_partial_points_are_legal(point: dict[str, object]) -> None:
    assert POINTS.point_problems(point) == []


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [
        ({"a": {"uniform": [0, 1], "when": 3}}, "a", "expected when: {key: value}, got 3"),
        ({"a": {"uniform": [0, 1], "when": {"b": 1}}}, "a.when", "b is not in the search space"),
        (
            {"a": {"uniform": [0, 1], "when": {"b": 3}}, "b": {"choice": [1, 2]}},
            "a.when.b",
            "expected one of 1, 2, got 3",
        ),
        (
            {
                "a": {"choice": [1, 2], "when": {"b": 1}},
                "b": {"choice": [1, 2], "when": {"a": 1}},
            },
            "a, b",
            "conditions form a circle",
        ),
        ({"a": {"choice": [1, 2], "when": {"a": 1}}}, "a", "conditions form a circle"),
    ],
)
def test_a_broken_condition_is_named(written: dict[str, object], key: str, message: str) -> None:
    _, problems = parse_space(written)
    assert [(k, message in m) for k, m in problems] == [(key, True)]


def test_every_broken_key_is_reported_at_once() -> None:
    parsed, problems = parse_space(
        {"a": {"uniform": [1, 0]}, "b": {"choice": []}, "c": {"choice": [1, 2]}}
    )
    assert [key for key, _ in problems] == ["a", "b"]
    assert set(parsed.parameters) == {"c"}
