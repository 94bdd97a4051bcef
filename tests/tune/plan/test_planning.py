import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cluster.machines.machine import Machine
from search_spaces.presets.registry import presets
from tests.support.study_samples import minimal, write_data, write_study
from trainables.goal import Limit
from trainables.registry import engines
from tune.errors import StudyError
from tune.plan.planning import plan_file, read_draft
from tune.stopping.asha import Asha, NoScheduler
from tune.stopping.plateau import NoPlateau, Slope, Std
from tune.study.file import write_yaml
from tune.study.study import Study, study_schema

ISSUE_EXAMPLE: dict[str, Any] = {
    "study": "powder-yolo",
    "data": "data",
    "trainable": "yolo_seg",
    "budget": {"trials": 50, "epochs": 250, "hours": 12},
    "price": 2.1,
    "fixed": {"model": "yolo11n-seg.yaml", "imgsz": 640},
    "search_space": "yolo_seg",
    "search": "tpe",
    "objective": {"metric": "seg_metrics/F1", "mode": "max"},
    "warm_start": {"points": [{"lr0": 0.002, "batch": 8}]},
    "scheduler": {"kind": "asha", "grace_period": 25, "reduction_factor": 2},
    "plateau": {"kind": "std", "metric": "train_seg_metrics/F1", "std": 0.01, "window": 5},
    "train_metrics": {"every": 1, "images": "auto"},
    "resources": {"concurrent": 2, "cpus_per_trial": "auto", "gpus_per_trial": "auto"},
    "tracking": {"wandb": {"project": "powder", "mode": "auto"}},
    "mirror": "gs://powder-bucket/studies",
    "storage": "studies",
    "seed": 0,
}


def load(folder: Path, *overrides: str, **changes: Any) -> Study:
    return plan_file(write_study(folder, **changes), overrides).study


def problems(folder: Path, *overrides: str, **changes: Any) -> list[str]:
    with pytest.raises(StudyError) as error:
        load(folder, *overrides, **changes)
    return str(error.value).splitlines()[1:]


def test_four_keys_are_enough(tmp_path: Path) -> None:
    study = load(tmp_path)
    assert study.search == "tpe"
    assert study.objective.metric == "seg_metrics/F1"
    assert study.scheduler == Asha()
    assert study.plateau == Slope()
    assert study.warm_start.points is None
    assert study.storage == tmp_path / "studies"
    assert study.data == tmp_path / "data"
    assert study.seed == 0


def test_every_key_of_the_documented_study_is_read(tmp_path: Path) -> None:
    study = load(tmp_path, **ISSUE_EXAMPLE)
    assert set(ISSUE_EXAMPLE) == set(Study.model_fields)
    assert study.budget.hours == 12
    assert study.plateau == Std(metric="train_seg_metrics/F1", window=5)
    assert study.tracking.wandb.project == "powder"
    assert study.mirror is not None
    assert study.mirror.place == "gs://powder-bucket/studies"


@pytest.mark.parametrize("missing", ["study", "data", "trainable", "budget"])
def test_each_of_the_four_keys_is_required(tmp_path: Path, missing: str) -> None:
    (line,) = problems(tmp_path, **{missing: None})
    assert f"{missing}: required key is missing, expected " in line


@pytest.mark.parametrize(
    ("written", "metric"),
    [
        ("metrics/F1(M)", "seg_metrics/F1"),
        ("metrics/F1(B)", "box_metrics/F1"),
        ("F1(M)", "seg_metrics/F1"),
        ("metrics/mAP50-95(M)", "seg_metrics/map50_95"),
        ("metrics/precision(B)", "box_metrics/precision"),
    ],
)
def test_ultralytics_names_of_metrics_are_understood(
    tmp_path: Path, written: str, metric: str
) -> None:
    study = load(tmp_path, objective={"metric": written}, plateau={"metric": written})
    assert study.objective.metric == metric
    assert isinstance(study.plateau, Slope)
    assert study.plateau.metric == metric


