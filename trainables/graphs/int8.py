"""An ONNX file with weights and activations in 8 bits: smaller, and faster where a CPU can.

Static quantisation by ONNX Runtime: the ranges of activations are those that occur in a few
pictures, each output channel's weights have a scale of their own, and the file says by pairs of
QuantizeLinear and DequantizeLinear where values are integers. Predictors, and all that follows
them, stay in float (`trainables.graphs.layers`).
"""

import importlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.files.whole import write_whole
from trainables.graphs.layers import Layers, layers_of
from trainables.onnx.manifest import INSTALL, OnnxError

Inputs = Mapping[str, npt.NDArray[Any]]

_WARNING, _ERROR = 2, 3


class _Pictures:
    """What ONNX Runtime asks for the inputs of the next picture."""

    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def write_int8(file: Path, to: Path, inputs: Iterator[Inputs]) -> Layers:
    """Write a model in 8 bits; returns which of its layers are so, and which stayed in float.

    Args:
        file: ONNX file in float.
        to: File to write, in a folder that is there; other files lie beside it meanwhile.
        inputs: What goes into the file in use, by its inputs' names: ranges are taken from these.

    Raises:
        OnnxError: A package is missing.
    """
    try:
        onnx = importlib.import_module("onnx")
        runtime = importlib.import_module("onnxruntime")
        tools = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise OnnxError(
            f"expected the packages onnx and onnxruntime for an int8 file, got none ({error}); "
            f"{INSTALL}"
        ) from error
    with tempfile.TemporaryDirectory(dir=to.parent) as folder, _quiet(runtime):
        fused = Path(folder) / "fused.onnx"
        tools.quant_pre_process(str(file), str(fused), skip_symbolic_shape=True)
        graph = onnx.load_model(str(fused)).graph
        layers = layers_of(graph)
        kinds = {node.name: node.op_type for node in graph.node}
        chosen = [*layers.inner, *layers.between]
        tools.quantize_static(
            str(fused),
            str(Path(folder) / "int8.onnx"),
            _Pictures(inputs),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=sorted({kinds[name] for name in chosen}),
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )
        content = (Path(folder) / "int8.onnx").read_bytes()
    write_whole(to, lambda path: path.write_bytes(content))
    return layers


@contextmanager
def _quiet(runtime: Any) -> Iterator[None]:
    """Keep what ONNX Runtime says of its own work from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    runtime.set_default_logger_severity(_ERROR)
    try:
        with np.errstate(invalid="ignore"):  # ranges of what is not quantised may be infinite
            yield
    finally:
        runtime.set_default_logger_severity(_WARNING)
        logging.disable(before)
