"""What is sampled is what trains: every key is read back from what was built."""

from typing import Any

import pytest

pytest.importorskip("torchvision", reason="needs torchvision")

from tests.support.engine_trials import MakeTrial
from tests.trainables.engines.detector.conftest import QUICK
from trainables.contract import IneffectiveParam
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import Annotation, ImageRecord
from trainables.engines.detector.effective import UNCHECKED, check_effective
from trainables.engines.detector.params import DetectorParams
from trainables.engines.detector.run import DetectorRun
from trainables.trials.memory import MemoryTrial

UNUSUAL: dict[str, Any] = {
    "norm": "BN",
    "width": 16,
    "fpn_channels": 24,
    "box_head_dim": 48,
    "min_size": 80,
    "max_size": 120,
    "anchor_px": 6.0,
    "anchor_scales": 2,
    "anchor_ratio": 1.5,
    "proposals": 70,
    "regions": 48,
    "positive_fraction": 0.4,
    "keep_empty": False,
    "batch_size": 3,
    "batch_multiplier": 2,
    "learning_rate": 0.002,
    "backbone_lr_ratio": 0.2,
    "weight_decay": 0.003,
    "norm_decay": True,
    "clip": 2.5,
    "warmup_steps": 7,
    "scheduler": "none",
    "fliplr": 0.3,
    "flipud": 0.2,
    "degrees": 15.0,
    "scale": 0.1,
    "brightness": 0.15,
    "contrast": 0.25,
    "saturation": 0.35,
    "mosaic": 0.45,
    "ema_decay": 0.95,
    "max_det": 77,
    "score_thresh": 0.02,
    "nms_thresh": 0.4,
}
"""A value for every key that is not `QUICK`'s."""

BESIDE: dict[str, dict[str, Any]] = {
    "sgd_learning_rate": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "sgd"},
    "gamma": {"scheduler": "multistep"},
    "first_drop": {"scheduler": "multistep"},
    "second_drop": {"scheduler": "multistep"},
}
"""Keys that have an effect beside another key alone, and values for them below."""

OTHERS = {
    "sgd_learning_rate": 0.03,
    "momentum": 0.8,
    "nesterov": True,
    "gamma": 0.3,
    "first_drop": 0.4,
    "second_drop": 0.3,
}

ELSEWHERE = {"model", "freeze", "optimizer", "amp"}
"""Keys that need weights or a GPU, or that silence other keys."""


class _SomeEmpty(PreparedDataset):
    """The first picture has lost its objects."""

    def annotations(self, image: ImageRecord) -> tuple[Annotation, ...]:
        found = super().annotations(image)
        return () if image == self.images("train")[0] else found


def _check(built: MemoryTrial, wanted: dict[str, Any]) -> None:
    built.data = _SomeEmpty.load(built.data.root)
    run = DetectorRun(built, DetectorParams.model_validate(built.params))
    params = DetectorParams.model_validate(wanted)
    ignored = DetectorParams.without_effect(params.model_dump()) | {"amp": ""}
    check_effective(run, params, ignored)


def test_the_values_tried_here_cover_every_key_and_differ_from_the_others() -> None:
    usual = {**DetectorParams().model_dump(), **QUICK}
    tried = {**UNUSUAL, **OTHERS}
    assert set(tried) == set(usual) - ELSEWHERE - UNCHECKED
    assert not [key for key, value in tried.items() if value == usual[key]]


def test_a_training_in_which_everything_arrives_passes(make_trial: MakeTrial) -> None:
    trial = make_trial({**UNUSUAL, **OTHERS, "optimizer": "sgd", "scheduler": "multistep"})
    _check(trial, dict(trial.params))


@pytest.mark.parametrize("key", [*UNUSUAL, *OTHERS])
def test_a_setting_that_never_arrives_is_caught_by_its_name(
    key: str, make_trial: MakeTrial
) -> None:
    beside = BESIDE.get(key, {})
    wanted = {**QUICK, **beside, key: {**UNUSUAL, **OTHERS}[key]}
    with pytest.raises(IneffectiveParam) as caught:
        _check(make_trial(beside, epochs=10), wanted)
    message = str(caught.value)
    named = {part.split(":")[0] for part in message.split(": ", 1)[1].split("; ")}
    assert key in named, message