def test_the_overfit_gap_may_be_watched_where_the_training_split_is_measured(
    tmp_path: Path,
) -> None:
    watched = {"metric": "overfit_gap"}
    study = load(tmp_path, plateau=watched, train_metrics={"every": 5})
    assert isinstance(study.plateau, Slope)
    assert study.plateau.metric == "overfit_gap"
    with pytest.raises(StudyError, match=r"got overfit_gap with train_metrics.every = 0"):
        load(tmp_path, plateau=watched, train_metrics={"every": 0})


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("measure/size_distance", "min"),
        ("measure/count_error", "min"),
        ("val/loss", "min"),
        ("train/box_loss", "min"),
        ("metrics/mAP50(B)", "max"),
    ],
)
def test_the_mode_follows_the_metric(tmp_path: Path, metric: str, mode: str) -> None:
    assert load(tmp_path, objective={"metric": metric}).objective.mode == mode
    assert load(tmp_path, objective={"metric": metric, "mode": mode}).objective.mode == mode


def test_constraints_are_read_and_read_again(tmp_path: Path) -> None:
    constraints = {
        "measure/count_error": {"at_most": 0.1},
        "metrics/recall(M)": {"at_least": 0.8},
        "measure/diameter_shift": {"at_least": -0.05, "at_most": 0.05},
    }
    study = load(tmp_path, objective={"constraints": constraints})
    assert study.objective.metric == "seg_metrics/F1"
    assert study.objective.limits == (
        Limit("measure/count_error", at_most=0.1),
        Limit("seg_metrics/recall", at_least=0.8),
        Limit("measure/diameter_shift", at_most=0.05, at_least=-0.05),
    )
    again = load(tmp_path, objective=study.objective.model_dump(mode="json"))
    assert again.objective == study.objective


def test_a_constraint_can_be_set_on_the_command_line(tmp_path: Path) -> None:
    study = load(tmp_path, "objective.constraints={measure/count_error: {at_most: 0.2}}")
    assert study.objective.limits == (Limit("measure/count_error", at_most=0.2),)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("none", NoPlateau()),
        ({"kind": "none"}, NoPlateau()),
        ("std", Std()),
        ({"window": 20}, Slope(window=20)),
    ],
)
def test_a_rule_may_be_named_or_described(tmp_path: Path, written: Any, rule: object) -> None:
    assert load(tmp_path, plateau=written).plateau == rule


def test_a_scheduler_may_be_named(tmp_path: Path) -> None:
    assert load(tmp_path, scheduler="none").scheduler == NoScheduler()
    assert load(tmp_path, "scheduler.grace_period=3").scheduler == Asha(grace_period=3)


def test_a_third_of_a_gpu_may_be_rounded(tmp_path: Path) -> None:
    path = write_study(tmp_path, resources={"concurrent": 3, "gpus_per_trial": 0.33})
    study = plan_file(path, machine=Machine(cpus=8, gpus=1)).study
    assert study.resources.gpus_per_trial == 1 / 3


@pytest.mark.parametrize(
    ("resources", "gpus", "key", "said"),
    [
        ({"gpus_per_trial": 2}, 4, "gpus_per_trial", "or 1, which is what simulated can train on"),
        ({"gpus_per_trial": 2}, 1, "gpus_per_trial", "GPUs there are (1), got 2; the nearest is 1"),
        ({"gpus_per_trial": 8}, 4, "gpus_per_trial", "GPUs there are (4), got 8; the nearest is 1"),
        (
            {"gpus_per_trial": 0.5, "concurrent": 5},
            2,
            "concurrent",
            "expected at most 4 at once, which is what fits on the GPUs there are (2) with "
            "gpus_per_trial 0.5, got 5; the nearest is 4, or gpus_per_trial: auto",
        ),
        (
            {"gpus_per_trial": 2, "max_gpus": 1},
            4,
            "max_gpus",
            "expected at least gpus_per_trial = 2, got 1; the nearest is 2",
        ),
        ({"weight": 0}, 4, "weight", "expected a number above 0, got 0"),
        ({"labels": {"a b": "c"}}, 4, "labels", "such as ray.io/market-type: spot, got a b: c"),
    ],
)
def test_a_share_of_the_gpus_is_one_that_machine_and_engine_can_give(
    tmp_path: Path, resources: dict[str, Any], gpus: int, key: str, said: str
) -> None:
    path = write_study(tmp_path, resources=resources)
    with pytest.raises(StudyError) as error:
        plan_file(path, machine=Machine(cpus=8, gpus=gpus))
    (line,) = str(error.value).splitlines()[1:]
    assert f"resources.{key}: " in line
    assert said in line


