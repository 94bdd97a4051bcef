import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.machines.machine import Machine
from search_spaces.presets.registry import presets
from tests.support.study_samples import write_data, write_study
from trainables.registry import engine_info, engines
from tune.errors import StudyError
from tune.plan.forecast import RAY_S
from tune.plan.lines import plan_lines
from tune.plan.pace import Pace
from tune.plan.plan import StudyPlan, estimate_hours
from tune.plan.planning import plan_file, plan_study
from tune.plan.remarks import remarks
from tune.plan.resolved import resolved, to_yaml

MACHINE = Machine(cpus=4, gpus=0)
YOLO: dict[str, Any] = {"trainable": "yolo_seg", "budget": {"trials": 50, "epochs": 250}}


def plan(folder: Path, machine: Machine = MACHINE, **changes: Any) -> StudyPlan:
    return plan_file(write_study(folder, **changes), machine=machine)


def lines(made: StudyPlan, title: str, pace: Pace | None = None) -> list[str]:
    """The lines of a plan under one title."""
    found: list[str] = []
    current = ""
    for line in plan_lines(made, pace):
        current = line[:11].strip() or current
        if current == title:
            found.append(line[12:])
    return found


def test_planning_changes_nothing(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plan(tmp_path)
    after = {path.name for path in set(tmp_path.rglob("*")) - set(before)}
    assert after <= {"data", "images", "annotations.json", "dataset.json", "study.yaml"}


def test_a_plan_takes_less_than_two_seconds(tmp_path: Path) -> None:
    write_study(tmp_path, **YOLO)
    started = time.perf_counter()
    plan_lines(plan(tmp_path, **YOLO))
    assert time.perf_counter() - started < 2


def test_the_guides_study_is_planned_as_the_guide_has_it(tmp_path: Path) -> None:
    made = plan(tmp_path, **YOLO, scheduler={"grace_period": 25})
    assert made.rungs == (25, 50, 100, 200)
    assert made.directory == tmp_path / "studies" / "sample"
    assert set(made.no_effect) == {"dropout", "warmup_momentum"}
    assert not set(made.no_effect) & set(made.space.parameters)
    assert made.fixed == {"optimizer": "AdamW"}
    assert [point["batch"] for point in made.points] == [16, 8, 2]
    assert all(not set(made.no_effect) & set(point) for point in made.points)


def test_a_fixed_key_without_effect_is_kept_and_marked(tmp_path: Path) -> None:
    space = {"preset": "yolo_seg", "dropout": None}
    made = plan(tmp_path, **YOLO, search_space=space, fixed={"dropout": 0.1})
    assert made.fixed["dropout"] == 0.1
    assert "dropout" in made.no_effect


def test_a_point_may_have_keys_without_effect(tmp_path: Path) -> None:
    made = plan(tmp_path, **YOLO, warm_start={"points": [{"lr0": 0.01, "dropout": 0.3}]})
    assert made.points == ({"lr0": 0.01},)


def test_keys_of_a_preset_can_be_replaced_dropped_and_fixed(tmp_path: Path) -> None:
    space = {
        "preset": "yolo_seg",
        "lr0": {"loguniform": [1e-4, 1e-3]},
        "mosaic": {"fixed": 1.0},
        "copy_paste": None,
        "shear": {"uniform": [0, 5]},
    }
    made = plan(tmp_path, **YOLO, search_space=space, fixed={"optimizer": "SGD"})
    assert str(made.space.parameters["lr0"].domain) == "0.0001 to 0.001, log scale"
    assert made.fixed == {"optimizer": "SGD", "mosaic": 1.0}
    assert "copy_paste" not in made.space.parameters
    assert "shear" in made.space.parameters
    assert "warmup_momentum" in made.space.parameters, "SGD warms up with a momentum"
    for point in made.points:
        assert 1e-4 <= point["lr0"] <= 1e-3
        assert "copy_paste" not in point


@pytest.mark.parametrize(
    ("optimizer", "searched", "values"),
    [
        ({"choice": ["AdamW", "Adam"]}, False, None),
        ({"choice": ["AdamW", "SGD"]}, True, ("SGD",)),
        ({"choice": ["SGD"]}, True, ("SGD",)),
        (None, True, None),
    ],
)
def test_a_presets_conditions_follow_the_keys_put_in_place(
    tmp_path: Path, optimizer: Any, searched: bool, values: tuple[str, ...] | None
) -> None:
    space = {"preset": "yolo_seg_script", "optimizer": optimizer}
    fixed = {"optimizer": "SGD"} if optimizer is None else {}
    made = plan(tmp_path, **YOLO, search_space=space, fixed=fixed)
    assert ("warmup_momentum" in made.space.parameters) == searched
    if values is not None:
        assert made.space.parameters["warmup_momentum"].when == {"optimizer": values}


def test_smoke_is_the_preset_of_the_studys_own_engine(tmp_path: Path) -> None:
    assert "imgsz" in plan(tmp_path, **YOLO, search_space="smoke").fixed
    assert set(plan(tmp_path, search_space="smoke").space.parameters) == {"lr0", "batch"}


def test_a_space_without_a_preset_has_no_points_of_its_own(tmp_path: Path) -> None:
    assert plan(tmp_path, search_space={"lr0": {"uniform": [0.1, 0.2]}}).points == ()
    assert plan(tmp_path, warm_start={"points": []}).points == ()


def test_given_points_become_values_of_the_space(tmp_path: Path) -> None:
    space = {"lr0": {"uniform": [0.1, 1]}, "batch": {"choice": [4, 8]}, "noise": {"fixed": 0.0}}
    points = [{"batch": 8.0, "lr0": 1, "noise": 0}, {"batch": 4}]
    made = plan(tmp_path, search_space=space, warm_start={"points": points})
    assert repr(made.points) == "({'lr0': 1.0, 'batch': 8}, {'batch': 4})"


def test_a_grid_has_no_more_trials_than_points(tmp_path: Path) -> None:
    space = {"batch": {"choice": [4, 8]}, "optimizer": {"choice": ["AdamW", "SGD"]}}
    made = plan(tmp_path, search_space=space, search="grid", budget={"trials": 9, "epochs": 10})
    assert made.trials == 4
    assert made.points == ()
    assert lines(made, "budget") == ["4 trials (of a grid of 4) of 10 epochs"]


@pytest.mark.parametrize(
    ("resources", "cpus", "gpu"),
    [
        ({}, 4, None),
        ({"concurrent": 2}, 2, None),
        ({"concurrent": 8}, 1, None),
        ({"concurrent": 2, "cpus_per_trial": 3, "gpus_per_trial": 0}, 3, 0),
    ],
)
def test_each_trial_gets_its_share(
    tmp_path: Path, resources: dict[str, Any], cpus: int, gpu: float | None
) -> None:
    shares = plan(tmp_path, resources=resources).shares
    assert (shares.cpus, shares.gpu_fraction) == (cpus, gpu)


def test_more_trials_at_once_than_cores_are_said(tmp_path: Path) -> None:
    assert (
        "more than there are" in lines(plan(tmp_path, resources={"concurrent": 8}), "resources")[0]
    )
    assert "more than" not in lines(plan(tmp_path, resources={"concurrent": 4}), "resources")[0]


def test_a_changed_study_is_checked_again_when_planned(tmp_path: Path) -> None:
    study = plan(tmp_path).study
    broken = study.model_copy(update={"search_space": "none", "data": tmp_path / "gone"})
    with pytest.raises(StudyError, match="study sample: 2 problems"):
        plan_study(broken)


def test_hours_are_known_only_with_the_time_of_an_epoch(tmp_path: Path) -> None:
    made = plan(tmp_path, resources={"concurrent": 2}, budget={"trials": 8, "epochs": 40})
    assert estimate_hours(made, None) is None
    assert lines(made, "time")[0].startswith("unknown")
    estimate = estimate_hours(made, Pace(90.0))
    assert estimate is not None
    assert estimate.median == pytest.approx((made.forecast.median * 90 / 2 + RAY_S) / 3600)
    assert lines(made, "time", Pace(90.0))[0].startswith(f"about {estimate.median:.1f} h (")


@pytest.mark.parametrize(
    ("epoch_s", "said"),
    [
        (0.03, "about 13 s (13 to 13 s), by 2 epochs"),
        (0.2, "about 1.1 min (1.1 to 1.1 min), by 2 epochs"),
        (3.0, "about 16 min (16 to 16 min), by 2 epochs"),
        (45.0, "about 4.0 h (4.0 to 4.0 h), by 2 epochs"),
        (4500.0, "about 400 h (400 to 400 h), by 2 epochs"),
    ],
)
def test_the_time_is_said_in_the_unit_that_fits(tmp_path: Path, epoch_s: float, said: str) -> None:
    made = plan(tmp_path, scheduler="none")
    assert lines(made, "time", Pace(epoch_s, measured="2 epochs")) == [said]


def test_a_budget_in_hours_limits_the_estimate(tmp_path: Path) -> None:
    made = plan(tmp_path, budget={"trials": 8, "epochs": 40, "hours": 0.5})
    estimate = estimate_hours(made, Pace(3600.0))
    assert estimate is not None
    assert (estimate.low, estimate.median, estimate.high) == (0.5, 0.5, 0.5)


# --- what is shown


def test_a_plan_says_how_shares_grow_and_where_the_study_is_mirrored(tmp_path: Path) -> None:
    there, rungs = Machine(cpus=4, gpus=2), {"shares": "rungs"}
    shared = plan(tmp_path, there, **YOLO, resources=rungs)
    (said,) = lines(shared, "shares")
    assert said == (
        "rungs: twice as much with each rung that a trial passes, and as others drop away; the "
        "last get whole GPUs of one node, up to 8 each"
    )
    one = plan(tmp_path, there, resources=rungs, mirror=str(tmp_path / "there"))
    assert lines(one, "shares")[0].endswith("up to one GPU, all that simulated can train on")
    assert lines(one, "mirror") == [
        f"{tmp_path}/there/sample, every 5 s, with the models of the best 10; without it the study "
        "goes on for 30 minutes"
    ]
    cores = plan(tmp_path, resources=rungs)
    assert lines(cores, "shares")[0].endswith("up to all cores")
    assert lines(plan(tmp_path), "shares") == lines(plan(tmp_path), "mirror") == []


SHOWN = """\
study       sample, results in ROOT/studies/sample
data        powder (ROOT/data): pictures train 8, val 3, test 2; 1 class: particle
engine      yolo_seg
objective   box_metrics/F1 (max), measure/count_error at most 0.1
budget      8 trials of 40 epochs, at most 2 hours
search      tpe, seed 3
scheduler   asha, rungs at epochs 5, 10, 20; 1 trial in 2 passes each, constraints aside
plateau     box_metrics/F1 gains less than 0.001 an epoch over 15 epochs, from epoch 20 on
resources   2 at once, each 2 CPU and no GPU (this machine has 4 CPU cores, 0 GPUs)
epochs      EPOCHS
time        unknown: no past run of such trials on these data; --probe trains two epochs
searched    lr0             1e-05 to 0.1, log scale
            warmup_epochs   whole numbers 0 to 4
            optimizer       one of AdamW, SGD
            momentum        0.6 to 0.98 (when optimizer is SGD)
fixed       imgsz   640
            mosaic  1.0
no effect   dropout  -seg models have no dropout layer
warm start  0  lr0=0.01, warmup_epochs=3"""


def test_a_plan_reads_like_this(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        trainable="yolo_seg",
        budget={"trials": 8, "epochs": 40, "hours": 2},
        fixed={"imgsz": 640},
        search_space={
            "lr0": {"loguniform": [1e-5, 0.1]},
            "warmup_epochs": {"randint": [0, 5]},
            "optimizer": {"choice": ["AdamW", "SGD"]},
            "momentum": {"uniform": [0.6, 0.98], "when": {"optimizer": "SGD"}},
            "dropout": {"uniform": [0, 0.1]},
            "mosaic": 1,
        },
        warm_start={"points": [{"lr0": 0.01, "warmup_epochs": 3}]},
        objective={
            "metric": "metrics/F1(B)",
            "constraints": {"measure/count_error": {"at_most": 0.1}},
        },
        scheduler={"grace_period": 5},
        resources={"concurrent": 2},
        seed=3,
    )
    found = [line.split() for line in plan_lines(made)]
    expected = SHOWN.replace("ROOT", str(tmp_path))
    saving = lines(made, "epochs")[0]
    assert saving.startswith("320 if every trial ran to its end; about ")
    assert found == [line.split() for line in expected.replace("EPOCHS", saving).splitlines()]


def test_a_study_without_early_stopping_promises_no_saving(tmp_path: Path) -> None:
    made = plan(tmp_path, scheduler="none", plateau="none")
    assert lines(made, "scheduler") == ["none, every trial runs to its end"]
    assert lines(made, "plateau") == ["none"]
    assert lines(made, "epochs") == ["320, no trial is stopped early by the scheduler"]


def test_what_does_nothing_in_short_trainings_or_on_grey_images_is_not_searched(
    tmp_path: Path,
) -> None:
    long = plan(tmp_path / "colour", **YOLO)
    assert {"mosaic", "cutmix", "copy_paste", "hsv_h"} <= set(long.space.parameters)
    write_data(tmp_path / "grey" / "data", grey=True)
    made = plan(tmp_path / "grey", trainable="yolo_seg", budget={"trials": 8, "epochs": 10})
    left_out = {"mosaic", "cutmix", "copy_paste", "hsv_h", "hsv_s"}
    assert set(long.space.parameters) - set(made.space.parameters) == left_out
    assert made.no_effect["mosaic"] == "close_mosaic=10 switches it off in all 10 epochs"
    assert made.no_effect["hsv_h"] == "the images are grey"
    assert not left_out & set(made.points[0])
    assert any("the images are grey" in line for line in lines(made, "no effect"))


def test_a_key_that_others_depend_on_is_searched_all_the_same(tmp_path: Path) -> None:
    space = {"mosaic": {"choice": [0, 1]}, "scale": {"uniform": [0, 0.5], "when": {"mosaic": 1}}}
    made = plan(
        tmp_path, trainable="yolo_seg", search_space=space, budget={"trials": 8, "epochs": 5}
    )
    assert set(made.space.parameters) == {"mosaic", "scale"}


# --- what is kept


def reload(made: StudyPlan, folder: Path) -> StudyPlan:
    path = folder / "elsewhere" / "study.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(to_yaml(made))
    return plan_file(path, machine=MACHINE)


STUDIES: dict[str, dict[str, Any]] = {
    "minimal": {},
    "guide": {**YOLO},
    "script": {**YOLO, "search_space": "yolo_seg_script"},
    "fixed in place": {
        **YOLO,
        "search_space": {"preset": "yolo_seg_script", "optimizer": None, "imgsz": {"fixed": 64}},
        "fixed": {"optimizer": "SGD", "workers": None, "mosaic": 1},
    },
    "grid": {"search": "grid", "search_space": {"batch": {"choice": [4, 8]}}},
    "own": {
        "search_space": {
            "optimizer": {"choice": ["AdamW", "SGD"]},
            "momentum": {"uniform": [0.6, 0.98], "when": {"optimizer": "SGD"}},
            "behaviour": {"choice": ["learns", "flat"]},
        },
        "warm_start": {"points": [{"momentum": 0.9}]},
        "scheduler": "none",
        "plateau": {"kind": "std", "metric": "metrics/F1(M)"},
        "resources": {"gpus_per_trial": 0},
    },
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_resolved_study_reads_back_as_the_same_plan(tmp_path: Path, name: str) -> None:
    made = plan(tmp_path, **STUDIES[name])
    again = reload(made, tmp_path)
    assert to_yaml(again) == to_yaml(made)
    kept = ("space", "points", "fixed", "no_effect", "rungs", "directory", "data", "shares")
    for part in kept:
        assert getattr(again, part) == getattr(made, part), part


DOMAINS = st.one_of(
    st.tuples(st.floats(1e-6, 0.01), st.floats(0.02, 0.9)).map(lambda v: {"uniform": list(v)}),
    st.tuples(st.floats(1e-6, 0.01), st.floats(0.02, 0.9)).map(lambda v: {"loguniform": list(v)}),
    st.lists(st.floats(1e-6, 0.9), min_size=2, max_size=5, unique=True).map(
        lambda v: {"choice": v}
    ),
)


@given(lr0=DOMAINS, noise=DOMAINS, seed=st.integers(0, 2**31), trials=st.integers(1, 500))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_resolved_study_reads_back_to_the_last_bit(
    tmp_path: Path, lr0: dict[str, Any], noise: dict[str, Any], seed: int, trials: int
) -> None:
    made = plan(
        tmp_path,
        search_space={"lr0": lr0, "noise": noise},
        seed=seed,
        budget={"trials": trials, "epochs": 30},
    )
    again = reload(made, tmp_path)
    assert again.space == made.space
    assert again.study.seed == seed
    assert again.space.draw(Random(seed)) == made.space.draw(Random(seed))


def test_a_resolved_study_says_where_it_comes_from(tmp_path: Path) -> None:
    made = plan(tmp_path)
    header = to_yaml(made).splitlines()[:4]
    assert all(line.startswith("# ") for line in header)
    assert "numpy 2" in header[0]
    assert "fingerprint 0123456789abcdef" in header[2]


def test_a_plan_says_that_asha_does_not_look_at_constraints(tmp_path: Path) -> None:
    held = {"constraints": {"measure/count_error": {"at_most": 0.1}}}
    said = "constraints aside"
    assert said not in lines(plan(tmp_path), "scheduler")[0]
    assert lines(plan(tmp_path, objective=held), "scheduler")[0].endswith(said)


def test_the_record_of_a_study_is_plain_data(tmp_path: Path) -> None:
    held = {"constraints": {"measure/count_error": {"at_most": 0.1}}}
    record = json.loads(json.dumps(resolved(plan(tmp_path, **YOLO, objective=held))))
    assert record["engine"] == "yolo_seg"
    assert record["classes"] == ["particle"]
    assert record["objective"] == {
        "metric": "seg_metrics/F1",
        "mode": "max",
        "constraints": {"measure/count_error": {"at_most": 0.1, "at_least": None}},
    }
    assert record["search_space"]["lr0"] == {"domain": "1e-05 to 0.1, log scale", "when": {}}
    assert record["rungs"] == [25, 50, 100, 200]
    assert record["created"]


# --- every engine


@pytest.mark.parametrize(("engine", "name"), [(e, n) for e in engines() for n in presets(e)])
def test_every_preset_of_every_engine_plans(tmp_path: Path, engine: str, name: str) -> None:
    made = plan(tmp_path, trainable=engine, search_space=name)
    params = engine_info(engine).params
    assert made.points
    for seed in range(20):
        sampled = made.space.draw(Random(seed))
        params.model_validate({**made.fixed, **sampled})
        assert not params.without_effect(sampled | dict(made.fixed)).keys() & sampled.keys()


def test_the_same_study_is_resolved_from_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path)
    write_data(tmp_path / "other" / "data")
    expected = plan_file(path).study
    for folder in (tmp_path / "other", Path("/")):
        monkeypatch.chdir(folder)
        assert plan_file(path).study == expected


# --- rungs and rules that can apply


@pytest.mark.parametrize(
    ("engine", "epochs", "fixed", "first"),
    [
        ("simulated", 12, {}, 3),
        ("simulated", 100, {}, 10),
        ("yolo_seg", 20, {}, 5),  # the preset's warm-up is up to 4 epochs
        ("yolo_seg", 20, {"warmup_epochs": 7.5}, 8),
        ("yolo_seg", 100, {}, 10),
        ("unet_selftraining", 40, {}, 21),  # half of the epochs are supervised
        ("unet_selftraining", 40, {"supervised_fraction": 0.25}, 11),
        ("unet_selftraining", 40, {"rounds": 0}, 4),
        ("unet_selftraining", 40, {"rounds": 0, "warmup_epochs": 9}, 10),
        ("mask_rcnn", 40, {"warmup_fraction": 0.2}, 9),
        ("mask_rcnn", 40, {"warmup_iters": 40, "ims_per_batch": 2}, 11),
    ],
)
def test_default_rungs_lie_after_three_epochs_the_warm_up_and_the_supervised_phase(
    tmp_path: Path, engine: str, epochs: int, fixed: dict[str, Any], first: int
) -> None:
    budget = {"trials": 8, "epochs": epochs}
    made = plan(tmp_path, trainable=engine, budget=budget, fixed=fixed)
    assert made.rungs[0] == first
    assert made.rungs[0] > made.beginning
    assert not [line for line in remarks(made) if line.startswith("ASHA")]


def test_a_given_grace_period_inside_the_warm_up_is_told(tmp_path: Path) -> None:
    made = plan(tmp_path, trainable="yolo_seg", scheduler={"grace_period": 2})
    assert made.rungs[:2] == (2, 4)
    assert remarks(made)[-1] == (
        "ASHA compares trials at epochs 2 and 4, in a warm-up or first phase of up to 4 epochs; "
        "with a larger grace_period it compares what they have learnt"
    )


def test_no_rule_is_shown_that_cannot_apply(tmp_path: Path) -> None:
    made = plan(tmp_path, budget={"trials": 8, "epochs": 3})
    assert lines(made, "scheduler") == [
        "asha, which compares no trials before epoch 3: every trial runs to its end"
    ]
    assert lines(made, "plateau") == [
        "none: the rule would begin at epoch 20, and trials end at epoch 3"
    ]
    assert "no trial is stopped early" in lines(made, "epochs")[0]
    longer = plan(tmp_path, budget={"trials": 8, "epochs": 21})
    assert "from epoch 20 on" in lines(longer, "plateau")[0]
    assert lines(longer, "scheduler")[0].startswith("asha, rungs at epochs 3, 6, 12; 1 trial")
