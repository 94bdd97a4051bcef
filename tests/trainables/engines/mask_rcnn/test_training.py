"""What a trial reports, leaves behind and does not leave behind."""

import logging
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import events

from tests.support.engine_trials import (
    MakeTrial,
    NoTestPart,
    assert_all_curves_and_tables_kept,
    assert_both_splits_reported,
    assert_few_training_images_measured,
    assert_pictures_and_tables_of_epoch,
    assert_training_split_measured_when_due,
    stopped_trial,
    timeless,
)
from tests.trainables.engines.mask_rcnn.conftest import QUICK
from trainables.contract import ArtifactKind, Device, Diverged, InfeasibleParams, TrainMetrics
from trainables.datasets.prepared import DatasetError, PreparedDataset
from trainables.engines.mask_rcnn.data import MeasuredPictures
from trainables.engines.mask_rcnn.engine import MaskRcnnEngine
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.predictor import fusion_of
from trainables.engines.mask_rcnn.run import (
    MaskRcnnRun,
    within_memory,
)
from trainables.engines.mask_rcnn.validation import measure
from trainables.trials.memory import MemoryTrial

LOSSES = ("loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, discs: PreparedDataset) -> MemoryTrial:
    params = {**QUICK, "workers": 2, "combo_iou": 0.4, "warmup_iters": 1000}
    del params["warmup_fraction"]
    return stopped_trial("mask_rcnn", params, discs, tmp_path_factory.mktemp("stopped"))


def test_every_epoch_reports_metrics_and_losses_of_both_splits(stopped: MemoryTrial) -> None:
    assert_both_splits_reported(stopped, LOSSES)


def test_a_warm_up_longer_than_the_training_is_noted_and_not_cut(stopped: MemoryTrial) -> None:
    steps = 2 * stopped.reported[1]["lr"] / QUICK["base_lr"]  # type: ignore[operator]
    assert 0.001 < steps < 0.006, "the learning rate rises as asked for, over 1,000 steps"
    [note] = [n for n in stopped.notes if n.startswith("warmup_iters=1000 is no shorter")]
    assert "never reaches base_lr" in note


def test_the_training_split_is_measured_when_it_is_due(stopped: MemoryTrial) -> None:
    assert_training_split_measured_when_due(stopped)


def test_a_stopped_trial_has_all_its_artifacts(stopped: MemoryTrial) -> None:
    assert_all_curves_and_tables_kept(stopped)
    kept = {path.name: kind for path, kind in stopped.kept}
    assert kept["r18.yaml"] is ArtifactKind.CONFIG


def test_pictures_and_tables_are_of_the_best_epoch_also_when_drawn_later(
    stopped: MemoryTrial, tmp_path: Path
) -> None:
    trial = stopped
    assert_pictures_and_tables_of_epoch(trial, 1)
    again = replace(trial, directory=tmp_path, resume_from=trial.checkpoint, over=True, kept=[])
    MaskRcnnEngine().train(
        again
    )  # a process that was killed over its artifacts has another draw them
    assert_pictures_and_tables_of_epoch(again, 1)
    tables = [[p.read_text() for p, _ in t.kept if p.name == "classes.csv"] for t in (trial, again)]
    assert tables[0] == tables[1] != []


def test_keys_without_effect_are_noted_with_the_reason(stopped: MemoryTrial) -> None:
    assert "workers has no effect: the CPU trains without loader processes" in stopped.notes
    assert "combo_iou has no effect: there is one backbone" in stopped.notes
    assert not [note for note in stopped.notes if note.startswith(("base_lr", "min_size"))]


def test_nothing_is_written_outside_of_the_trial(
    stopped: MemoryTrial, discs: PreparedDataset
) -> None:
    assert {path.name for path in stopped.directory.iterdir()} == {"artifacts", "checkpoint"}
    assert not (discs.root / "views").exists()


@pytest.mark.usefixtures("undrawn")
def test_trials_in_a_row_in_one_process_are_the_same_and_leave_nothing_behind(
    make_trial: MakeTrial, discs: PreparedDataset
) -> None:
    trials = [make_trial(epochs=1, seed=seed) for seed in (1, 2, 1)]
    catalogues = set(DatasetCatalog.list()), set(MetadataCatalog.list())
    threads = {thread.name for thread in threading.enumerate()}
    handlers = {n: len(logging.getLogger(n).handlers) for n in ("", "detectron2", "fvcore")}
    for trial in trials:
        trial.data = NoTestPart.load(discs.root)
        MaskRcnnEngine().train(trial)
    first, other, again = (timeless(trial.reported[1]) for trial in trials)
    assert again == first != other
    with pytest.raises(AssertionError):
        events.get_event_storage()
    assert (set(DatasetCatalog.list()), set(MetadataCatalog.list())) == catalogues
    assert {thread.name for thread in threading.enumerate()} == threads
    assert {n: len(logging.getLogger(n).handlers) for n in handlers} == handlers


@pytest.mark.usefixtures("undrawn")
def test_the_number_of_measured_training_images_keeps_within_its_share(
    make_trial: MakeTrial,
) -> None:
    trial = make_trial(epochs=2, train_metrics=TrainMetrics())
    MaskRcnnEngine().train(trial)
    assert_few_training_images_measured(trial)


@pytest.mark.usefixtures("undrawn")
def test_a_loss_that_is_not_a_number_ends_the_trial_with_the_reason(make_trial: MakeTrial) -> None:
    wild = {"optimizer": "SGD", "base_lr": 10, "clip": 0, "warmup_fraction": 0}
    trial = make_trial(wild, epochs=8)
    with pytest.raises(Diverged, match=r"(is (nan|inf)|Inf/NaN).* epoch \d"):
        MaskRcnnEngine().train(trial)
    assert len(trial.reported) < 8


def test_a_removed_picture_ends_the_trial_with_its_name(
    make_trial: MakeTrial, discs: PreparedDataset, tmp_path: Path
) -> None:
    shutil.copytree(discs.root, tmp_path / "data")
    trial = make_trial(epochs=1)
    trial.data = PreparedDataset.load(tmp_path / "data")
    gone = trial.data.images("train")[0].path
    gone.unlink()
    with pytest.raises(DatasetError, match=gone.name):
        MaskRcnnEngine().train(trial)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"norm": "FrozenBN"}, "norm: expected GN or BN with weights=none"),
        ({"max_size": 32}, "max_size: expected at least min_size=64"),
        ({"base_lr": -1}, "base_lr: Input should be greater than 0, got -1"),
        ({"weights": "/absent.pth"}, "weights: expected an existing file"),
    ],
)
def test_what_can_never_train_is_refused_before_anything_is_built(
    params: dict[str, Any], message: str, make_trial: MakeTrial
) -> None:
    with pytest.raises(InfeasibleParams, match=message):
        MaskRcnnEngine().train(make_trial(params))


