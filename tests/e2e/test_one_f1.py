"""One model, one part, one F1: in study, model card and `evaluate`, in batches of any size."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import yaml

from analysis.evaluation.plan import Wishes
from analysis.evaluation.run import evaluate_model
from analysis.models.find import find_model, load_model
from tests.golden.make import ALONE, YOLO_NETWORK
from tests.support.command_line import segtune
from trainables.contract import Device
from trainables.datasets.prepared import PreparedDataset
from tune.best.file import load_best

pytestmark = [pytest.mark.slow, pytest.mark.ray]

SHORT: Final[Mapping[str, Mapping[str, Any]]] = {
    "yolo_seg": {
        "budget": {"trials": 1, "epochs": 60},
        "search_space": {"lr0": {"choice": [0.01]}},
        "fixed": {
            "model": "tiny-seg.yaml",
            "imgsz": 96,
            "batch": 4,
            "nbs": 4,
            "optimizer": "AdamW",
            "warmup_epochs": 0,
            "mosaic": 0.0,
            "close_mosaic": 0,
        },
    },
    "mask_rcnn": {
        "budget": {"trials": 1, "epochs": 14},
        "search_space": {"base_lr": {"choice": [0.001]}},
        "fixed": {
            "backbone": "r18",
            "weights": "none",
            "min_size": 160,
            "max_size": 160,
            "fpn_channels": 32,
            "box_head_dim": 32,
            "mask_head_dim": 16,
            "mask_head_convs": 1,
            "proposals": 60,
            "max_det": 40,
            "anchor_px": 8.0,
            "ims_per_batch": 1,
            "batch_size_per_image": 32,
            "optimizer": "AdamW",
            "warmup_iters": 0,
        },
    },
    "unet_selftraining": {
        "budget": {"trials": 1, "epochs": 12},
        "search_space": {"learning_rate": {"choice": [0.01]}},
        "fixed": {
            "depth": 2,
            "width": 8,
            "tile_px": 64,
            "tiles": 48,
            "batch_size": 4,
            "rounds": 1,
            "ema_decay": 0.9,
        },
    },
}


FRAMEWORKS: Final = {
    "yolo_seg": "ultralytics",
    "mask_rcnn": "detectron2",
    "unet_selftraining": "torch",
}


@dataclass(frozen=True)
class Trained:
    """A study of one short trial that has ended, and its export.

    Attributes:
        folder: Where data, study and export lie.
        f1: Name of the F1 that the engine is measured by.
    """

    folder: Path
    f1: str

    @property
    def study(self) -> Path:
        """Folder of the study."""
        return self.folder / "studies" / "short"

    @property
    def best_epoch(self) -> dict[str, float]:
        """Metrics of the best epoch, as the study wrote them down."""
        lines = (self.study / "trials" / "0" / "metrics.jsonl").read_text().splitlines()
        epochs: list[dict[str, float]] = [json.loads(line) for line in lines]
        return max(epochs, key=lambda epoch: epoch[self.f1])

    def evaluated(self, model: Path, to: str, **wishes: Any) -> dict[str, float | None]:
        """Metrics of the validation part by `evaluate`."""
        asked = Wishes(split="val", overlays=0, **wishes)
        result = evaluate_model(model, self.folder / "data", self.folder / to, asked)
        return dict(result.metrics)


@pytest.fixture(scope="module", params=sorted(SHORT))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    pytest.importorskip(FRAMEWORKS[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "tiny-seg.yaml").write_text(yaml.safe_dump(dict(YOLO_NETWORK), sort_keys=False))
    study = {**ALONE, "study": "short", "trainable": request.param, **SHORT[request.param]}
    (folder / "short.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    for words in (
        "simulate demo --images 12 --out raw",
        "prepare raw --out data --splits 0.5,0.3,0.2",
        "tune short.yaml",
        "export studies/short",
    ):
        done = segtune(folder, *words.split(), timeout_s=600)
        assert done.returncode == 0, done.stdout + done.stderr
    picks = request.param == "unet_selftraining"
    return Trained(folder, "particle_metrics/F1" if picks else "seg_metrics/F1")


def test_study_card_and_evaluate_have_the_same_f1_in_batches_of_any_size(trained: Trained) -> None:
    known = trained.best_epoch
    f1 = known[trained.f1]
    assert 0.2 < f1 < 1, "neither untrained nor perfect, or this would show nothing"
    f1s = [name for name in known if re.fullmatch(r"\w+_metrics/(F1|precision|recall)", name)]
    f1s = [name for name in f1s if not name.startswith(("train_", "pixel"))]
    for size in (1, 8):
        found = trained.evaluated(trained.study / "best", f"by-{size}", at_once=size)
        assert {name: found[name] for name in f1s} == {name: known[name] for name in f1s}
    exported = load_best(trained.study / "best")
    assert exported.metrics[trained.f1] == f1
    card = (trained.study / "best" / "model_card.md").read_text()
    kind = "picks" if trained.f1.startswith("particle") else "masks"
    assert f"| {kind} F1 | {f1:.4f} |" in card


def test_the_confidence_printed_in_card_and_by_evaluate_loses_no_object(trained: Trained) -> None:
    known = trained.best_epoch
    card = (trained.study / "best" / "model_card.md").read_text()
    (in_row,) = re.findall(r"\| (?:masks|picks) confidence \| ([\d.]+) \|", card)
    (in_words,) = re.findall(r"confidence ([\d.]+) \((?:masks|picks)\)", card)
    asked = ("evaluate", "studies/short", "data", "--split", "val", "--out", "printed")
    done = segtune(trained.folder, *asked)
    printed = re.findall(r"at confidence ([\d.]+)", done.stdout)
    assert in_row == in_words == printed[0]
    given = trained.evaluated(trained.study, "asked", confidence=float(in_row))
    assert given[trained.f1] == known[trained.f1]


def test_the_confidence_lies_between_scores_and_is_none_of_them(trained: Trained) -> None:
    confidence = trained.best_epoch[trained.f1.replace("F1", "confidence")]
    predictor = load_model(find_model(trained.study), Device())
    data = PreparedDataset.load(trained.folder / "data")
    scores = np.concatenate([predictor([data.read(i)])[0].scores for i in data.images("val")])
    assert (scores >= confidence).any()
    assert np.abs(scores.astype(np.float64) - confidence).min() > 4e-7
