"""Models measured on data sets of boxes: what needs masks is left out, and nothing breaks."""

import csv
import json
from pathlib import Path

import pytest

from analysis.evaluation.particles.result import ParticleResult
from analysis.evaluation.plan import Wishes
from analysis.evaluation.result import EvaluationResult
from analysis.evaluation.run import evaluate_model
from tests.support.discs import prepare_discs
from tests.support.places import ORACLES
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that need not learn."""
    monkeypatch.syspath_prepend(ORACLES)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def boxes(discs: PreparedDataset) -> PreparedDataset:
    """The discs as boxes without masks."""
    options = PrepareOptions(group=r"p(\d+)", splits=(0.6, 0.35, 0.05), boxes=True)
    return prepare(discs.root.parent / "raw", discs.root.parent / "boxes", options).data


def test_a_model_of_masks_is_measured_by_its_boxes_alone(
    discs: PreparedDataset, boxes: PreparedDataset, tmp_path: Path
) -> None:
    model = tmp_path / "model.pt"
    model.write_text(json.dumps({"data": str(discs.root), "blind": 3}))
    asked = Wishes(split="val", trainable="oracle", overlays=1)
    found = evaluate_model(model, boxes.root, tmp_path / "out", asked)
    assert isinstance(found, EvaluationResult)
    assert list(found.evaluations) == list(found.coco) == ["box_metrics"]
    assert found.measurement == {}
    assert found.metrics["box_metrics/precision"] == 1.0
    recall = found.metrics["box_metrics/recall"]
    assert recall is not None
    assert 0.6 < recall < 0.9
    assert found.metrics["box_coco/ARmax"] == pytest.approx(recall, abs=0.1)
    with (tmp_path / "out" / "metrics.csv").open() as file:
        groups = {row["metric"].partition("/")[0] for row in csv.DictReader(file)}
    assert groups == {"box_metrics", "box_coco"}
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "Measurement error" not in page
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 2


def test_a_picker_is_measured_by_the_middles_of_boxes_and_not_by_pixels(
    boxes: PreparedDataset, tmp_path: Path
) -> None:
    model = tmp_path / "model.pt"
    model.write_text(json.dumps({"data": str(boxes.root)}))
    asked = Wishes(split="val", trainable="picking_oracle", overlays=1)
    found = evaluate_model(model, boxes.root, tmp_path / "out", asked)
    assert isinstance(found, ParticleResult)
    assert found.metrics["particle_metrics/F1"] == 1.0
    assert found.pixels == {}
    assert not any(line.startswith("pixels") for line in found.lines())
    assert 'id="pixels"' not in (tmp_path / "out" / "evaluation.html").read_text()
