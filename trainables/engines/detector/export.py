"""Export of a trained model in forms that other programs read."""

from pathlib import Path

import torch
import yaml

from trainables.contract import ExportForm, InfeasibleParams
from trainables.engines.detector.checkpoint import SavedDetector, read_model
from trainables.engines.detector.params import native_config
from trainables.files.whole import write_whole

NATIVE_MODEL, NATIVE_CONFIG = "best.pth", "best.yaml"


def export_model(model: Path, to: Path, form: ExportForm) -> Path:
    """Write a trained model in another form below a folder.

    `native` is a state dict, `best.pth`, beside a description of the network that it is of,
    `best.yaml`: torchvision's name, the number of outputs, the norms in it, its anchors, and which
    weights these are.

    Returns:
        Path of the model's file.

    Raises:
        InfeasibleParams: There is no model of this engine, or the form is ONNX.
    """
    saved = read_model(model)
    if form is not ExportForm.NATIVE:
        raise InfeasibleParams("expected native as the form of a detector, got onnx")
    to.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(_described(saved), sort_keys=False)
    write_whole(to / NATIVE_CONFIG, lambda path: path.write_text(text))
    return write_whole(to / NATIVE_MODEL, lambda path: torch.save(dict(saved.weights), path))


def _described(saved: SavedDetector) -> dict[str, object]:
    return {
        **native_config(saved.params),
        "classes": list(saved.classes),
        "anchors": None if saved.anchors is None else dict(saved.anchors),
        "weights": saved.source,
        "epoch": saved.epoch,
        "confidence": saved.confidence,
    }
