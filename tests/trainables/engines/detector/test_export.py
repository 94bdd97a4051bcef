"""A detector leaves as ONNX, and is measured the same where no framework is installed."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra onnx and an engine")

from analysis.evaluation.plan import Wishes
from analysis.evaluation.run import evaluate_model
from tests.support.command_line import segtune
from tests.support.models.onnx_files import without_frameworks
from trainables.contract import Device, ExportForm
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.detector.engine import DetectorEngine
from trainables.onnx.load import load_onnx
from trainables.trials.layout import MODEL_FILE
from trainables.trials.memory import MemoryTrial

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def file(learnt: MemoryTrial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert learnt.checkpoint is not None
    to = tmp_path_factory.mktemp("onnx")
    return DetectorEngine().export(learnt.checkpoint, to, ExportForm.ONNX)


def test_evaluate_without_frameworks_measures_what_the_engine_measures(
    file: Path, learnt: MemoryTrial, discs: PreparedDataset, tmp_path: Path
) -> None:
    assert learnt.checkpoint is not None
    at = load_onnx(file, Device()).confidence  # of other pictures, so neither chooses its own here
    asked = Wishes(split="val", overlays=0, device="cpu", trainable="detector", confidence=at)
    evaluate_model(learnt.checkpoint / MODEL_FILE, discs.root, tmp_path / "by-engine", asked)
    bare = without_frameworks(tmp_path / "hidden")
    options = ("--split", "val", "--out", "by-file", "--overlays", "0", "--device", "cpu")
    words = ("evaluate", str(file), str(discs.root), "--confidence", str(at), *options)
    answer = segtune(tmp_path, *words, PYTHONPATH=bare)
    assert answer.returncode == 0, answer.stderr
    by_engine, by_file = (_metrics_in(tmp_path / name) for name in ("by-engine", "by-file"))
    assert by_file.keys() == by_engine.keys()
    assert by_engine["box_metrics/F1"] > 0.3
    assert by_file == pytest.approx(by_engine, abs=1e-3)


def _metrics_in(folder: Path) -> dict[str, float]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())["metrics"]
    return {name: value for name, value in found.items() if isinstance(value, float)}


def test_pictures_go_in_as_they_are_and_boxes_come_out_in_their_pixels(
    file: Path, discs: PreparedDataset
) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(file))
    (image,) = session.get_inputs()
    assert (image.name, image.type) == ("image", "tensor(uint8)")
    assert image.shape == ["batch", 3, "height", "width"]
    assert [node.name for node in session.get_outputs()] == ["location", "score", "category"]
    record = discs.images("val")[0]
    pixels = discs.read(record)
    (own,) = load_onnx(file, Device())([pixels])
    location, score, category = session.run(None, {"image": pixels.transpose(2, 0, 1)[None]})
    n = len(own)
    np.testing.assert_allclose(location[0, :n], own.boxes, atol=1e-3)
    assert category[0, :n].tolist() == (own.classes + 1).tolist()
    assert (location >= 0).all()
    assert location[..., 2].max() <= record.width
    assert location[..., 3].max() <= record.height
    assert not score[0, n:].any()


@pytest.mark.ray
def test_measure_without_frameworks_has_a_row_of_each_box(
    file: Path, discs: PreparedDataset, tmp_path: Path
) -> None:
    pytest.importorskip("ray.data", reason="needs the extra measure")
    picture = discs.images("val")[0].path
    bare = without_frameworks(tmp_path / "hidden")
    words = ("measure", str(picture), "--model", str(file), "--out", "sizes", "--device", "cpu")
    answer = segtune(tmp_path, *words, PYTHONPATH=bare)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    with (tmp_path / "sizes" / "particles.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert rows
    assert all(float(row["box_width_px"]) > 0 for row in rows)
