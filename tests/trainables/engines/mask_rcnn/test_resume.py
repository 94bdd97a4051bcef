"""An interrupted training is the unbroken one."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from tests.support.engine_trials import (
    MakeTrial,
    assert_as_unbroken,
    continued_elsewhere,
    interrupted,
)
from trainables.engines.mask_rcnn.engine import MaskRcnnEngine
from trainables.loop.checkpoint import read_history

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"ema_decay": 0.9, "augment": "strong", "scale_jitter": 0.2},
        {"optimizer": "SGD", "norm": "BN", "warmup_fraction": 0.9, "schedule": "cosine"},
    ],
    ids=["averaged and augmented", "SGD, BN, in the warm-up"],
)
def test_a_resumed_trial_goes_on_as_if_never_interrupted(
    params: dict[str, Any], make_trial: MakeTrial
) -> None:
    unbroken = make_trial(params, epochs=3, seed=3)
    MaskRcnnEngine().train(unbroken)
    checkpoint = interrupted("mask_rcnn", make_trial(params, epochs=3, seed=3), after=1)
    rest = make_trial(params, epochs=3, seed=3, resume_from=checkpoint)
    MaskRcnnEngine().train(rest)
    assert list(rest.reported) == [2, 3]
    assert_as_unbroken(rest.reported, unbroken)
    assert [entry.epoch for entry in read_history(rest.directory / "checkpoint")] == [1, 2, 3]


@pytest.mark.slow
def test_a_trial_goes_on_in_a_new_process(make_trial: MakeTrial) -> None:
    params = {"augment": "seed", "ema_decay": 0.9}
    unbroken = make_trial(params, epochs=2)
    MaskRcnnEngine().train(unbroken)
    first = make_trial(params, epochs=2)
    checkpoint = interrupted("mask_rcnn", first, after=1)
    reported = continued_elsewhere("mask_rcnn", first, checkpoint)
    assert list(reported) == [2]
    assert_as_unbroken(reported, unbroken)


def test_a_finished_training_that_is_resumed_trains_nothing_more(make_trial: MakeTrial) -> None:
    first = make_trial(epochs=1)
    MaskRcnnEngine().train(first)
    rest = make_trial(epochs=1, resume_from=first.checkpoint)
    MaskRcnnEngine().train(rest)
    assert not rest.reported
