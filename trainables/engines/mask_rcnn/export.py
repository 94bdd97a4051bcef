"""Export of a trained model in forms that other programs read."""

from pathlib import Path

import torch

from trainables.contract import ExportForm, InfeasibleParams
from trainables.engines.mask_rcnn.checkpoint import SavedMaskRcnn, read_model
from trainables.engines.mask_rcnn.network.config import read_config
from trainables.files.whole import write_whole


def export_model(model: Path, to: Path, form: ExportForm) -> Path:
    """Write a trained model in another form below a folder.

    `native` is what Detectron2's `DefaultPredictor` opens: `best.pth` beside `best.yaml`; of a
    combo, `best_r50.pth` and so on. `MODEL.WEIGHTS` is the former's name alone, so that the folder
    can be moved: Detectron2 looks for it in the working directory. A comment in the YAML says so,
    and names the classes. The weights bring their configuration along, too.

    Returns:
        Path of the (first) model's file.

    Raises:
        InfeasibleParams: There is no model of this engine, or the form is ONNX.
    """
    saved = read_model(model)
    if form is not ExportForm.NATIVE:
        raise InfeasibleParams(
            "expected native as the form of a mask_rcnn model, got onnx: Detectron2 exports to "
            "ONNX with Caffe2's operators only, which no longer exist"
        )
    to.mkdir(parents=True, exist_ok=True)
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
