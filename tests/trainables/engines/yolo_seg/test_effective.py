"""What is sampled is what trains: for every key, leaving it out must be noticed."""

from typing import Any

import pytest

from tests.support.engine_trials import MakeTrial
from tests.trainables.engines.yolo_seg.conftest import QUICK
from trainables.contract import IneffectiveParam
from trainables.engines.yolo_seg import training
from trainables.engines.yolo_seg.data import describe_dataset
from trainables.engines.yolo_seg.effective import UNCHECKED, check_effective
from trainables.engines.yolo_seg.engine import YoloSegEngine
from trainables.engines.yolo_seg.inference import Detection
from trainables.engines.yolo_seg.params import YoloSegParams
from trainables.engines.yolo_seg.run import YoloSegRun, overrides
from trainables.trials.memory import MemoryTrial

pytestmark = pytest.mark.usefixtures("undrawn")

UNUSUAL: dict[str, Any] = {
    "model": "yolo11s-seg.yaml",
    "imgsz": 96,
    "batch": 3,
    "nbs": 6,
    "optimizer": "SGD",
    "lr0": 0.003,
    "lrf": 0.3,
    "cos_lr": True,
    "momentum": 0.8,
    "weight_decay": 0.002,
    "warmup_epochs": 2,
    "warmup_momentum": 0.4,
    "warmup_bias_lr": 0.02,
    "box": 6.5,
    "cls": 1.4,
    "dfl": 1.2,
    "freeze": 3,
    "mosaic": 0.7,
    "close_mosaic": 2,
    "mixup": 0.1,
    "cutmix": 0.2,
    "copy_paste": 0.3,
    "copy_paste_mode": "mixup",
    "fliplr": 0.1,
    "flipud": 0.2,
    "hsv_h": 0.3,
    "hsv_s": 0.4,
    "hsv_v": 0.5,
    "bgr": 0.1,
    "degrees": 5.0,
    "translate": 0.2,
    "scale": 0.3,
    "shear": 2.0,
    "perspective": 0.001,
    "overlap_mask": False,
    "mask_ratio": 2,
    "max_det": 77,
    "iou": 0.6,
}
"""A value for every key that is not Ultralytics' default."""

IGNORED = {"dropout": "", "amp": ""}
"""Without effect in -seg models, and on the CPU."""


def _check(trial: MemoryTrial, without: str | None = None) -> None:
    """Build a trial as the engine does, but for one setting that never reaches Ultralytics."""
    params = YoloSegParams.model_validate(trial.params)
    settings = overrides(params, trial)
    if without is not None:
        del settings[without]
    described, _ = describe_dataset(trial.data, trial.directory)
    run = YoloSegRun(settings, described, trial.device)
    try:
        run.build()
        detection = Detection(run.args.iou, run.args.max_det)
        check_effective(run, detection, params, IGNORED)
    finally:
        run.close()


def test_the_values_tried_here_cover_every_key_and_differ_from_the_defaults() -> None:
    defaults = YoloSegParams().model_dump()
    assert set(UNUSUAL) == set(defaults) - set(IGNORED) - UNCHECKED
    assert not [key for key, value in UNUSUAL.items() if value == defaults[key]]


def test_a_training_in_which_everything_arrives_passes(make_trial: MakeTrial) -> None:
    _check(make_trial(UNUSUAL, epochs=6))
    _check(make_trial(epochs=6))


@pytest.mark.parametrize("key", [key for key in UNUSUAL if key != "model"])
def test_a_setting_that_never_reaches_ultralytics_is_caught_by_its_name(
    key: str, make_trial: MakeTrial
) -> None:
    trial = make_trial({"optimizer": "SGD", key: UNUSUAL[key]}, epochs=6)
    with pytest.raises(IneffectiveParam) as caught:
        _check(trial, without=key)
    message = str(caught.value)
    assert message.startswith("Ultralytics would not train with what was asked for: ")
    named = [part.split(":")[0].split()[-1] for part in message.split(": ", 1)[1].split("; ")]
    assert named[0] == key, message


def test_another_model_than_asked_for_is_caught(make_trial: MakeTrial) -> None:
    trial = make_trial({"model": UNUSUAL["model"]})
    params = YoloSegParams.model_validate(trial.params)
    settings = {**overrides(params, trial), "model": "yolo11n-seg.yaml"}
    run = YoloSegRun(settings, describe_dataset(trial.data, trial.directory)[0], trial.device)
    run.build()
    with pytest.raises(IneffectiveParam, match=r"model: expected yolo11s-seg\.yaml, got yolo11n"):
        check_effective(run, Detection(0.7, 300), params, IGNORED)
    run.close()


@pytest.mark.parametrize("optimizer", ["MuSGD", "Adam", "Adamax", "NAdam", "RAdam", "RMSProp"])
def test_every_optimizer_is_read_back(optimizer: str, make_trial: MakeTrial) -> None:
    _check(make_trial({"optimizer": optimizer, "momentum": 0.8, "weight_decay": 0.001}))


def test_an_optimizer_that_is_chosen_automatically_passes(make_trial: MakeTrial) -> None:
    trial = make_trial({"optimizer": "auto"}, epochs=1)
    YoloSegEngine().train(trial)
    assert "lr0 has no effect: optimizer=auto chooses it by itself" in trial.notes
    assert list(trial.reported) == [1]


def test_a_batch_that_ultralytics_would_fill_with_all_images_passes(make_trial: MakeTrial) -> None:
    _check(make_trial({"batch": 64, "nbs": 64}))


def test_the_trial_fails_before_its_first_epoch(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(params: YoloSegParams, trial: MemoryTrial) -> dict[str, Any]:
        return {**overrides(params, trial), "lr0": QUICK["lr0"]}

    monkeypatch.setattr(training, "overrides", forgetful)
    trial = make_trial({"lr0": 0.004})
    with pytest.raises(IneffectiveParam, match=r"lr0: expected 0\.004, got 0\.002"):
        YoloSegEngine().train(trial)
    assert not trial.reported
