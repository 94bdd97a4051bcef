"""Metadata written into ONNX files; it alone of this folder needs the package onnx."""

import importlib
from pathlib import Path
from typing import Any

from trainables.files.whole import write_whole
from trainables.onnx.manifest import INSTALL, PREFIX, Manifest, OnnxError


def stamp(proto: Any, manifest: Manifest) -> None:
    """Put what a model says of itself into it, in place of what it said before.

    Args:
        proto: The model, an `onnx.ModelProto`.
        manifest: What it says.
    """
    others = {p.key: p.value for p in proto.metadata_props if not p.key.startswith(PREFIX)}
    del proto.metadata_props[:]
    for key, value in (others | manifest.properties()).items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name = "segtune"
    proto.producer_version = manifest.segtune
    proto.doc_string = f"{manifest.engine}: {manifest.origin}"


def stamp_file(path: Path, manifest: Manifest) -> None:
    """As `stamp`, for a file.

    Raises:
        OnnxError: The package onnx is missing.
    """
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise OnnxError(
            f"expected the package onnx to write an ONNX file, got none ({error}); {INSTALL}"
        ) from error
    proto = onnx.load_model(str(path))
    stamp(proto, manifest)
    write_whole(path, lambda new: new.write_bytes(proto.SerializeToString()))
