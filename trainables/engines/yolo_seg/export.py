"""Export of a trained model in forms that other programs read."""

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml

from trainables.contract import ExportForm, InfeasibleParams
from trainables.engines.yolo_seg.checkpoint import SavedYolo, read_model
from trainables.engines.yolo_seg.framework import VERSION, YOLO
from trainables.engines.yolo_seg.params import native_config
from trainables.engines.yolo_seg.predictor import build_network
from trainables.files.whole import write_whole

NATIVE_MODEL, NATIVE_CONFIG, ONNX_MODEL = "best.pt", "best.yaml", "best.onnx"


def export_model(model: Path, to: Path, form: ExportForm) -> Path:
    """Write a trained model in another form below a folder.

    `native` is what `ultralytics.YOLO(file)` opens, and beside it the hyperparameters for
    `yolo train cfg=best.yaml`. `onnx` has a fixed square input of the training's size, values 0
    to 1.

    Returns:
        Path of the model's file.

    Raises:
        InfeasibleParams: There is no model of this engine, or the package `onnx` is missing.
    """
    saved = read_model(model)
    to.mkdir(parents=True, exist_ok=True)
    return _export_native(saved, to) if form is ExportForm.NATIVE else _export_onnx(saved, to)


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


def _export_onnx(saved: SavedYolo, to: Path) -> Path:
    if importlib.util.find_spec("onnx") is None:
        raise InfeasibleParams(
            "expected the package onnx to export to ONNX, got none; pip install onnx, or export "
            "as native"
        )
    with tempfile.TemporaryDirectory(dir=to) as folder:
        native = _export_native(saved, Path(folder))
        made = YOLO(native, task="segment").export(
            format="onnx", imgsz=saved.imgsz, simplify=False, device="cpu", verbose=False
        )
        return write_whole(to / ONNX_MODEL, lambda path: shutil.copyfile(made, path))
