"""Trained weights as a start: what is taken of them, and what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra mask-rcnn")
pytest.importorskip("detectron2", reason="needs detectron2: tools/install_detectron2.py")

from detectron2 import model_zoo
from detectron2.config import get_cfg

from tests.support.engine_trials import MakeTrial
from trainables.contract import (
    ExportForm,
    InfeasibleParams,
)
from trainables.engines.mask_rcnn.data import MeasuredPictures
from trainables.engines.mask_rcnn.engine import MaskRcnnEngine
from trainables.engines.mask_rcnn.network.config import build_config
from trainables.engines.mask_rcnn.network.weights import (
    MODEL_ZOO,
    read_weights,
)
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.predictor import fusion_of
from trainables.engines.mask_rcnn.run import MaskRcnnRun
from trainables.engines.mask_rcnn.validation import measure
from trainables.trials.memory import MemoryTrial

SCRATCH_STD = [57.375, 57.120, 58.395]
STEM = "backbone.bottom_up.stem.conv1.weight"


def _run(make_trial: MakeTrial, **params: Any) -> MaskRcnnRun:
    trial = make_trial(params)
    return MaskRcnnRun(trial, MaskRcnnParams.model_validate(trial.params))


@pytest.mark.slow
def test_a_model_or_its_native_form_is_a_start_for_another_training(
    trained: MemoryTrial, tmp_path: Path, make_trial: MakeTrial
) -> None:
    """With the pictures normalised as they were in its training: from scratch, not as in COCO."""
    assert trained.checkpoint is not None
    model = trained.checkpoint / "model.pt"
    native = MaskRcnnEngine().export(model, tmp_path / "out", ExportForm.NATIVE)
    alone = native.rename(tmp_path / "alone.pth")
    own = torch.load(model, weights_only=True)["weights"]["r18"]
    widths = ("box_head_dim", "mask_head_dim", "mask_head_convs", "fpn_channels")
    same = {key: trained.params[key] for key in widths}
    for file in (alone, model):
        member = _run(make_trial, weights=str(file), freeze_at=2, **same).members["r18"]
        assert all(torch.equal(value, own[key]) for key, value in member.net.state_dict().items())
        assert member.taken == f"{len(own)} of {len(own)} weights are from {file.name}"
        assert not any(p.requires_grad for p in member.net.backbone.bottom_up.stem.parameters())
        assert member.config.MODEL.PIXEL_STD == SCRATCH_STD
        assert member.net.pixel_std.flatten().tolist() == pytest.approx(SCRATCH_STD)


@pytest.mark.slow
def test_a_second_training_from_own_weights_starts_at_what_the_first_one_had_learned(
    trained: MemoryTrial, make_trial: MakeTrial
) -> None:
    assert trained.checkpoint is not None
    weights = str(trained.checkpoint / "model.pt")
    run = _run(make_trial, **{**trained.params, "weights": weights})
    params = MaskRcnnParams.model_validate(trained.params)
    split = MeasuredPictures(trained.data, trained.data.images("val"), params)
    measured = measure(run.networks, split, fusion_of(params))
    reached = trained.reported[trained.epochs]
    for metric, value in measured.metrics().items():
        assert value == reached[metric]
    for loss, value in measured.losses.items():
        assert value == reached[f"val/{loss}"]


@pytest.mark.parametrize("name", ["own.yaml", "config.yaml"])
def test_colours_come_from_the_configuration_beside_a_file(
    name: str, make_trial: MakeTrial, tmp_path: Path
) -> None:
    """Detectron2's own trainer writes config.yaml beside its models."""
    first = _run(make_trial).members["r18"]
    torch.save({"model": first.net.state_dict()}, tmp_path / "own.pth")
    cfg = first.config.clone()
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    (tmp_path / name).write_text(cfg.dump())
    found = _run(make_trial, weights=str(tmp_path / "own.pth")).members["r18"].config.MODEL
    assert (found.PIXEL_MEAN, found.PIXEL_STD) == ([1, 2, 3], [4, 5, 6])
    cfg.INPUT.FORMAT = "RGB"
    (tmp_path / name).write_text(cfg.dump())
    with pytest.raises(InfeasibleParams, match=rf"blue first .* got RGB in .*{name}"):
        read_weights(tmp_path / "own.pth")


