"""Pooling in a graph takes what torchvision takes, each box from its own level."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra onnx and an engine")

import torch

from trainables.graphs.pooling import Pooling
from trainables.graphs.write import OPSET, translations


class Pools(torch.nn.Module):
    """Nothing but the step, over two levels."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(
        self, fine: torch.Tensor, coarse: torch.Tensor, boxes: torch.Tensor, level: torch.Tensor
    ) -> torch.Tensor:
        """Pool."""
        return self.pooling([fine, coarse], boxes, level)


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "aligned"), [(2, False), (0, True)])
def test_a_graph_pools_what_torchvision_pools(samples: int, aligned: bool, tmp_path: Path) -> None:
    pools = Pools(Pooling((1 / 4, 1 / 8), 3, samples, aligned)).eval()
    generator = torch.Generator().manual_seed(0)

    def given(batch: int, n: int) -> tuple[torch.Tensor, ...]:
        corner = torch.rand(batch, n, 2, generator=generator) * 60
        side = torch.rand(batch, n, 2, generator=generator) * 40
        maps = [torch.rand(batch, 4, side, side, generator=generator) for side in (24, 12)]
        return *maps, torch.cat([corner, corner + side], 2), torch.arange(batch * n) % 2

    any_size = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        pools,
        given(2, 6),
        dynamo=True,
        opset_version=OPSET,
        dynamic_shapes=({0: any_size}, {0: any_size}, {0: any_size, 1: any_size}, {0: any_size}),
        custom_translation_table=dict(translations()),
        verbose=False,
    )
    assert program is not None
    program.save(str(tmp_path / "m.onnx"))
    runtime: Any = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    names = [node.name for node in session.get_inputs()]
    for batch, n in ((1, 1), (3, 7)):  # of one box, a level has none
        inputs = given(batch, n)
        (found,) = session.run(None, dict(zip(names, map(np.asarray, inputs), strict=True)))
        np.testing.assert_allclose(found, pools(*inputs), atol=1e-5)
