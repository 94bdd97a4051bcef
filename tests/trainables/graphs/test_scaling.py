"""A graph brings pictures to the size and colours that torchvision brings them to."""

from typing import Any

import numpy as np
import pytest

for package in ("torch", "torchvision", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra onnx and an engine")

import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from trainables.graphs.scaling import PICTURE, SIDES, Scaling
from trainables.graphs.write import OPSET

MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize("fixed", [None, (300, 320)])
def test_a_picture_of_any_size_is_scaled_as_torchvision_scales_it(
    fixed: tuple[int, int] | None,
) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    scaling = Scaling(224, 448, fixed, MEAN, DEVIATION)
    session = runtime.InferenceSession(scaling.model(OPSET, 10).SerializeToString())
    rng = np.random.default_rng(0)
    given = {} if fixed is None else {"fixed_size": fixed[::-1]}
    theirs = GeneralizedRCNNTransform(224, 448, MEAN, DEVIATION, size_divisible=1, **given)
    theirs.eval()
    for height, width in ((480, 640), (224, 224), (641, 223), (33, 500), (97, 61), (1, 1)):
        pixels = rng.integers(0, 256, (2, 3, height, width), dtype=np.uint8)
        picture, sides = session.run([PICTURE, SIDES], {"image": pixels})
        expected, _ = theirs([torch.from_numpy(one).float() / 255 for one in pixels])
        assert picture.shape == expected.tensors.shape
        np.testing.assert_allclose(picture, expected.tensors, atol=5e-4)  # levels are 0.017 apart
        assert np.abs(picture - expected.tensors.numpy()).mean() < 1e-6
        assert sides.tolist() == [width, height, width, height]
