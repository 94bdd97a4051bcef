"""What tests of ONNX files need: a file that was altered, and a machine without frameworks."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.places import ROOT

FRAMEWORKS = ("torch", "torchvision", "ultralytics", "detectron2", "segmentation_models_pytorch")


def without_frameworks(folder: Path) -> str:
    """A PYTHONPATH with which no framework can be imported, here and in processes begun there."""
    for name in FRAMEWORKS:
        package = folder / name / "__init__.py"
        package.parent.mkdir(parents=True, exist_ok=True)
        package.write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n")
    return f"{folder}:{ROOT}"


def altered(file: Path, to: Path) -> Path:
    """An ONNX file whose largest layer is a hundredth stronger, for what must notice it."""
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    helper: Any = pytest.importorskip("onnx.numpy_helper")
    proto = onnx.load_model(str(file))
    weights = [w for w in proto.graph.initializer if w.data_type == onnx.TensorProto.FLOAT]
    largest = max(weights, key=lambda w: len(w.raw_data))
    values = helper.to_array(largest) * 1.01
    largest.CopyFrom(helper.from_array(values.astype("float32"), largest.name))
    to.write_bytes(proto.SerializeToString())
    return to