def test_too_little_memory_is_infeasible_and_says_what_to_lower() -> None:
    params = MaskRcnnParams.model_validate(QUICK)
    with (
        pytest.raises(InfeasibleParams, match=r"ims_per_batch=4 at min_size=64 does not fit"),
        within_memory(params, Device()),
    ):
        raise RuntimeError("CUDA out of memory. Tried to allocate")
    with pytest.raises(RuntimeError, match="else"), within_memory(params, Device()):
        raise RuntimeError("something else")


def test_measuring_changes_neither_batch_norms_nor_random_numbers(make_trial: MakeTrial) -> None:
    trial = make_trial({"norm": "BN"})
    params = MaskRcnnParams.model_validate(trial.params)
    run = MaskRcnnRun(trial, params)
    run.train_epoch(0)
    before = {key: value.clone() for key, value in run.members["r18"].net.state_dict().items()}
    assert any("running_mean" in key for key in before)
    random = torch.get_rng_state()
    split = MeasuredPictures(trial.data, trial.data.images("val"), params)
    first, second = (measure(run.networks, split, fusion_of(params)) for _ in range(2))
    assert first.losses == second.losses
    assert set(first.losses) == set(LOSSES)
    for key, value in run.members["r18"].net.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.equal(torch.get_rng_state(), random)


def test_the_validated_network_is_the_average_where_one_is_asked_for(make_trial: MakeTrial) -> None:
    trial = make_trial({"ema_decay": 0.99})
    run = MaskRcnnRun(trial, MaskRcnnParams.model_validate(trial.params))
    member = run.members["r18"]
    assert member.average is not None
    start = {k: v.clone() for k, v in member.average.model.state_dict().items()}
    run.train_epoch(0)
    assert member.average.steps == len(run.loader)
    assert run.networks["r18"] is member.average.model
    key = "roi_heads.box_predictor.cls_score.weight"
    raw, averaged = member.net.state_dict()[key], member.average.model.state_dict()[key]
    assert not torch.equal(raw, averaged)
    away = [float((w - start[key]).norm()) for w in (averaged, raw)]
    assert 0.3 * away[1] < away[0] < away[1], "after a few steps it has left its start behind"


def test_learning_rates_follow_the_schedule_to_its_last_step(make_trial: MakeTrial) -> None:
    trial = make_trial({"gamma": 0.5, "warmup_fraction": 0.2, "ims_per_batch": 2}, epochs=5)
    run = MaskRcnnRun(trial, MaskRcnnParams.model_validate(trial.params))
    n = len(run.loader)
    rates = [run.schedule(step) for step in range(5 * n)]
    assert rates[0] == pytest.approx(0.001)
    assert rates[n] == rates[3 * n - 1] == 1
    assert rates[3 * n] == 0.5
    assert rates[4 * n] == rates[-1] == 0.25
    assert np.all(np.diff(rates[: n + 1]) > 0)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_combo_trains_both_backbones_in_each_epoch(make_trial: MakeTrial) -> None:
    trial = make_trial({"backbone": "combo", "ims_per_batch": 8}, epochs=1)
    MaskRcnnEngine().train(trial)
    assert trial.checkpoint is not None
    saved = torch.load(trial.checkpoint / "model.pt", weights_only=True)
    assert list(saved["weights"]) == list(saved["configs"]) == ["r50", "r101"]
    state = torch.load(trial.checkpoint / "state.pt", weights_only=True)
    for member in state["members"].values():
        steps = {float(entry["step"]) for entry in member["optimizer"]["state"].values()}
        assert len(steps) == 1
        assert steps.pop() >= 1
    picture = trial.data.read(trial.data.images("val")[0])
    [found] = MaskRcnnEngine().load(trial.checkpoint, trial.device)([picture])
    assert len(found) <= QUICK["max_det"]  # type: ignore[operator]
