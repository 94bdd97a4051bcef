"""A network written as an ONNX file that says what its outputs mean."""

import hashlib
import importlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from trainables.files.whole import write_whole
from trainables.graphs.norms import use_exact_norms
from trainables.graphs.pooling import pooling_translation
from trainables.graphs.scaling import PICTURE, SIDES, Scaling
from trainables.graphs.suppression import suppression_translation
from trainables.onnx.manifest import INSTALL, MODEL_ONNX, Manifest, OnnxError
from trainables.onnx.stamping import stamp

OPSET: Final = 18


@dataclass(frozen=True)
class Graph:
    """A network to be written.

    Attributes:
        network: Maps the inputs to the outputs.
        inputs: Example of each input by its name; sizes that may vary differ from each other.
        outputs: Names of the outputs, in order.
        free: Names of the axes that may have any size, by input and axis.
        defaults: Values of inputs that may be left out.
        before: What makes the network's inputs of a picture; None where they are the picture.
    """

    network: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    free: Mapping[str, Mapping[int, str]]
    defaults: Mapping[str, npt.NDArray[Any]]
    before: Scaling | None = None


def write_graph(graph: Graph, manifest: Manifest, to: Path) -> Path:
    """Write a network and what it says of itself below a folder; returns the file.

    The network's group norms are replaced by exact ones.

    Raises:
        OnnxError: A package is missing.
    """
    table = translations()
    use_exact_norms(graph.network)
    shapes = {
        name: dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for name, axes in graph.free.items()
    }
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.network.eval(),
            tuple(graph.inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=tuple(shapes.get(name) for name in graph.inputs),
            custom_translation_table=dict(table),
            verbose=False,
        )
    assert program is not None
    proto: Any = program.model_proto
    _name_axes(proto, graph.free)
    _add_defaults(proto, graph.defaults)
    _forget_code(proto)
    if graph.before is not None:
        proto = _joined(graph.before, proto)
    stamp(proto, manifest)
    to.mkdir(parents=True, exist_ok=True)
    return write_whole(to / MODEL_ONNX, lambda path: path.write_bytes(proto.SerializeToString()))


def translations() -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """Operators of ONNX for the steps of this folder, as `torch.onnx.export` takes them.

    Raises:
        OnnxError: The package onnxscript is missing.
    """
    try:
        op: Any = importlib.import_module("onnxscript").opset18
    except ImportError as error:
        raise OnnxError(
            f"expected the packages onnx and onnxscript to export to ONNX, got none ({error}); "
            f"{INSTALL}"
        ) from error
    return {**suppression_translation(op), **pooling_translation(op)}


def sha256_of(model: Path) -> str:
    """SHA-256 of a model's file."""
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own work from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _forget_code(proto: Any) -> None:
    """Take out what the exporter notes of the code behind each node, this machine's paths in it."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def _joined(before: Scaling, network: Any) -> Any:
    """One model of both: the first part's outputs are the network's inputs."""
    compose = importlib.import_module("onnx.compose")
    model = before.model(OPSET, network.ir_version)
    first = compose.add_prefix(model, "scaling.", rename_inputs=False, rename_outputs=False)
    names = [(name, name) for name in (PICTURE, SIDES)]
    both = compose.merge_models(first, network, io_map=names)
    versions = {opset.domain: opset for opset in both.opset_import}  # each part brings its own
    del both.opset_import[:]
    both.opset_import.extend(versions.values())
    return both


def _name_axes(proto: Any, free: Mapping[str, Mapping[int, str]]) -> None:
    """Give the axes that may have any size their names, in place of the exporter's."""
    names = {}
    for node in proto.graph.input:
        for axis, name in free.get(node.name, {}).items():
            names[node.type.tensor_type.shape.dim[axis].dim_param] = name
    nodes = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    for dim in (dim for node in nodes for dim in node.type.tensor_type.shape.dim):
        if dim.dim_param:
            dim.dim_param = re.sub(r"\w+", lambda m: names.get(m[0], m[0]), dim.dim_param)


def _add_defaults(proto: Any, defaults: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give inputs the values that they have where a caller leaves them out."""
    numpy_helper = importlib.import_module("onnx.numpy_helper")
    for name, value in defaults.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
