"""Suppression in a graph keeps what torchvision's keeps."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra onnx and an engine")

import torch
from torchvision.ops import batched_nms

from trainables.graphs.suppression import strongest_instances
from trainables.graphs.write import OPSET, translations
from trainables.onnx.manifest import OnnxError

IOU, FLOOR, N = 0.5, 0.1, 60


class Suppressing(torch.nn.Module):
    """Nothing but the step."""

    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> Any:
        """Suppress."""
        return strongest_instances(boxes, scores, N, (IOU, FLOOR))[:3]


@pytest.mark.slow
def test_a_graph_keeps_what_torchvision_keeps_for_any_batch(tmp_path: Path) -> None:
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        Suppressing().eval(),
        (torch.rand(2, 30, 4), torch.rand(2, 30, 3)),
        dynamo=True,
        opset_version=OPSET,
        dynamic_shapes=(free, free),
        custom_translation_table=dict(translations()),
        verbose=False,
    )
    assert program is not None
    program.save(str(tmp_path / "m.onnx"))
    runtime: Any = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    rng = np.random.default_rng(0)
    for batch, n in ((1, 1), (2, 200), (5, 40)):
        corner = rng.uniform(0, 80, (batch, n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (batch, n, 2))], 2)
        scores = rng.uniform(0, 1, (batch, n, 3)).astype(np.float32)
        given = [node.name for node in session.get_inputs()]
        found = session.run(None, dict(zip(given, (boxes.astype(np.float32), scores), strict=True)))
        for i in range(batch):
            best, category = torch.from_numpy(scores[i]).max(dim=1)
            own = torch.from_numpy(boxes[i].astype(np.float32))
            sure = best > FLOOR
            kept = batched_nms(own[sure], best[sure], category[sure], IOU)[:N]
            location, score, number = (array[i] for array in found)
            assert 0 < len(kept) <= N
            np.testing.assert_allclose(location[: len(kept)], own[sure][kept])
            np.testing.assert_allclose(score[: len(kept)], best[sure][kept])
            assert number[: len(kept)].tolist() == (category[sure][kept] + 1).tolist()
            assert not score[len(kept) :].any()
            assert not location[len(kept) :].any()
            assert not number[len(kept) :].any()


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(OnnxError, match=r"pip install 'segtune\[onnx\]'"):
        translations()
