"""An ONNX file opened with ONNX Runtime."""

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trainables.contract import Device
from trainables.onnx.manifest import INPUT, INSTALL, LEVELS, Manifest, OnnxError, read_manifest

log = logging.getLogger(__name__)

_QUIET: Final = 3  # ONNX Runtime tells of errors alone, not of what it makes of a graph

_SLEEPING_THREADS: Final = ("session.intra_op.allow_spinning", "0")
"""Between two layers threads sleep until there is work: spinning, which is the default, took half
as much again on cores that others wanted too."""

Array = npt.NDArray[Any]


class Session:
    """A file's network, ready to run.

    Attributes:
        path: The file.
        manifest: What it says of itself.
    """

    def __init__(self, path: Path, device: Device) -> None:
        """Open the file.

        Raises:
            OnnxError: ONNX Runtime is missing or cannot read the file, or it is not segtune's.
        """
        self.path = path
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = device.cpus
        options.inter_op_num_threads = 1
        options.add_session_config_entry(*_SLEEPING_THREADS)
        options.log_severity_level = _QUIET
        self._session = _opened(runtime, path, options, _providers(runtime, device))
        self.manifest = _manifest(self._session, path)

    def run(self, outputs: Sequence[str], image: Array, **others: Array) -> list[Array]:
        """Compute outputs of a batch.

        Args:
            outputs: Names of the outputs.
            image: (B, 3, H, W) uint8 RGB.
            others: Other inputs by name.
        """
        given = {INPUT: np.ascontiguousarray(image), **others}
        found: list[Array] = self._session.run(list(outputs), given)
        return found


def manifest_of(path: Path) -> Manifest:
    """What a file says of itself.

    Raises:
        OnnxError: As for `Session`.
    """
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = _QUIET
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _manifest(_opened(runtime, path, options, ["CPUExecutionProvider"]), path)


def _runtime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise OnnxError(
            f"expected the package onnxruntime to use an ONNX file, got none ({error}); {INSTALL}"
        ) from error


def _opened(runtime: Any, path: Path, options: Any, providers: Sequence[str]) -> Any:
    try:
        return runtime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # its own classes of errors derive from nothing narrower
        said = " ".join(str(error).split())
        raise OnnxError(
            f"{path}: expected an ONNX file, got one that ONNX Runtime cannot read (it is damaged, "
            f"cut off, or of another kind): {said[:200]}; export the study again"
        ) from error


def _manifest(session: Any, path: Path) -> Manifest:
    manifest = read_manifest(session.get_modelmeta().custom_metadata_map, str(path))
    names = {node.name for node in (*session.get_inputs(), *session.get_outputs())}
    missing = sorted({name for name in manifest.outputs if name != LEVELS} - names)
    if missing:
        raise OnnxError(
            f"{path}: expected the inputs and outputs that its metadata name, got none called "
            f"{', '.join(missing)}; export the study again"
        )
    return manifest


def _providers(runtime: Any, device: Device) -> list[str]:
    if device.name == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    log.warning("the ONNX file runs on the CPU: this onnxruntime has no CUDA (onnxruntime-gpu has)")
    return ["CPUExecutionProvider"]
