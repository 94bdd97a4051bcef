"""A saved model predicts what was measured, here and in Detectron2."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor
from pycocotools import mask as coco_mask

from trainables.contract import Adjustable, Device, ExportForm, InfeasibleParams, Reporting
from trainables.engines.mask_rcnn.checkpoint import SavedMaskRcnn
from trainables.engines.mask_rcnn.engine import MaskRcnnEngine
from trainables.trials.memory import MemoryTrial


def _model(trial: MemoryTrial) -> Path:
    assert trial.checkpoint is not None
    return trial.checkpoint


@pytest.mark.slow
def test_the_training_finds_something_from_scratch(trained: MemoryTrial) -> None:
    reported = [values["seg_metrics/F1"] for values in trained.reported.values()]
    assert max(reported) > 0.3
    losses = [
        sum(v for k, v in m.items() if k.startswith("train/")) for m in trained.reported.values()
    ]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_a_model_holds_its_classes_and_configuration_as_plain_data(trained: MemoryTrial) -> None:
    saved = torch.load(_model(trained) / "model.pt", weights_only=True)
    assert saved["classes"] == list(trained.data.classes)
    assert saved["params"]["min_size"] == 96
    assert "NUM_CLASSES: 2" in saved["configs"]["r18"]
    predictor = MaskRcnnEngine().load(_model(trained), Device())
    assert predictor.classes == trained.data.classes
    assert predictor.confidence == trained.reported[trained.epochs]["seg_metrics/confidence"]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["weights", "configs"])
def test_a_model_without_its_network_is_refused(
    part: str, trained: MemoryTrial, tmp_path: Path
) -> None:
    saved = torch.load(_model(trained) / "model.pt", weights_only=True)
    torch.save({**saved, part: {}}, tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match=r"expected the weights and .* of .*none"):
        MaskRcnnEngine().load(tmp_path / "model.pt", Device())


@pytest.mark.slow
def test_detectron2s_own_predictor_opens_the_native_folder_and_finds_the_same(
    trained: MemoryTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the folder was moved; the YAML says that it is meant to be used in there."""
    file = MaskRcnnEngine().export(_model(trained), tmp_path / "out", ExportForm.NATIVE)
    assert {path.name for path in file.parent.iterdir()} == {"best.pth", "best.yaml", "train.py"}
    moved = file.parent.rename(tmp_path / "moved")
    monkeypatch.chdir(moved)
    classes, use, *_ = Path("best.yaml").read_text().splitlines()
    assert classes == "# Classes in order: disc, square"
    assert use == "# Use it in this folder, or set MODEL.WEIGHTS to the path of best.pth"
    cfg = get_cfg()
    cfg.merge_from_file("best.yaml")
    theirs = DefaultPredictor(cfg)
    ours = MaskRcnnEngine().load(_model(trained), Device())
    picture = trained.data.read(trained.data.images("val")[0])
    [found] = ours([picture])
    expected = theirs(np.ascontiguousarray(picture[..., ::-1]))["instances"]
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.scores, expected.scores.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected.pred_boxes.tensor.numpy(), atol=1e-3)
    np.testing.assert_array_equal(found.classes, expected.pred_classes.numpy())
    assert found.masks is not None
    for mask, dense in zip(found.masks, expected.pred_masks.numpy(), strict=True):
        assert (coco_mask.decode(dict(mask)).astype(bool) != dense).sum() <= 1


@pytest.mark.slow
def test_a_model_reports_as_many_instances_as_it_is_told_and_says_where_it_met_the_limit(
    trained: MemoryTrial,
) -> None:
    predictor = MaskRcnnEngine().load(_model(trained), Device())
    assert isinstance(predictor, Adjustable)
    image = trained.data.read(trained.data.images("val")[0])
    (whole,) = predictor([image])
    assert len(whole) > 3
    assert not whole.capped
    usual = predictor.reporting
    assert usual.max_det > len(whole)
    predictor.reporting = Reporting(2, usual.confidence)
    (two,) = predictor([image])
    assert two.capped
    np.testing.assert_allclose(two.scores, whole.scores[:2], atol=1e-6)
    floor = float(whole.scores[2])
    predictor.reporting = Reporting(usual.max_det, floor - 1e-4)
    (sure,) = predictor([image])
    assert not sure.capped
    np.testing.assert_allclose(sure.scores, whole.scores[whole.scores >= floor - 1e-4], atol=1e-6)


def test_two_networks_whose_finds_are_fused_do_not_leave_as_onnx(tmp_path: Path) -> None:
    configs = {"r50": "", "r101": ""}
    saved = SavedMaskRcnn({"r50": {}, "r101": {}}, configs, ["a"], 0.5, 1, {"backbone": "combo"})
    torch.save(dict(vars(saved)), tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match="expected one network for ONNX, got r50 and r101"):
        MaskRcnnEngine().export(tmp_path, tmp_path / "onnx", ExportForm.ONNX)
    assert not (tmp_path / "onnx").exists()
