"""A network that is written as a graph finds what torchvision's own inference finds."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("torchvision", reason="needs torchvision")

from torch.nn.functional import interpolate

from trainables.engines.detector.network.anchors import planned_anchors
from trainables.engines.detector.network.build import build_network
from trainables.engines.detector.network.graph import FindingGraph
from trainables.engines.detector.network.names import ARCHITECTURES
from trainables.engines.detector.params import DetectorParams

N = 40


def network(name: str) -> Any:
    """An untrained network whose scores differ from each other."""
    torch.manual_seed(0)
    sizes = {} if ARCHITECTURES[name].fixed_px else {"min_size": 64, "max_size": 128}
    few = {"proposals": 100} if ARCHITECTURES[name].has_regions else {}
    params = DetectorParams(model=name, norm="GN", max_det=N, **sizes, **few)
    net = build_network(params, 3, planned_anchors(params, np.array([20.0, 40, 60])))
    for part, weight in net.named_parameters():
        if "cls" in part and weight.ndim > 1:
            torch.nn.init.normal_(weight, 0, 0.05)
        elif "cls" in part and "classification_head" in part:
            torch.nn.init.zeros_(weight)
    return net.eval()


def found(name: str, net: Any, pictures: Any) -> list[list[Any]]:
    """What the graph finds in pictures (B, 3, H, W) in 0 to 1: location, score and category."""
    (height, width), transform = pictures.shape[-2:], net.transform
    scaled = [transform.resize(transform.normalize(picture))[0] for picture in pictures]
    graph = FindingGraph(net, ARCHITECTURES[name].family, N)
    with torch.no_grad():
        outputs = graph(torch.stack(scaled), torch.tensor([width, height] * 2).float())
    return [[output[i] for output in outputs] for i in range(len(pictures))]


QUICK = ("small_fpn", "efficientnet_b0_fpn", "ssdlite320_mobilenet_v3_large")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_a_graph_finds_what_torchvision_finds(name: str) -> None:
    net = network(name)
    coarse = torch.rand(2, 3, 12, 15, generator=torch.Generator().manual_seed(1))
    pictures = interpolate(coarse, (120, 150), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        (every,) = zip(*[net([picture]) for picture in pictures], strict=True)
    first = ARCHITECTURES[name].first_label
    for (location, score, category), own in zip(found(name, net, pictures), every, strict=True):
        n = len(own["scores"])
        assert n > 10
        np.testing.assert_allclose(score[:n], own["scores"], atol=1e-5)
        np.testing.assert_allclose(location[:n], own["boxes"], atol=1e-3)
        assert category[:n].tolist() == (own["labels"] - first + 1).tolist()
        assert not score[n:].any()
        assert not location[n:].any()
        assert not category[n:].any()


def test_strides_do_not_depend_on_the_first_picture() -> None:
    net = network("small_fpn")
    large, small = torch.rand(3, 96, 96), torch.rand(3, 33, 55)
    net.transform.min_size = (33,)
    with torch.no_grad():
        [before] = net([small])
        net([large])
        [after] = net([small])
    assert net.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    assert torch.equal(before["scores"], after["scores"])