def test_an_engine_that_trains_over_several_gpus_may_have_them(tmp_path: Path) -> None:
    def gpus_per_trial(wanted: int) -> float | str:
        engine = {"trainable": "unet_selftraining", "search_space": "unet_selftraining"}
        resources = {"concurrent": 1, "gpus_per_trial": wanted}
        path = write_study(tmp_path, **engine, resources=resources)
        return plan_file(path, machine=Machine(cpus=8, gpus=16)).study.resources.gpus_per_trial

    assert gpus_per_trial(2) == 2
    with pytest.raises(StudyError, match="or up to 8, which is what unet_selftraining can train"):
        gpus_per_trial(9)


def test_an_automatic_optimizer_may_be_tried_where_nothing_is_searched_that_it_ignores(
    tmp_path: Path,
) -> None:
    space = {
        "optimizer": {"choice": ["AdamW", "auto"]},
        "lr0": {"loguniform": [1e-4, 1e-2], "when": {"optimizer": "AdamW"}},
    }
    study = load(tmp_path, trainable="yolo_seg", search_space=space)
    assert study.search_space == space


def test_overrides_are_checked_like_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "budget.trials=9").budget.trials == 9
    (line,) = problems(tmp_path, "budget.trails=9")
    assert line == (
        "  --set: budget.trails: unknown key (value 9), expected one of trials, epochs, hours; "
        "did you mean trials?"
    )


def test_all_problems_of_a_file_come_at_once_in_its_order(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        study="a/b",
        budget={"trials": 0, "epochs": 5},
        fixed={"imgsz": 3},
        search_space={"lr0": {"uniform": [1, 0]}, "batch": {"choice": [0]}},
        warm_start={"points": [{"lr0": 1}]},
        objective={"metric": "seg_metrics/F2"},
        seed=-1,
        sed=3,
    )
    keys = [line.split(": ")[1] for line in found]
    assert keys == [
        "study",
        "budget.trials",
        "fixed.imgsz",
        "search_space.lr0",
        "search_space.batch",
        "objective.metric",
        "seed",
        "sed",
    ]
    lines = [int(line.split(":")[0].removeprefix("  line ")) for line in found]
    assert lines == sorted(lines)


def test_a_study_of_another_machine_can_be_read_but_not_run(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, data="gone", resources={"cpus_per_trial": 999, "gpus_per_trial": 64}
    )
    assert read_draft(path).study.data == tmp_path / "gone"
    with pytest.raises(StudyError, match="3 problems"):
        plan_file(path)


def test_a_file_named_under_fixed_need_not_exist_where_a_study_is_only_read(
    tmp_path: Path,
) -> None:
    path = write_study(tmp_path, trainable="yolo_seg", fixed={"model": "best.pt"})
    assert read_draft(path).study.fixed == {"model": "best.pt"}
    with pytest.raises(StudyError, match=r"fixed.model: expected existing weights, got best.pt"):
        plan_file(path)


def test_weights_beside_the_study_file_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path, trainable="yolo_seg", fixed={"model": "best.pt"})
    (tmp_path / "best.pt").touch()
    monkeypatch.chdir("/")
    assert plan_file(path).study.fixed == {"model": str(tmp_path / "best.pt")}


