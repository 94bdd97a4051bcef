"""A saved model predicts what was measured, here and in Detectron2, and starts another one."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from detectron2 import model_zoo  # noqa: E402
from detectron2.config import get_cfg  # noqa: E402
from detectron2.engine import DefaultPredictor  # noqa: E402
from pycocotools import mask as coco_mask  # noqa: E402

from tests.trainables.mask_rcnn.conftest import QUICK, MakeTrial  # noqa: E402
from trainables.contract import (  # noqa: E402
    Device,
    ExportForm,
    InfeasibleParams,
    MemoryTrial,
    TrainMetrics,
)
from trainables.datasets.prepared import PreparedDataset  # noqa: E402
from trainables.mask_rcnn import training  # noqa: E402
from trainables.mask_rcnn.config import build_config  # noqa: E402
from trainables.mask_rcnn.engine import MaskRcnnEngine  # noqa: E402
from trainables.mask_rcnn.params import MaskRcnnParams  # noqa: E402
from trainables.mask_rcnn.trainer import MaskRcnnRun  # noqa: E402
from trainables.mask_rcnn.weights import _ZOO, read_weights  # noqa: E402

EPOCHS = 12


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, discs: PreparedDataset) -> MemoryTrial:
    """Trained long enough to find something."""
    params = {**QUICK, "ims_per_batch": 1, "min_size": 96, "max_size": 128, "score_thresh": 0.05}
    params |= {"mask_head_convs": 2, "mask_head_dim": 64, "fpn_channels": 64, "box_head_dim": 128}
    trial = MemoryTrial(
        params,
        discs,
        tmp_path_factory.mktemp("trained"),
        epochs=EPOCHS,
        train_metrics=TrainMetrics(every=0),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "keep_artifacts", lambda *_: None)
        MaskRcnnEngine().train(trial)
    return trial


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
    assert predictor.confidence == trained.reported[EPOCHS]["seg_metrics/confidence"]


@pytest.mark.slow
def test_predictions_do_not_depend_on_what_is_predicted_together(trained: MemoryTrial) -> None:
    data = trained.data
    predictor = MaskRcnnEngine().load(_model(trained) / "model.pt", Device())
    pictures = [data.read(image) for image in data.images("val")]
    together = predictor(pictures)
    assert sum(map(len, together)) > 0
    for picture, expected in zip(pictures, together, strict=True):
        [alone] = predictor([picture])
        np.testing.assert_array_equal(alone.scores, expected.scores)
        assert alone.masks is not None
        assert all(m["size"] == list(picture.shape[:2]) for m in alone.masks)
    assert predictor([]) == []


@pytest.mark.slow
def test_detectron2s_own_predictor_opens_the_native_model_and_finds_the_same(
    trained: MemoryTrial, tmp_path: Path
) -> None:
    file = MaskRcnnEngine().export(_model(trained), tmp_path / "out", ExportForm.NATIVE)
    assert file.name == "best.pth"
    assert not list(file.parent.glob(".*"))
    text = file.with_suffix(".yaml").read_text()
    assert text.startswith("# Classes in order: disc, square\n")
    cfg = get_cfg()
    cfg.merge_from_file(str(file.with_suffix(".yaml")))
    assert file.name == cfg.MODEL.WEIGHTS
    cfg.MODEL.WEIGHTS = str(file)
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
def test_onnx_is_refused_with_what_works_instead(trained: MemoryTrial, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleParams, match=r"expected native .* got onnx"):
        MaskRcnnEngine().export(_model(trained), tmp_path, ExportForm.ONNX)


@pytest.mark.slow
def test_a_model_or_its_native_form_is_a_start_for_another_training(
    trained: MemoryTrial, tmp_path: Path, make_trial: MakeTrial
) -> None:
    native = MaskRcnnEngine().export(_model(trained), tmp_path / "out", ExportForm.NATIVE)
    own = torch.load(_model(trained) / "model.pt", weights_only=True)["weights"]["r18"]
    widths = {k: trained.params[k] for k in (*_HEADS, "fpn_channels")}
    for file in (native, _model(trained) / "model.pt"):
        trial = make_trial({"weights": str(file), "freeze_at": 2, **widths})
        run = MaskRcnnRun(trial, MaskRcnnParams.model_validate(trial.params))
        member = run.members["r18"]
        assert all(torch.equal(value, own[key]) for key, value in member.net.state_dict().items())
        assert member.taken == f"{len(own)} of {len(own)} weights are from {file.name}"
        assert not any(p.requires_grad for p in member.net.backbone.bottom_up.stem.parameters())


_HEADS = ("box_head_dim", "mask_head_dim", "mask_head_convs")


def _run(make_trial: MakeTrial, **params: Any) -> MaskRcnnRun:
    trial = make_trial(params)
    return MaskRcnnRun(trial, MaskRcnnParams.model_validate(trial.params))


def test_weights_as_the_model_zoo_has_them_fit_all_but_the_heads_for_other_classes(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    net = _run(make_trial, norm="BN").members["r18"].net
    arrays = {key: value.numpy() + 1 for key, value in net.state_dict().items()}
    for key in [k for k in arrays if "cls_score" in k]:
        arrays[key] = np.zeros((81, *arrays[key].shape[1:]), np.float32)
    for level in "2345":  # the zoo's FPN has biases in place of norms
        for layer in ("lateral", "output"):
            bias = arrays.pop(f"backbone.fpn_{layer}{level}.norm.bias")
            arrays[f"backbone.fpn_{layer}{level}.bias"] = bias
    content = {"model": arrays, "__author__": "Detectron2 Model Zoo"}
    file = tmp_path / "model_final.pkl"
    file.write_bytes(pickle.dumps(content))
    member = _run(make_trial, norm="FrozenBN", weights=str(file), freeze_at=1).members["r18"]
    assert member.taken.endswith("untrained stay roi_heads.box_predictor.cls_score")
    key = "backbone.bottom_up.stem.conv1.norm.running_mean"
    assert torch.equal(member.net.state_dict()[key], torch.from_numpy(arrays[key]))
    assert member.config.MODEL.PIXEL_STD == [1.0, 1.0, 1.0]


def test_weights_of_another_norm_or_backbone_are_refused(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    net = _run(make_trial, norm="BN").members["r18"].net
    torch.save({"model": net.state_dict()}, tmp_path / "bn.pth")
    wider = {k: v for k, v in net.state_dict().items() if "res2" not in k}
    torch.save({"model": wider}, tmp_path / "other.pth")
    with pytest.raises(InfeasibleParams, match=r"expected the same backbone .*res2"):
        _run(make_trial, norm="BN", weights=str(tmp_path / "other.pth"))
    with pytest.raises(InfeasibleParams, match=r"same backbone and norm .*running_mean"):
        _run(make_trial, norm="GN", weights=str(tmp_path / "bn.pth"))


class _Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, ("harm",)


def test_a_file_that_holds_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model_final.pkl"
    file.write_bytes(pickle.dumps({"model": _Harmful()}))
    with pytest.raises(InfeasibleParams, match="expected numpy arrays only, got pathlib"):
        read_weights(file)
    assert not (tmp_path / "harm").exists()
    torch.save({"model": _Harmful()}, tmp_path / "model.pth")
    with pytest.raises(InfeasibleParams, match=r"model\.pth, which cannot be read"):
        read_weights(tmp_path / "model.pth")


def test_a_missing_model_and_one_of_another_engine_are_named(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleParams, match="expected a model of mask_rcnn at"):
        MaskRcnnEngine().load(tmp_path / "model.pt", Device())
    torch.save({"engine": "unet", "format": 1}, tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match="got engine unet and format 1"):
        MaskRcnnEngine().load(tmp_path, Device())


@pytest.mark.parametrize("backbone", ["r50", "r101"])
def test_the_network_for_the_zoos_weights_is_the_zoos(backbone: str) -> None:
    """Whatever differs from the zoo's configuration must change no weight's name or shape."""
    zoo = get_cfg()
    zoo.merge_from_file(model_zoo.get_config_file(_ZOO[backbone]))
    params = MaskRcnnParams.model_validate({"weights": "coco", "norm": "FrozenBN", "freeze_at": 2})
    ours = build_config(params, backbone, 80)
    assert set(_differences(zoo.MODEL, ours.MODEL)) == {
        "DEVICE",
        "WEIGHTS",
        "ROI_HEADS.BATCH_SIZE_PER_IMAGE",
        "ROI_HEADS.SCORE_THRESH_TEST",
    }


def _differences(one: Any, other: Any) -> list[str]:
    found = []
    for key, value in one.items():
        if isinstance(value, type(one)):
            found += [f"{key}.{inner}" for inner in _differences(value, other[key])]
        elif value != other[key]:
            found.append(key)
    return found
