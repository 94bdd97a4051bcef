"""Trains with Detectron2 alone, from a configuration that segtune exported; needs no segtune.

    python native/train.py --config-file native.yaml --data DATA --epochs 30 [KEY VALUE ...]

DATA is a folder with COCO's `annotations.json` and the pictures it names; where its pictures have a
`split`, those of `train` are trained on. What Detectron2's configurations have no words for is not
in there: AdamW, augmentations, averaged weights. KEY VALUE changes its configuration further.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.engine import DefaultTrainer, default_setup
from detectron2.utils.events import CommonMetricPrinter, JSONWriter

TRAIN = "train"


class Trainer(DefaultTrainer):  # type: ignore[misc]  # Detectron2 is untyped
    """Detectron2's trainer, which writes its losses without TensorBoard."""

    def build_writers(self) -> list[Any]:
        """The terminal, and a JSON line now and then."""
        log = Path(self.cfg.OUTPUT_DIR) / "metrics.json"
        return [CommonMetricPrinter(self.max_iter), JSONWriter(str(log))]


def register(data: Path, out: Path) -> tuple[int, int]:
    """Register the pictures to train on; returns their number and that of the classes."""
    content = json.loads((data / "annotations.json").read_text("utf-8"))
    images = [image for image in content["images"] if image.get("split", TRAIN) == TRAIN]
    ids = {image["id"] for image in images}
    kept = [entry for entry in content["annotations"] if entry["image_id"] in ids]
    file = out / "train.json"
    file.write_text(json.dumps({**content, "images": images, "annotations": kept}), "utf-8")
    DatasetCatalog.register(TRAIN, lambda: load_coco_json(str(file), str(data), TRAIN))
    MetadataCatalog.get(TRAIN).set(evaluator_type="coco")
    return len(images), len(content["categories"])


def configured(arguments: argparse.Namespace) -> Any:
    """Detectron2's configuration of the training."""
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    n_images, n_classes = register(Path(arguments.data), out)
    cfg = get_cfg()
    cfg.merge_from_file(arguments.config_file)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (TRAIN,), ()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = n_classes
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    steps = math.ceil(n_images / cfg.SOLVER.IMS_PER_BATCH)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = arguments.epochs * steps, ()
    cfg.SEED, cfg.OUTPUT_DIR = arguments.seed, str(out)
    cfg.merge_from_list(arguments.opts)
    cfg.freeze()
    return cfg


def main() -> None:
    """Train, and leave `model_final.pth` in the folder of the output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="output")
    parser.add_argument("opts", nargs="*")
    arguments = parser.parse_args()
    cfg = configured(arguments)
    default_setup(cfg, arguments)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()


if __name__ == "__main__":
    main()
