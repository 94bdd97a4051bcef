"""Every place that shows a study's best trial shows the same figures of the same epoch."""

import csv
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import yaml

from analysis.report.summary import summarise
from tests.golden.make import YOLO_NETWORK
from tests.support.command_line import segtune
from tests.support.discs import prepare_discs
from tests.support.report_pages import Page
from trainables.metrics.confidence import confidence_text
from tune.best.file import load_best
from tune.directory.reader import StudyDir, TrialRecord
from tune.tracking.offline import load_offline_run

pytestmark = [pytest.mark.slow, pytest.mark.ray]

F1, CONFIDENCE = "seg_metrics/F1", "seg_metrics/confidence"

AIM = "measure/diameter_bias"
"""An objective that is best before the last epoch here, where F1 is highest."""


@dataclass(frozen=True)
class Shown:
    """A study whose best epoch is not its last, with what its commands said.

    Attributes:
        study: The study directory.
        said: Output of `segtune tune`.
    """

    study: StudyDir
    said: str

    @property
    def best(self) -> TrialRecord:
        """The best trial."""
        best = summarise(self.study).best
        assert best is not None
        return best

    @property
    def epoch(self) -> Mapping[str, float]:
        """Figures of the best trial's best epoch, as its engine reported them."""
        lines = (self.best.directory / "metrics.jsonl").read_text().splitlines()
        epochs: list[dict[str, float]] = [json.loads(line) for line in lines]
        best = next(line for line in epochs if line["epoch"] == self.best.best_epoch)
        return {name: value for name, value in best.items() if name != "check"}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    pytest.importorskip("ultralytics")
    folder = tmp_path_factory.mktemp("shown")
    discs = prepare_discs(folder / "discs", 140)
    (folder / "tiny-seg.yaml").write_text(yaml.safe_dump(dict(YOLO_NETWORK), sort_keys=False))
    study = {
        "study": "shown",
        "data": str(discs.root),
        "trainable": "yolo_seg",
        "budget": {"trials": 2, "epochs": 3},
        "objective": {"metric": AIM},
        "seed": 0,
        "train_metrics": {"every": 0},
        "search": "grid",
        "search_space": {"lr0": {"choice": [0.03, 0.06]}},
        "warm_start": {"points": []},
        "fixed": {
            "model": "tiny-seg.yaml",
            "imgsz": 96,
            "batch": 1,
            "nbs": 1,
            "optimizer": "AdamW",
            "warmup_epochs": 0,
            "mosaic": 0.0,
            "close_mosaic": 0,
            "lrf": 1.0,
        },
        "scheduler": {"kind": "none"},
        "resources": {"concurrent": 1, "cpus_per_trial": 2},
        "tracking": {"wandb": {"mode": "offline"}},
    }
    (folder / "shown.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    tuned = segtune(folder, "tune", "shown.yaml", timeout_s=600)
    assert tuned.returncode == 0, tuned.stdout + tuned.stderr
    exported = segtune(folder, "export", "studies/shown")
    assert exported.returncode == 0, exported.stderr
    return Shown(StudyDir.open(folder / "studies" / "shown"), tuned.stdout)


def test_the_best_epoch_is_not_the_last(shown: Shown) -> None:
    """Or what shows the last epoch in its place would show the same."""
    best = shown.best
    assert best.best_epoch == 2
    assert len(best.metrics) == 3
    for name in (AIM, F1, CONFIDENCE):
        assert len({line[name] for line in best.metrics}) == 3
    assert shown.epoch[F1] > 0
    assert shown.epoch[AIM] == best.objective == min(line[AIM] for line in best.metrics)


def test_terminal_and_status_show_it(shown: Shown) -> None:
    best, value = shown.best, f"{shown.epoch[AIM]:.3f}"
    ended = f"trial {best.number} ended: trained to its end at epoch 3; best {value} at epoch 2"
    assert ended in shown.said
    assert f"best {AIM} {value} (trial {best.number}, epoch 2)" in shown.said
    status = segtune(shown.study.path, "status", str(shown.study.path)).stdout
    assert f"(trial {best.number}, epoch 2)" in status
    (row,) = re.findall(rf"^ +{best.number} +3/3 .*$", status, re.MULTILINE)
    assert row.split()[2:5] == [f"{best.metrics[-1][AIM]:.3f}", value, "2"]


def test_leaderboard_and_report_show_it(shown: Shown) -> None:
    best, folder = shown.best, shown.study.path
    row = next(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    assert (row["trial"], row["best_epoch"]) == (str(best.number), "2")
    figures = {name: value for name, value in shown.epoch.items() if name in row}
    assert figures.keys() >= {AIM, F1, CONFIDENCE, "box_metrics/map50_95"}
    assert {name: float(row[name]) for name in figures} == figures
    report = json.loads((folder / "report.json").read_text())["best"]
    assert (report["trial"], report["best_epoch"]) == (best.number, 2)
    assert report["objective"] == shown.epoch[AIM]
    assert float(row["seconds"]) == report["seconds"] == best.seconds
    value = f"{shown.epoch[AIM]:.4f}"
    assert f"**{value}** at epoch 2" in (folder / "report.md").read_text()
    words = " ".join(Page(folder / "report.html").words.split())
    last = f"{best.metrics[-1][AIM]:.4f}"
    tile = f"{value}best diameter bias, trial {best.number} at epoch 2 (at its last epoch {last})"
    assert tile in words
    places = re.findall(r"Trial (\d+), epoch (\d+), validation part, (\w+) F1", words)
    assert places == [(str(best.number), "2", p) for p in ("best", "median", "worst")]


def test_model_and_card_show_it(shown: Shown) -> None:
    torch = pytest.importorskip("torch")
    config = load_best(shown.study.path / "best")
    assert (config.objective.epoch, config.objective.value) == (2, shown.epoch[AIM])
    assert config.confidences["seg_metrics"] == shown.epoch[CONFIDENCE]
    assert config.metrics.items() >= {F1: shown.epoch[F1]}.items()
    card = (shown.study.path / "best" / "model_card.md").read_text()
    assert f"| masks F1 | {shown.epoch[F1]:.4f} |" in card
    assert f"| masks confidence | {confidence_text(shown.epoch[CONFIDENCE])} |" in card
    assert "The weights are those of epoch 2 of a training" in card
    model = shown.best.best_model
    assert model is not None
    saved = torch.load(model, weights_only=True)
    assert (saved["epoch"], saved["confidence"]) == (2, shown.epoch[CONFIDENCE])


def test_artifacts_show_it(shown: Shown) -> None:
    artifacts = shown.best.artifacts
    assert artifacts is not None
    rows = list(csv.DictReader((artifacts / "classes.csv").read_text().splitlines()))
    assert {row["epoch"] for row in rows} == {"2"}
    masks = [row for row in rows if row["group"] == "seg_metrics"]
    precision, recall = (math.fsum(float(r[k]) for r in masks) / 2 for k in ("precision", "recall"))
    assert precision == pytest.approx(shown.epoch["seg_metrics/precision"])
    assert recall == pytest.approx(shown.epoch["seg_metrics/recall"])
    assert {path.name.split("-")[2] for path in artifacts.glob("finds-epoch-*")} == {"2"}


def test_wandb_shows_it(shown: Shown) -> None:
    (folder,) = (shown.best.directory / "wandb").iterdir()
    run = load_offline_run(folder)
    figures = {f"best/{name}": v for name, v in shown.epoch.items() if name != "elapsed_s"}
    assert run.summary.items() >= figures.items()
    assert run.summary["seconds"] == shown.best.seconds
    assert run.summary[AIM] == {"min": shown.epoch[AIM]}
    assert F1 not in run.summary, "that of the last epoch"
    finds = {key for key in run.summary if key.startswith("best/finds/")}
    assert finds == {f"best/finds/{place}" for place in ("best", "median", "worst")}
