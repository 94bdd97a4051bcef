"""The network that finds is the one that was trained, but for the last digits."""

from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra yolo")

from trainables.engines.yolo_seg.framework import SegmentationModel
from trainables.engines.yolo_seg.inference import as_input, finding_network


def _outputs(found: Any) -> list[Any]:
    """All tensors of an output."""
    if isinstance(found, dict):
        found = list(found.values())
    return [found] if torch.is_tensor(found) else [one for part in found for one in _outputs(part)]


@pytest.mark.parametrize("layers", ["yolov8n", "yolov9c", "yolo11n", "yolo12n", "yolo26n"])
def test_a_network_that_finds_has_no_normalisations_and_the_same_outputs(layers: str) -> None:
    torch.manual_seed(1)
    net = SegmentationModel(f"{layers}-seg.yaml", nc=2, verbose=False)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as after a training
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    net.end2end = False
    weights = deepcopy(net.state_dict())
    pictures = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    finds = finding_network(net)
    with torch.no_grad():
        wanted, found = (
            _outputs(net(pictures.float() / 255)),
            _outputs(finds(as_input(pictures))),
        )
    n_wanted, n_found = (
        sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in some.modules())
        for some in (net, finds)
    )
    assert n_found < 0.2 * n_wanted
    assert len(found) == len(wanted) > 1
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-3)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    assert all(weight.requires_grad for weight in list(net.parameters())[:3])
