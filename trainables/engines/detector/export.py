"""Export of a trained model in forms that other programs read."""

from pathlib import Path
from typing import Any, Final

import torch
import yaml

from trainables.contract import ExportForm
from trainables.engines.detector.checkpoint import SavedDetector, read_model
from trainables.engines.detector.network.build import reporter
from trainables.engines.detector.network.graph import FindingGraph
from trainables.engines.detector.params import DetectorParams, native_config
from trainables.engines.detector.predictor import build_saved
from trainables.files.whole import write_whole
from trainables.graphs.scaling import PICTURE, SIDES, Scaling
from trainables.graphs.write import Graph, sha256_of, write_graph
from trainables.onnx.manifest import INPUT, Detections, Manifest, Whole
from trainables.trials.layout import MODEL_FILE

NATIVE_MODEL, NATIVE_CONFIG = "best.pth", "best.yaml"

_MEANING: Final = {
    INPUT: "uint8 [batch, 3, height, width], RGB, 0 to 255: pictures of any size as they are; the "
    "file scales them itself",
    "location": "float32 [batch, N, 4], x1 y1 x2 y2 in pixels of the input; 0 where unused",
    "score": "float32 [batch, N], in 0 to 1, not increasing; 0 where unused",
    "category": "int64 [batch, N], number of the class, the first one of segtune.classes is 1; 0 "
    "where unused",
}

_TRACED: Final = (264, 392)
"""Height and width of a trace, of which no level's map has a side of 1 or two equal sides."""


def export_model(model: Path, to: Path, form: ExportForm) -> Path:
    """Write a trained model in another form below a folder.

    `native` is a state dict, `best.pth`, beside a description of the network that it is of,
    `best.yaml`: torchvision's name, the number of outputs, the norms in it, its anchors, and which
    weights these are. `onnx` is a file as `trainables.onnx` reads it.

    Returns:
        Path of the model's file.

    Raises:
        InfeasibleParams: There is no model of this engine.
        OnnxError: A package that ONNX needs is missing.
    """
    saved = read_model(model)
    if form is ExportForm.ONNX:
        return _export_onnx(saved, model / MODEL_FILE if model.is_dir() else model, to)
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


def _export_onnx(saved: SavedDetector, model: Path, to: Path) -> Path:
    params = DetectorParams.as_saved(saved.params)
    network: Any = build_saved(saved)
    transform = network.transform
    fixed = transform.fixed_size
    manifest = Manifest(
        engine=saved.engine,
        origin=f"a file, epoch {saved.epoch}",
        weights_sha256=sha256_of(model),
        classes=tuple(saved.classes),
        confidence=saved.confidence,
        params=dict(saved.params),
        normalisation="none outside: the file scales, takes a mean and divides by a deviation",
        size=Whole(),
        finds=Detections(
            n=params.max_det,
            max_det=params.max_det,
            lowest_confidence=params.score_thresh,
            iou=float(reporter(network).nms_thresh),
            masks="none",
        ),
        outputs=_MEANING,
    )
    height, width = _TRACED if fixed is None else (fixed[1], fixed[0])
    free = {0: "batch"} if fixed is not None else {0: "batch", 2: "rows", 3: "columns"}
    graph = Graph(
        FindingGraph(network, params.architecture.family, params.max_det),
        {PICTURE: torch.zeros(2, 3, height, width), SIDES: torch.ones(4)},
        [name for name in _MEANING if name != INPUT],
        {PICTURE: free},
        {},
        before=Scaling(
            shorter_px=transform.min_size[-1],
            longest_px=transform.max_size,
            fixed=None if fixed is None else (height, width),
            mean=transform.image_mean,
            deviation=transform.image_std,
        ),
    )
    return write_graph(graph, manifest, to)
