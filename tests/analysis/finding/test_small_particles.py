"""A trained model finds small particles at a scale at which its network is shown them larger."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ultralytics", reason="needs the extra yolo")

from analysis.finding.finder import Finder
from analysis.finding.models import FindingModel
from analysis.finding.settings import read_settings
from benchmarks.finding.small_particles import PARAMS, SPEC, Tally, make_data, measured, train
from tests.support.engine_trials import without_artifacts
from trainables.contract import Device
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import load_engine

EPOCHS = 40


def tally(model: Any, data: PreparedDataset, scales: list[float]) -> Tally:
    known = FindingModel(model, "yolo", model.confidence, data.picture_px)
    return measured(Finder([known], read_settings({"scales": scales})), data)


@pytest.mark.long
def test_a_second_scale_gains_recall_of_small_particles_and_loses_no_precision(
    tmp_path: Path,
) -> None:
    particles = SPEC.classes[0].model_copy(update={"number": (18, 32)})
    smaller = {"images": 30, "width": 256, "height": 256, "classes": (particles,)}
    data = make_data(SPEC.model_copy(update=smaller), tmp_path)
    with without_artifacts():
        path = train(
            data, tmp_path / "trial", {**PARAMS, "imgsz": 128, "batch": 2, "nbs": 2}, EPOCHS, 1
        )
    model = load_engine("yolo_seg").load(path, Device())
    once, twice = tally(model, data, [1.0]), tally(model, data, [1.0, 2.0])
    assert once.recall(20, 70) > 0.6, "the training should have learnt something"
    assert sum(diameter < 12 for diameter in once.diameters) > 30
    assert twice.recall(0, 12) > once.recall(0, 12) + 0.2
    assert twice.recall(20, 70) >= once.recall(20, 70) - 0.02
    assert twice.precision > once.precision - 0.05
