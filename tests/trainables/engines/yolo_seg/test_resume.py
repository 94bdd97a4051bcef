"""An interrupted training is the unbroken one."""

import shutil
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra yolo")

from tests.support.engine_trials import (
    MakeTrial,
    assert_as_unbroken,
    continued_elsewhere,
    interrupted,
)
from trainables.engines.yolo_seg.engine import YoloSegEngine
from trainables.loop.checkpoint import read_history

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"mosaic": 0.7, "copy_paste": 0.3, "mixup": 0.2, "cutmix": 0.2, "degrees": 5},
        {"nbs": 20, "warmup_epochs": 0, "batch": 3, "close_mosaic": 2},
        {"optimizer": "SGD", "nbs": 16, "warmup_epochs": 3, "close_mosaic": 0, "lr0": 0.01},
        {"optimizer": "MuSGD", "batch": 5, "nbs": 5},
    ],
    ids=["augmented", "pending gradients", "in the warm-up", "MuSGD"],
)
def test_a_resumed_trial_goes_on_as_if_never_interrupted(
    params: dict[str, Any], make_trial: MakeTrial
) -> None:
    unbroken = make_trial(params, epochs=4, seed=3)
    YoloSegEngine().train(unbroken)
    checkpoint = interrupted("yolo_seg", make_trial(params, epochs=4, seed=3), after=2)
    rest = make_trial(params, epochs=4, seed=3, resume_from=checkpoint)
    YoloSegEngine().train(rest)
    assert list(rest.reported) == [3, 4]
    assert_as_unbroken(rest.reported, unbroken)
    assert [entry.epoch for entry in read_history(rest.directory / "checkpoint")] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_trial_goes_on_in_a_new_process(make_trial: MakeTrial) -> None:
    params = {"nbs": 10, "mosaic": 0.5}
    unbroken = make_trial(params, epochs=3)
    YoloSegEngine().train(unbroken)
    first = make_trial(params, epochs=3)
    checkpoint = interrupted("yolo_seg", first, after=1)
    shutil.rmtree(first.directory / "ultralytics")
    reported = continued_elsewhere("yolo_seg", first, checkpoint)
    assert list(reported) == [2, 3]
    assert_as_unbroken(reported, unbroken)


def test_a_checkpoint_is_plain_data(make_trial: MakeTrial) -> None:
    checkpoint = interrupted("yolo_seg", make_trial(epochs=2), after=1)
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "history.json",
        "model.pt",
        "state.pt",
    ]
    model = torch.load(checkpoint / "model.pt", weights_only=True)
    assert model["engine"] == "yolo_seg"
    assert all(w.dtype in {torch.float32, torch.int64} for w in model["weights"].values())
    torch.load(checkpoint / "state.pt", weights_only=True)
