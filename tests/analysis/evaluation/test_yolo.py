"""`segtune evaluate` with a YOLO that was trained for two epochs."""

import json
from pathlib import Path

import pytest

from analysis.evaluation.split import evaluate_split
from tests.support.command_line import segtune
from tests.support.discs import prepare_discs
from tests.support.engine_trials import without_artifacts
from tests.trainables.engines.yolo_seg.conftest import QUICK
from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import load_engine
from trainables.trials.memory import MemoryTrial

pytest.importorskip("ultralytics", reason="needs the extra yolo")


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def trial(discs: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> MemoryTrial:
    folder = tmp_path_factory.mktemp("trial")
    trial = MemoryTrial(QUICK, discs, folder, train_metrics=TrainMetrics(every=0))
    with without_artifacts():
        load_engine("yolo_seg").train(trial)
    return trial


@pytest.mark.slow
def test_the_command_measures_a_checkpoint_as_its_training_did(
    trial: MemoryTrial, discs: PreparedDataset, tmp_path: Path
) -> None:
    assert trial.checkpoint is not None
    options = ("--trainable", "yolo_seg", "--split", "val", "--out", "figures", "--device", "cpu")
    place = (str(trial.checkpoint), str(discs.root))
    answer = segtune(tmp_path, "evaluate", *place, *options)
    assert answer.returncode == 0, answer.stderr
    assert "model       yolo_seg, a file, epoch 2" in answer.stdout
    assert "figures/evaluation.html" in answer.stdout
    written = json.loads((tmp_path / "figures" / "metrics.json").read_text())
    reported = trial.reported[2]
    for group in ("seg", "box"):
        ours = written["metrics"][f"{group}_metrics/map50_95"]
        assert written["metrics"][f"{group}_coco/AP"] == pytest.approx(ours, abs=1e-9)
        assert ours == pytest.approx(reported[f"{group}_metrics/map50_95"], abs=0.01)
    measured = evaluate_split(
        load_engine("yolo_seg"), trial.checkpoint, discs, "val", Device(), reported
    )
    assert written["metrics"]["seg_metrics/F1"] == pytest.approx(
        measured["seg_metrics/F1"], abs=1e-6
    )
    assert written["detections"]["most_predicted"] > written["detections"]["most_true"]
    assert len(list((tmp_path / "figures" / "overlays").iterdir())) == len(discs.images("val"))
