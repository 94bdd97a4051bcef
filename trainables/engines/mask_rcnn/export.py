"""Export of a trained model in forms that other programs read."""

import shutil
from pathlib import Path
from typing import Final

import torch

from trainables.contract import ExportForm, InfeasibleParams
from trainables.engines.mask_rcnn.checkpoint import SavedMaskRcnn, read_model
from trainables.engines.mask_rcnn.network.config import read_config
from trainables.engines.mask_rcnn.network.graph import FindingGraph
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.predictor import build_network
from trainables.files.whole import write_whole
from trainables.graphs.write import Graph, sha256_of, write_graph
from trainables.onnx.manifest import INPUT, Detections, Manifest, ShortestEdge
from trainables.trials.layout import MODEL_FILE

NATIVE_TRAINER: Final = "train.py"

_MEANING: Final = {
    INPUT: "uint8 [batch, 3, height, width], RGB, 0 to 255: pictures brought to the size by the "
    "rule of segtune.size",
    "location": "float32 [batch, N, 4], x1 y1 x2 y2 in pixels of the input; 0 where unused",
    "score": "float32 [batch, N], in 0 to 1, not increasing; 0 where unused",
    "category": "int64 [batch, N], number of the class, the first one of segtune.classes is 1; 0 "
    "where unused",
    "mask": "float32 [batch, N, M, M], in 0 to 1: probability that a place in an instance's box is "
    "its own; its mask is where that, interpolated bilinearly, is 0.5 or more",
}


def export_model(model: Path, to: Path, form: ExportForm) -> Path:
    """Write a trained model in another form below a folder.

    `native` is what Detectron2's `DefaultPredictor` opens: `best.pth` beside `best.yaml`; of a
    combo, `best_r50.pth` and so on. `MODEL.WEIGHTS` is the former's name alone, so that the folder
    can be moved: Detectron2 looks for it in the working directory. A comment in the YAML says so,
    and names the classes. The weights bring their configuration along, too. `train.py` trains with
    Detectron2 alone, which has no command line of its own in its package. `onnx` is a file as
    `trainables.onnx` reads it.

    Returns:
        Path of the (first) model's file.

    Raises:
        InfeasibleParams: There is no model of this engine, or ONNX is to hold a combo.
        OnnxError: A package that ONNX needs is missing.
    """
    saved = read_model(model)
    if form is ExportForm.ONNX:
        return _export_onnx(saved, model / MODEL_FILE if model.is_dir() else model, to)
    to.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("standalone") / NATIVE_TRAINER
    write_whole(to / NATIVE_TRAINER, lambda path: shutil.copyfile(source, path))
    several = len(saved.weights) > 1
    files = [
        _export(saved, name, to, f"best_{name}" if several else "best") for name in saved.weights
    ]
    return files[0]


def _export(saved: SavedMaskRcnn, backbone: str, to: Path, stem: str) -> Path:
    file = to / f"{stem}.pth"
    cfg = read_config(saved.configs[backbone])
    cfg.MODEL.WEIGHTS = file.name
    text = cfg.dump()
    header = (
        f"# Classes in order: {', '.join(saved.classes)}\n"
        f"# Use it in this folder, or set MODEL.WEIGHTS to the path of {file.name}\n"
    )
    write_whole(to / f"{stem}.yaml", lambda path: path.write_text(header + text))
    content = {"model": dict(saved.weights[backbone]), "config": text}
    return write_whole(file, lambda path: torch.save(content, path))


def _export_onnx(saved: SavedMaskRcnn, model: Path, to: Path) -> Path:
    if len(saved.weights) > 1:
        raise InfeasibleParams(
            f"expected one network for ONNX, got {' and '.join(saved.weights)}, whose finds are "
            "fused outside of both; train one backbone, or export as native"
        )
    (backbone,) = saved.weights
    params = MaskRcnnParams.as_saved(saved.params)
    network = build_network(saved, backbone)
    manifest = Manifest(
        engine=saved.engine,
        origin=f"a file, epoch {saved.epoch}",
        weights_sha256=sha256_of(model),
        classes=tuple(saved.classes),
        confidence=saved.confidence,
        params=dict(saved.params),
        normalisation="none outside: the file takes a mean and divides by a deviation",
        size=ShortestEdge(shorter_px=params.min_size, longest_px=params.max_size),
        finds=Detections(
            n=params.max_det,
            max_det=params.max_det,
            lowest_confidence=params.score_thresh,
            iou=float(network.roi_heads.box_predictor.test_nms_thresh),
            masks="in_boxes",
        ),
        outputs=_MEANING,
    )
    graph = Graph(
        FindingGraph(network, params.max_det),
        {INPUT: torch.zeros(2, 3, 72, 104, dtype=torch.uint8)},
        [name for name in _MEANING if name != INPUT],
        {INPUT: {0: "batch", 2: "height", 3: "width"}},
        {},
    )
    return write_graph(graph, manifest, to)
