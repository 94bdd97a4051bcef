"""What is sampled is what trains: every key is read back from what was built."""

from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from tests.support.engine_trials import MakeTrial
from tests.trainables.engines.mask_rcnn.conftest import QUICK
from trainables.contract import IneffectiveParam
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import Annotation, ImageRecord
from trainables.engines.mask_rcnn import training
from trainables.engines.mask_rcnn.effective import UNCHECKED, check_effective, effective_values
from trainables.engines.mask_rcnn.engine import MaskRcnnEngine
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.predictor import fusion_of
from trainables.engines.mask_rcnn.run import MaskRcnnRun
from trainables.trials.memory import MemoryTrial

UNUSUAL: dict[str, Any] = {
    "norm": "BN",
    "min_size": 80,
    "max_size": 120,
    "scale_jitter": 0.15,
    "augment": "strong",
    "keep_empty": False,
    "ims_per_batch": 3,
    "optimizer": "SGD",
    "base_lr": 0.002,
    "momentum": 0.8,
    "weight_decay": 0.003,
    "clip": 2.5,
    "warmup_fraction": 0.3,
    "gamma": 0.3,
    "first_step": 0.4,
    "second_step": 0.3,
    "anchor_px": 6.0,
    "anchor_scales": 2,
    "anchor_ratio": 1.5,
    "rpn_batch_size_per_image": 100,
    "proposals": 70,
    "rpn_nms_thresh": 0.6,
    "batch_size_per_image": 48,
    "positive_fraction": 0.4,
    "fpn_channels": 64,
    "box_head_dim": 48,
    "mask_head_dim": 24,
    "mask_head_convs": 2,
    "ema_decay": 0.95,
    "ema_warmup": False,
    "max_det": 77,
    "score_thresh": 0.02,
    "nms_thresh": 0.4,
}
"""A value for every key that is not `QUICK`'s."""

ELSEWHERE = {"backbone", "weights", "freeze_at", "warmup_iters", "schedule", "amp"}
"""Keys with a test of their own: they need weights or a GPU, or silence other keys."""

COMBO_KEYS = {"combo_weight", "combo_iou"}


class _SomeEmpty(PreparedDataset):
    """The first picture has lost its objects."""

    def annotations(self, image: ImageRecord) -> tuple[Annotation, ...]:
        found = super().annotations(image)
        return () if image == self.images("train")[0] else found


def _trial(make_trial: MakeTrial, params: dict[str, Any]) -> MemoryTrial:
    trial = make_trial(params, epochs=10)
    trial.data = _SomeEmpty.load(trial.data.root)
    return trial


def _check(built: MemoryTrial, wanted: dict[str, Any]) -> None:
    run = MaskRcnnRun(built, MaskRcnnParams.model_validate(built.params))
    params = MaskRcnnParams.model_validate(wanted)
    ignored = MaskRcnnParams.without_effect(params.model_dump()) | {"amp": ""}
    check_effective(run, fusion_of(params), params, ignored)


def test_the_values_tried_here_cover_every_key_and_differ_from_the_others() -> None:
    usual = {**MaskRcnnParams().model_dump(), **QUICK}
    assert set(UNUSUAL) == set(usual) - ELSEWHERE - COMBO_KEYS - UNCHECKED
    assert not [key for key, value in UNUSUAL.items() if value == usual[key]]


def test_a_training_in_which_everything_arrives_passes(make_trial: MakeTrial) -> None:
    trial = _trial(make_trial, UNUSUAL)
    _check(trial, dict(trial.params))


@pytest.mark.parametrize("key", UNUSUAL)
def test_a_setting_that_never_arrives_is_caught_by_its_name(
    key: str, make_trial: MakeTrial
) -> None:
    base = {**QUICK, "ema_decay": 0.5}
    wanted = {**base, key: UNUSUAL[key]}
    trial = _trial(make_trial, {"ema_decay": 0.5})
    with pytest.raises(IneffectiveParam) as caught:
        _check(trial, wanted)
    message = str(caught.value)
    assert message.startswith("Detectron2 would not train with what was asked for: ")
    named = {part.split(":")[0] for part in message.split(": ", 1)[1].split("; ")}
    assert key in named, message


@pytest.mark.parametrize(
    ("built", "wanted"),
    [
        ({"warmup_iters": 5}, {"warmup_iters": 7}),
        ({"schedule": "steps"}, {"schedule": "cosine"}),
        ({"backbone": "r18"}, {"backbone": "r50"}),
    ],
    ids=["warmup_iters", "schedule", "backbone"],
)
def test_what_silences_other_keys_is_caught_too(
    built: dict[str, Any], wanted: dict[str, Any], make_trial: MakeTrial
) -> None:
    [key] = wanted
    trial = _trial(make_trial, built)
    _check(trial, dict(trial.params))
    with pytest.raises(IneffectiveParam, match=f"{key}: expected {wanted[key]}, got {built[key]}"):
        _check(trial, {**trial.params, **wanted})


def test_more_instances_than_regions_are_really_allowed(make_trial: MakeTrial) -> None:
    trial = make_trial({"proposals": 20, "max_det": 500})
    params = MaskRcnnParams.model_validate(trial.params)
    run = MaskRcnnRun(trial, params)
    assert effective_values(run, fusion_of(params), params)["max_det"] == 500
    run.members["r18"].net.proposal_generator.post_nms_topk[False] = 60
    ignored = MaskRcnnParams.without_effect(params.model_dump()) | {"amp": ""}
    with pytest.raises(IneffectiveParam, match="max_det: expected 500, got 60"):
        check_effective(run, fusion_of(params), params, ignored)


def test_the_trial_fails_before_its_first_epoch(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(
        trial: MemoryTrial, params: MaskRcnnParams, configs: Mapping[str, str]
    ) -> MaskRcnnRun:
        return MaskRcnnRun(trial, params.model_copy(update={"base_lr": 0.5}), configs)

    monkeypatch.setattr(training, "MaskRcnnRun", forgetful)
    trial = make_trial({"base_lr": 0.004})
    with pytest.raises(IneffectiveParam, match=r"base_lr: expected 0\.004, got 0\.5"):
        MaskRcnnEngine().train(trial)
    assert not trial.reported
