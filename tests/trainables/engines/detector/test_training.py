"""What a training does: it learns from scratch, keeps the better weights, steps as asked."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("torchvision", reason="needs torchvision")

from tests.support.engine_trials import MakeTrial
from trainables.contract import Device, ExportForm
from trainables.engines.detector.checkpoint import read_model
from trainables.engines.detector.engine import DetectorEngine
from trainables.engines.detector.optimizer import optimizer_values
from trainables.engines.detector.params import DetectorParams
from trainables.engines.detector.run import DetectorRun, plan_schedule
from trainables.engines.detector.validation import better_of
from trainables.goal import Goal
from trainables.loop.instances import SplitEvaluation
from trainables.metrics.instances import evaluate_groups
from trainables.metrics.matching import GroundTruth, ground_truth
from trainables.results import Instances
from trainables.trials.memory import MemoryTrial


def built(trial: MemoryTrial) -> DetectorRun:
    return DetectorRun(trial, DetectorParams.model_validate(trial.params))


def test_from_scratch_100_steps_learn_and_the_average_is_as_good(learnt: MemoryTrial) -> None:
    last = learnt.reported[10]
    assert last["val/F1_raw"] >= 0.3
    assert abs(last["val/F1_averaged"] - last["val/F1_raw"]) <= 0.02


def test_the_better_weights_are_those_kept_exported_and_named(
    learnt: MemoryTrial, tmp_path: Any
) -> None:
    discs = learnt.data
    assert learnt.checkpoint is not None
    for values in learnt.reported.values():
        better = max(values["val/F1_raw"], values["val/F1_averaged"])
        assert values["box_metrics/F1"] == better
    saved = read_model(learnt.checkpoint)
    averaged = learnt.reported[10]["val/averaged"] == 1
    assert saved.source == ("averaged" if averaged else "raw")
    engine = DetectorEngine()
    file = engine.export(learnt.checkpoint, tmp_path, ExportForm.NATIVE)
    assert f"weights: {saved.source}" in file.with_suffix(".yaml").read_text()
    predictor = engine.load(learnt.checkpoint, Device())
    records = discs.images("val")
    found = predictor([discs.read(record) for record in records])
    truths = [ground_truth(discs, record) for record in records]
    again = evaluate_groups(found, truths, discs.classes, groups=("box_metrics",))
    assert again["box_metrics"].f1 == pytest.approx(learnt.reported[10]["box_metrics/F1"])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_perfect_predictions_have_an_ap_of_one_in_any_order_of_classes(
    order: tuple[int, ...],
) -> None:
    names = [("cell", "disc", "square")[i] for i in order]
    number = np.argsort(order)
    truths, found = [], []
    for at, n_objects in enumerate((4, 3, 5)):
        corners = np.arange(n_objects)[:, None] * 12 + at
        boxes = np.concatenate([corners, corners, corners + 9, corners + 7], 1).astype(np.float32)
        classes = number[(np.arange(n_objects) + at) % 3]
        truths.append(GroundTruth(boxes, classes, None, 100, 100))
        by_class = np.argsort(classes, kind="stable")[:: -1 if at % 2 else 1]
        scores = np.linspace(0.9, 0.8, n_objects, dtype=np.float32)
        found.append(Instances(boxes[by_class], scores, classes[by_class]))
    measured = evaluate_groups(found, truths, names, groups=("box_metrics",))["box_metrics"]
    assert (measured.map50_95, measured.f1) == pytest.approx((1.0, 1.0))


def test_of_raw_and_averaged_weights_those_better_by_the_goal_count() -> None:
    truth = [_truth()]
    right = Instances(truth[0].boxes, np.array([0.9], np.float32), np.array([0]))
    wrong = Instances(truth[0].boxes + 50, np.array([0.9], np.float32), np.array([0]))
    found = {
        name: SplitEvaluation(
            evaluate_groups([one], truth, ["a"], groups=("box_metrics",)), {}, 1.0, [one]
        )
        for name, one in (("raw", right), ("averaged", wrong))
    }
    goal = Goal("box_metrics/F1")
    assert better_of(found, goal).source == "raw"
    assert better_of({**found, "averaged": found["raw"]}, goal).source == "averaged"
    values = better_of(found, goal).evaluation.losses
    assert values == {"F1_raw": 1.0, "F1_averaged": 0.0, "averaged": 0.0}


def _truth() -> Any:
    return GroundTruth(np.array([[10, 10, 30, 30]], np.float32), np.array([0]), None, 100, 100)


@pytest.mark.parametrize("scheduler", ["cosine", "multistep", "none"])
def test_the_warm_up_is_as_many_steps_as_asked_and_ends(scheduler: str) -> None:
    params = DetectorParams(warmup_steps=5, scheduler=scheduler)
    schedule = plan_schedule(params, 40)
    rising = [schedule.factor(step) for step in range(6)]
    assert rising == pytest.approx([0.1, 0.28, 0.46, 0.64, 0.82, 1.0])
    longer = plan_schedule(DetectorParams(warmup_steps=80, scheduler=scheduler), 40)
    assert longer.factor(39) == pytest.approx(0.1 + 0.9 * 39 / 80)


@pytest.mark.parametrize("scheduler", ["cosine", "multistep", "none"])
def test_the_backbones_rate_keeps_its_ratio_under_every_schedule(
    scheduler: str, make_trial: MakeTrial
) -> None:
    params = {"optimizer": "sgd", "nesterov": True, "backbone_lr_ratio": 0.1, "warmup_steps": 0}
    run = built(make_trial({**params, "scheduler": scheduler}, epochs=2))
    seen = set()
    for epoch in range(2):
        run.train_epoch(epoch)
        rates = {group["part"]: group["lr"] for group in run.optimizer.param_groups}
        assert rates["backbone"] == pytest.approx(0.1 * rates["rest"])
        seen.add(rates["rest"])
    assert len(seen) == (1 if scheduler == "none" else 2)
    assert all(group["nesterov"] for group in run.optimizer.param_groups)


def test_groups_are_by_part_of_the_network_and_norms_and_biases_do_not_decay(
    make_trial: MakeTrial,
) -> None:
    run = built(make_trial({"weight_decay": 0.01, "backbone_lr_ratio": 0.5}))
    group_of = {id(weight): g for g in run.optimizer.param_groups for weight in g["params"]}
    norms = (torch.nn.GroupNorm, torch.nn.BatchNorm2d)
    of_norms = {id(p) for m in run.net.modules() if isinstance(m, norms) for p in m.parameters()}
    assert len(of_norms) > 10
    for name, weight in run.net.named_parameters():
        group = group_of[id(weight)]
        decays = id(weight) not in of_norms and not name.endswith(".bias")
        assert group["weight_decay"] == (0.01 if decays else 0.0), name
        assert group["part"] == ("backbone" if name.startswith("backbone.body.") else "rest")
    read = optimizer_values(run.optimizer)
    assert (read["weight_decay"], read["norm_decay"], read["optimizer"]) == (0.01, False, "adamw")


def test_two_halves_of_a_batch_step_as_often_as_the_whole(make_trial: MakeTrial) -> None:
    halves = built(make_trial({"batch_size": 2, "batch_multiplier": 2}))
    whole = built(make_trial({"batch_size": 4}))
    assert halves.steps_an_epoch == whole.steps_an_epoch
    assert halves.average is not None
    halves.train_epoch(0)
    assert halves.average.steps == halves.steps_an_epoch
