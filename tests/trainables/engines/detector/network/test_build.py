"""Every detector numbers classes as its head does, normalises colours once, and can be frozen."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("torchvision", reason="needs torchvision")

from tests.support.engine_trials import MakeTrial
from trainables.engines.detector.data import network_input
from trainables.engines.detector.inference import find_objects
from trainables.engines.detector.network.anchors import planned_anchors
from trainables.engines.detector.network.build import build_network
from trainables.engines.detector.network.names import ARCHITECTURES
from trainables.engines.detector.params import DetectorParams
from trainables.engines.detector.run import DetectorRun

TINY: dict[str, Any] = {
    "width": 8,
    "fpn_channels": 16,
    "box_head_dim": 16,
    "min_size": 64,
    "max_size": 64,
    "proposals": 20,
    "regions": 8,
    "max_det": 200,
    "score_thresh": 0.0,
}

COLOUR = (200, 120, 40)

HALF_WIDE = {"ssdlite320_mobilenet_v3_large": ((0.5,) * 3, (0.5,) * 3)}
"""Colours that are not ImageNet's."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def built(model: str) -> tuple[Any, DetectorParams]:
    params = DetectorParams.model_validate({**TINY, "model": model})
    torch.manual_seed(0)
    return build_network(params, 2, planned_anchors(params, np.array([12.0, 30.0]))), params


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_classes_are_numbered_as_the_head_does_and_colours_normalised_once(model: str) -> None:
    net, params = built(model)
    first = params.architecture.first_label
    assert (first == 0) == model.startswith(("retinanet", "fcos"))
    seen: list[Any] = []
    net.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pixels = np.full((64, 64, 3), COLOUR, np.uint8)
    found = find_objects(net, pixels, first, torch.device("cpu"))
    assert set(found.classes.tolist()) == {0, 1}  # no background, and none left out
    mean, std = HALF_WIDE.get(model, IMAGENET)
    wanted = (np.array(COLOUR) / 255 - mean) / std
    np.testing.assert_allclose(seen[0][0, :, 10, 10].numpy(), wanted, atol=1e-4)
    net.train()
    target = {
        "boxes": torch.tensor([[5.0, 5, 25, 25], [30, 30, 60, 60]]),
        "labels": torch.tensor([first, first + 1]),
    }
    losses = net([network_input(pixels)], [target])
    assert all(bool(loss.isfinite()) for loss in losses.values())


TRAINED = {
    "none": ("",),
    "backbone": ("backbone.fpn.", "rpn.", "roi_heads."),
    "fpn": ("rpn.", "roi_heads."),
    "rpn": ("roi_heads.",),
    "all": ("roi_heads.box_predictor.",),
}
"""Beginnings of the names of what a frozen Faster R-CNN still learns."""


@pytest.mark.parametrize("freeze", TRAINED)
def test_what_is_frozen_keeps_weights_and_statistics(freeze: str, make_trial: MakeTrial) -> None:
    trial = make_trial({"freeze": freeze, "norm": "BN", "ema_decay": 0.0, "learning_rate": 0.01})
    run = DetectorRun(trial, DetectorParams.model_validate(trial.params))
    before = {name: tensor.clone() for name, tensor in run.net.state_dict().items()}
    run.train_epoch(0)
    after = run.net.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {name for name in before if name.startswith(TRAINED[freeze])}
