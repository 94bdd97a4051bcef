from pathlib import Path

import pytest

from analysis.errors import FindingError
from analysis.finding.models import FindingModel, all_classes
from analysis.measure.job.loading import load_finding_model
from analysis.models.find import TrainedModel
from tests.support.models.seen_particles import BlobFinder
from trainables.contract import Device, Reporting


def trained(tmp_path: Path, **known: object) -> TrainedModel:
    file = tmp_path / "model.pt"
    file.write_text('{"epoch": 1, "classes": ["disc", "square"]}')
    return TrainedModel("simulated", file, "mine", "a file", **known)  # type: ignore[arg-type]


def test_what_a_models_folder_records_is_known_when_it_is_loaded(tmp_path: Path) -> None:
    on_record = {"seg_metrics/confidence": 0.37, "box_metrics/confidence": 0.5}
    model = load_finding_model(trained(tmp_path, metrics=on_record, picture_px=640), Device())
    assert (model.name, model.confidence, model.picture_px) == ("mine", 0.37, 640)
    assert model.limit is None
    assert model.predictor.classes == ("disc", "square")
    told = load_finding_model(trained(tmp_path, picture_px=640), Device(), picture_px=320)
    assert (told.confidence, told.picture_px) == (None, 320)


def test_the_limit_is_what_the_predictor_now_has() -> None:
    blobs = BlobFinder(reporting=Reporting(50, 0.1))
    model = FindingModel(blobs, max_det=300)
    assert model.limit == 50
    blobs.reporting = Reporting(70, 0.1)
    assert model.limit == 70


def test_classes_of_several_models_are_each_there_once() -> None:
    models = [FindingModel(BlobFinder(classes=names)) for names in (("a", "b"), ("c", "a"))]
    assert all_classes(models) == ("a", "b", "c")
    with pytest.raises(FindingError, match="at least one model"):
        all_classes([])
