"""The model of an ONNX file."""

from pathlib import Path

from trainables.contract import Device
from trainables.onnx.finder import OnnxFinder
from trainables.onnx.manifest import Detections, OnnxError, Particles, Tiles
from trainables.onnx.picker import OnnxPicker
from trainables.onnx.session import Session


def load_onnx(path: Path, device: Device) -> OnnxFinder | OnnxPicker:
    """A model that predicts as the engine that trained it, without that engine.

    Args:
        path: File that `segtune export --form onnx` wrote.
        device: Where it is to run.

    Raises:
        OnnxError: ONNX Runtime is missing or cannot read the file, or it is not segtune's.
    """
    session = Session(path, device)
    size, finds = session.manifest.size, session.manifest.finds
    if isinstance(finds, Detections) and not isinstance(size, Tiles):
        return OnnxFinder(session, size, finds)
    if isinstance(finds, Particles) and isinstance(size, Tiles):
        return OnnxPicker(session, size, finds)
    raise OnnxError(
        f"{path}: expected detections of a scaled picture or particles of tiles, got "
        f"{finds.kind} with the rule {size.rule}; update segtune"
    )
