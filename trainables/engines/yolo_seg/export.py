"""Export of a trained model in forms that other programs read."""

from pathlib import Path
from typing import Any, Final

import torch
import yaml
from torch import Tensor, nn

from trainables.contract import ExportForm
from trainables.engines.yolo_seg.checkpoint import SavedYolo, read_model
from trainables.engines.yolo_seg.framework import VERSION
from trainables.engines.yolo_seg.inference import LOWEST_CONFIDENCE
from trainables.engines.yolo_seg.params import native_config
from trainables.engines.yolo_seg.predictor import build_network, stride_of
from trainables.files.whole import write_whole
from trainables.graphs.suppression import strongest_instances, taken
from trainables.graphs.write import Graph, sha256_of, write_graph
from trainables.onnx.manifest import INPUT, Detections, Letterbox, Manifest
from trainables.trials.layout import MODEL_FILE

NATIVE_MODEL, NATIVE_CONFIG = "best.pt", "best.yaml"

_LEAST_PLACES: Final = 1000
"""Places for instances in the outputs, where training's own limit is no higher."""

_MEANING: Final = {
    INPUT: "uint8 [batch, 3, height, width], RGB, 0 to 255: pictures brought to the size by the "
    "rule of segtune.size",
    "location": "float32 [batch, N, 4], x1 y1 x2 y2 in pixels of the input; 0 where unused",
    "score": "float32 [batch, N], in 0 to 1, not increasing; 0 where unused",
    "category": "int64 [batch, N], number of the class, the first one of segtune.classes is 1; 0 "
    "where unused",
    "coefficient": "float32 [batch, N, K], weights of the prototypes in an instance's mask",
    "prototype": "float32 [batch, K, height/4, width/4]: an instance's mask is where the weighted "
    "sum of the prototypes, interpolated bilinearly at a pixel's centre, is above 0 in its box",
}


def export_model(model: Path, to: Path, form: ExportForm) -> Path:
    """Write a trained model in another form below a folder.

    `native` is what `ultralytics.YOLO(file)` opens, and beside it the hyperparameters for
    `yolo train cfg=best.yaml`. `onnx` is a file as `trainables.onnx` reads it.

    Returns:
        Path of the model's file.

    Raises:
        InfeasibleParams: There is no model of this engine.
        OnnxError: A package that ONNX needs is missing.
    """
    saved = read_model(model)
    to.mkdir(parents=True, exist_ok=True)
    if form is ExportForm.NATIVE:
        return _export_native(saved, to)
    return _export_onnx(saved, model / MODEL_FILE if model.is_dir() else model, to)


def _export_native(saved: SavedYolo, to: Path) -> Path:
    config = native_config(saved.params)
    write_whole(
        to / NATIVE_CONFIG, lambda path: path.write_text(yaml.safe_dump(config, sort_keys=False))
    )
    return write_whole(to / NATIVE_MODEL, lambda path: _write_native(saved, config, path))


def _write_native(saved: SavedYolo, config: dict[str, Any], path: Path) -> None:
    net = build_network(saved)
    net.args = config
    net.task = "segment"
    content = {
        "epoch": -1,
        "model": net,
        "train_args": config,
        "version": VERSION,
        "license": "AGPL-3.0 (https://ultralytics.com/license)",
    }
    torch.save(content, path)


class _FindingGraph(nn.Module):
    """A network with everything from grey levels to instances.

    Args:
        network: The -seg network.
        n_classes: Number of its classes.
        finds: What its outputs are to hold.
    """

    def __init__(self, network: Any, n_classes: int, finds: Detections) -> None:
        super().__init__()
        network.model[-1].dynamic = True  # places of its cells are computed for each size
        self.network = network
        self.n_classes = n_classes
        self.n = finds.n
        self.limits = (finds.iou, finds.lowest_confidence)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Find instances; inputs and outputs as `_MEANING` says."""
        output = self.network(image.float() / 255)
        found, prototypes = output[0] if isinstance(output[0], tuple) else output[:2]
        n_weights = found.shape[1] - 4 - self.n_classes
        boxes, scores, weights = found.transpose(1, 2).split((4, self.n_classes, n_weights), dim=2)
        half = boxes[..., 2:] / 2
        corners = torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=2)
        location, score, category, place = strongest_instances(corners, scores, self.n, self.limits)
        return location, score, category, taken(weights, place, score), prototypes


def _export_onnx(saved: SavedYolo, model: Path, to: Path) -> Path:
    network = build_network(saved)
    stride = stride_of(network)
    finds = Detections(
        n=max(saved.max_det, _LEAST_PLACES),
        max_det=saved.max_det,
        lowest_confidence=LOWEST_CONFIDENCE,
        iou=saved.iou,
    )
    manifest = Manifest(
        engine=saved.engine,
        origin=f"a file, epoch {saved.epoch}",
        weights_sha256=sha256_of(model),
        classes=tuple(saved.classes),
        confidence=saved.confidence,
        params=dict(saved.params),
        normalisation="none outside: the file divides by 255 itself",
        size=Letterbox(longer_px=saved.imgsz, multiple_px=stride),
        finds=finds,
        outputs=_MEANING,
    )
    graph = Graph(
        _FindingGraph(network, len(saved.classes), finds),
        {INPUT: torch.zeros(2, 3, 2 * stride, 3 * stride, dtype=torch.uint8)},
        [name for name in _MEANING if name != INPUT],
        {INPUT: {0: "batch", 2: "height", 3: "width"}},
        {},
    )
    return write_graph(graph, manifest, to)
