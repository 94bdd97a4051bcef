"""An ONNX file in 8 bits: integers inside, float at its ends, and nearly the same results."""

from pathlib import Path

import numpy as np
import pytest

for package in ("onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra onnx")

import onnx
import onnxruntime
from onnx import numpy_helper

from trainables.graphs.int8 import write_int8

N_CHANNELS = 16


def small_network(file: Path) -> Path:
    """Two convolutions and a predictor, in float."""
    draw = np.random.default_rng(0).normal
    shapes = {"w1": (N_CHANNELS, 3, 3, 3), "w2": (N_CHANNELS, N_CHANNELS, 3, 3)}
    shapes |= {"w3": (2, N_CHANNELS, 1, 1)}
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 18]>
        agraph (float[B,3,H,W] image) => (float[B,2,P,Q] score) {
            a = Conv<pads = [1, 1, 1, 1]>(image, w1)
            b = Relu(a)
            c = Conv<pads = [1, 1, 1, 1]>(b, w2)
            d = Sigmoid(c)
            e = Mul(c, d)
            score = Conv(e, w3)
        }
        """
    )
    for number, node in enumerate(model.graph.node):
        node.name = f"node{number}"
    for name, shape in shapes.items():
        values = draw(0, 0.3, shape).astype(np.float32)
        values[0] *= 30  # one channel far above the others
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    model.metadata_props.add(key="segtune.format", value="1")
    file.write_bytes(model.SerializeToString())
    return file


def test_inner_layers_become_integers_by_channel_and_the_predictor_stays(tmp_path: Path) -> None:
    source = small_network(tmp_path / "float.onnx")
    pictures = np.random.default_rng(1).random((4, 1, 3, 24, 32), np.float32)
    layers = write_int8(source, tmp_path / "int8.onnx", iter({"image": one} for one in pictures))
    assert len(layers.inner) == 2
    assert layers.predictors == ("w3",)
    assert {file.name for file in tmp_path.iterdir()} == {"float.onnx", "int8.onnx"}
    model = onnx.load_model(str(tmp_path / "int8.onnx"))
    kept = {w.name: w for w in model.graph.initializer}
    assert kept["w3"].data_type == onnx.TensorProto.FLOAT
    small = (w for w in kept.values() if w.data_type == onnx.TensorProto.INT8)
    integers = [w for w in small if len(w.dims) > 1]
    assert {tuple(w.dims) for w in integers} == {(16, 3, 3, 3), (16, 16, 3, 3)}
    scales = [kept[f"{w.name.removesuffix('_quantized')}_scale"] for w in integers]
    assert [list(scale.dims) for scale in scales] == [[N_CHANNELS], [N_CHANNELS]]
    assert ("segtune.format", "1") in {(p.key, p.value) for p in model.metadata_props}
    new = np.random.default_rng(2).random((2, 3, 40, 24), np.float32)  # another size and batch
    own, other = (
        onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx")).run(None, {"image": new})[0]
        for name in ("float", "int8")
    )
    error = np.abs(own - other).mean() / np.abs(own).mean()
    assert 0 < error < 0.05
