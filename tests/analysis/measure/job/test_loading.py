from pathlib import Path

from analysis.measure.job.loading import load_finding_model
from analysis.models.find import TrainedModel
from trainables.contract import Device


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