@pytest.mark.parametrize("text", ["", "a: [", "MODEL: 3", "study: powder", "MODEL: {PIXEL_STD: x}"])
def test_another_yaml_beside_a_file_says_nothing_of_its_colours(text: str, tmp_path: Path) -> None:
    torch.save({"model": {STEM: torch.zeros(1)}}, tmp_path / "own.pth")
    (tmp_path / "own.yaml").write_text(text)
    assert read_weights(tmp_path / "own.pth").colours is None


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
    words = r"model\.pth, which cannot be read: it holds more than plain data, .* damaged$"
    with pytest.raises(InfeasibleParams, match=words):
        read_weights(tmp_path / "model.pth")


def _saved(content: Any) -> Callable[[Path], object]:
    return lambda file: torch.save(content, file)


def _pickled(content: Any) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(pickle.dumps(content))


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content)


def _cut(file: Path) -> None:
    torch.save({"model": {STEM: torch.zeros(1000)}}, file)
    file.write_bytes(file.read_bytes()[:2000])


def _no_folder(file: Path) -> None:
    file.mkdir()


UNREADABLE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a text": ("a.pth", _bytes(b"<html>not found</html>")),
    "a text as pickle": ("a.pkl", _bytes(b"<html>not found</html>")),
    "an empty file": ("a.pth", _bytes(b"")),
    "an empty pickle": ("a.pkl", _bytes(b"")),
    "an archive cut off": ("a.pth", _cut),
    "a pickle cut off": ("a.pkl", _bytes(pickle.dumps({"model": {"a": np.zeros(100)}})[:-50])),
    "a class that is nowhere": ("a.pkl", _bytes(b"cnowhere.at_all\nThing\n.")),
    "a pickle that takes from an empty stack": ("a.pkl", _bytes(b"\x80\x04R.")),
    "a pickle that sets items of a number": ("a.pkl", _bytes(b"K\x01K\x02K\x03s.")),
    "a pickle of a key that never was": ("a.pkl", _bytes(b"h\x07.")),
    "a folder": ("a.pth", _no_folder),
}

WITHOUT_WEIGHTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a list": ("a.pth", _saved([torch.zeros(3)]), "holds one list"),
    "a tensor": ("a.pth", _saved(torch.zeros(3)), "holds one Tensor"),
    "a pickled list": ("a.pkl", _pickled([1, 2]), "holds one list"),
    "nothing": ("a.pth", _saved({}), "no weights but nothing"),
    "other things": ("a.pth", _saved({"epoch": 3, "loss": 0.5}), "no weights but epoch, loss"),
    "a model that is a number": ("a.pth", _saved({"model": 3}), "no weights but model"),
    "keys that are no names": ("a.pkl", _pickled({1: np.zeros(3)}), "no weights but 1"),
    "arrays of no numbers": ("a.pkl", _pickled({"a": np.array(["x"])}), "no weights but a"),
    "another engine's": ("a.pt", _saved({"engine": "yolo_seg"}), "is a model of yolo_seg"),
    "half a model": ("a.pt", _saved({"engine": "mask_rcnn", "weights": 3}), "an incomplete model"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_cannot_be_read_is_one_message(kind: str, tmp_path: Path) -> None:
    name, write = UNREADABLE[kind]
    write(tmp_path / name)
    expected = rf"^weights: expected a file of weights, got .*{name}, which cannot be read: [^\n]+$"
    with pytest.raises(InfeasibleParams, match=expected):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("kind", WITHOUT_WEIGHTS)
def test_a_file_without_weights_is_one_message(kind: str, tmp_path: Path) -> None:
    name, write, what = WITHOUT_WEIGHTS[kind]
    write(tmp_path / name)
    expected = rf"^weights: expected a file of weights, got .*{name}, which .*{what}[^\n]*$"
    with pytest.raises(InfeasibleParams, match=expected):
        read_weights(tmp_path / name)


def test_a_combo_is_no_start_for_one_network(tmp_path: Path) -> None:
    two = {"r50": {"a": torch.zeros(1)}, "r101": {"a": torch.zeros(1)}}
    content = {"engine": "mask_rcnn", "weights": two, "configs": {"r50": "", "r101": ""}}
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(InfeasibleParams, match=r"expected one model, got .* which is a combo"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("backbone", ["r50", "r101"])
def test_the_network_for_the_zoos_weights_is_the_zoos(backbone: str) -> None:
    """Whatever differs from the zoo's configuration must change no weight's name or shape."""
    zoo = get_cfg()
    zoo.merge_from_file(model_zoo.get_config_file(MODEL_ZOO[backbone]))
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