def test_a_study_cannot_exist_in_a_wrong_state(tmp_path: Path) -> None:
    study = Study(**minimal(data=tmp_path))
    assert study.objective.metric == "seg_metrics/F1"
    with pytest.raises(ValidationError, match="frozen"):
        study.seed = 3  # type: ignore[misc]
    for wrong in ({"seed": True}, {"study": ".."}, {"budget": {"trials": "8", "epochs": 1}}):
        with pytest.raises(ValidationError):
            Study(**minimal(data=tmp_path, **wrong))


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.floats(),
    st.sampled_from(["", "none", "auto", "yolo_seg", "smoke", "tpe", "../x", "1e-5", "preset"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(
        st.sampled_from(["kind", "preset", "lr0", "when", "points", "uniform", "choice", "wandb"]),
        st.one_of(
            st.integers(),
            st.floats(),
            st.text(max_size=3),
            st.lists(st.floats(), max_size=3),
            st.dictionaries(st.sampled_from(["uniform", "fixed", "when"]), st.integers()),
        ),
        max_size=3,
    ),
)
PLACES = st.sampled_from(
    [
        *Study.model_fields,
        "budget.trials",
        "budget.epochs",
        "fixed.imgsz",
        "search_space.lr0",
        "search_space.lr0.when",
        "warm_start.points",
        "scheduler.grace_period",
        "resources.gpus_per_trial",
        "resources.cpus_per_trial",
        "objective.metric",
        "plateau.metric",
        "tracking.wandb",
    ]
)


@given(changes=st.dictionaries(PLACES, JUNK, min_size=1, max_size=4))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_file_it_is_a_study_or_a_message(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = write_study(tmp_path, trainable="yolo_seg", search_space={"preset": "yolo_seg"})
    overrides = [
        f"{key}={write_yaml({'x': value}).removeprefix('x:').strip()}"
        for key, value in changes.items()
    ]
    try:
        study = plan_file(path, overrides).study
    except StudyError as error:
        first, *rest = str(error).splitlines()
        assert first.startswith(str(path))
        assert all(line.startswith("  ") for line in rest)
    else:
        assert isinstance(study, Study)


# --- one pass


def test_each_thing_that_a_plan_depends_on_is_read_once(tmp_path: Path) -> None:
    path = write_study(tmp_path, warm_start={"best": True})
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls[frame.f_code.co_qualname] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        plan_file(path)
    finally:
        sys.setprofile(before)
    once = ("read_study_file", "resolve_space", "PreparedDataset.load", "this_machine")
    assert {name: calls[name] for name in once} == dict.fromkeys(once, 1)
    assert calls["best_points"] == 1
    assert calls["package_versions"] == calls["git_commit"] == 0, "for a plan that is written down"


# --- the schema


def test_the_schema_accepts_what_loads(tmp_path: Path) -> None:
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for study in (
        minimal(),
        ISSUE_EXAMPLE,
        minimal(search_space={"preset": "smoke", "lr0": {"loguniform": [1e-4, 0.1]}}),
        minimal(search_space={"lr0": {"uniform": [0.1, 1], "when": {"batch": 2}}, "batch": 2}),
        minimal(search_space={"preset": "default", "lr0": None}, scheduler="none", plateau="std"),
        minimal(objective={"mode": "max"}),
        minimal(objective={"metric": "measure/size_distance"}),
        minimal(objective={"constraints": {"measure/count_error": {"at_most": 0.1}}}),
    ):
        load(tmp_path, **study)
        assert list(validator.iter_errors(study)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"sed": 3},
        {"trainable": "yolo"},
        {"budget": {"trials": 0, "epochs": 1}},
        {"fixed": {"imgsz": 640}},
        {"search_space": "yolo_seg"},
        {"search_space": {"preset": "smok"}},
        {"search_space": {"lr0": {"uniform": [0]}}},
        {"search_space": {"lr0": {"log": [0, 1]}}},
        {"scheduler": {"kind": "hyperband"}},
        {"objective": {"constraints": {"measure/count_error": {"atmost": 0.1}}}},
        {"objective": {"constraints": {"measure/count_error": 0.1}}},
    ],
)
def test_the_schema_refuses_what_does_not_load(tmp_path: Path, changes: dict[str, Any]) -> None:
    problems(tmp_path, **changes)
    validator = jsonschema.Draft202012Validator(study_schema())
    assert not validator.is_valid(minimal(**changes))


def test_the_schema_describes_every_key_and_hyperparameter() -> None:
    schema = json.loads(json.dumps(study_schema()))
    assert schema["properties"]["trainable"]["enum"] == list(engines())
    for branch in schema["allOf"]:
        name = branch["if"]["properties"]["trainable"]["const"]
        fixed = branch["then"]["properties"]["fixed"]["properties"]
        assert all(field["description"] for field in fixed.values())
        names = branch["then"]["properties"]["search_space"]["anyOf"][0]["enum"]
        assert set(names) == {"default", *presets(name)}
    for part in ("Budget", "Objective", "Resources", "Wandb", "WarmStart"):
        assert all("description" in f for f in schema["$defs"][part]["properties"].values())


def test_a_study_is_checked_without_any_framework(tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    path = write_study(tmp_path, trainable="yolo_seg")
    code = (
        "import sys, pathlib\n"
        "from tune.plan.planning import plan_file\n"
        "from tune.study.study import study_schema\n"
        "made = plan_file(pathlib.Path(sys.argv[1]))\n"
        "study_schema()\n"
        "heavy = {'torch', 'ultralytics', 'ray', 'optuna', 'wandb', 'cv2', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "from tune.plan.lines import plan_lines\n"
        "plan_lines(made)  # YOLO's draws outlines to tell what is lost of them\n"
        "print(sorted((heavy - {'cv2'}) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]", "[]"]
