"""A model leaves as ONNX, and is used where no framework is installed."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

for package in ("onnx", "onnxscript", "onnxruntime", "torch"):
    pytest.importorskip(package, reason="needs the extra onnx and an engine")

from analysis.errors import ExportError
from analysis.evaluation.plan import Wishes
from analysis.evaluation.run import evaluate_model
from analysis.models import onnx as exporting
from analysis.models.agreement import View, compare, views
from analysis.picking.plan import PickWishes
from analysis.picking.run import pick_micrographs
from tests.golden.test_golden import unpack
from tests.support.command_line import segtune
from tests.support.models.onnx_files import altered, without_frameworks
from trainables.contract import Device, Engine, ExportForm, Picker, Predictor
from trainables.datasets.prepared import PreparedDataset
from trainables.onnx.load import load_onnx
from trainables.onnx.manifest import Manifest
from trainables.onnx.session import manifest_of
from trainables.registry import load_engine
from tune.cli.main import main
from tune.directory.reader import StudyDir

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Exported:
    """A study of an earlier segtune, exported as ONNX.

    Attributes:
        study: Folder of the study, the data beside it.
        said: What the command said.
    """

    study: Path
    said: str

    @property
    def folder(self) -> Path:
        return self.study.parents[1]

    @property
    def file(self) -> Path:
        return self.study / "onnx" / "model.onnx"

    @property
    def model(self) -> Path:
        """The model that was exported."""
        return next((self.study / "trials").glob("*/attempt-*/best/model.pt"))

    def shown(self) -> list[View]:
        data = PreparedDataset.load(self.folder / "data")
        return [View(image.path.name, data.read(image)) for image in data.images("val")]


def exported(name: str, framework: str, folder: Path) -> Exported:
    if find_spec(framework) is None:
        pytest.skip(f"needs {framework}")
    study = unpack(name, folder)
    answer = segtune(folder, "export", str(study), "--form", "onnx", OMP_NUM_THREADS="1")
    assert answer.returncode == 0, answer.stderr
    return Exported(study, answer.stdout + answer.stderr)


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported("yolo", "ultralytics", tmp_path_factory.mktemp("yolo"))


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported("unet", "torch", tmp_path_factory.mktemp("unet"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of a machine without frameworks."""
    return without_frameworks(tmp_path_factory.mktemp("hidden"))


def metrics_in(folder: Path) -> dict[str, float]:
    """Metrics of an evaluation."""
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())["metrics"]
    return {name: value for name, value in found.items() if isinstance(value, float)}


def test_beside_the_file_lie_labels_a_card_a_summary_and_the_pictures_side_by_side(
    yolo: Exported,
) -> None:
    folder = yolo.file.parent
    assert {file.name for file in folder.iterdir()} == {
        "model.onnx", "labels.txt", "card.json", "summary.md", "agreement.png"
    }  # fmt: skip
    assert "ONNX Runtime and PyTorch agree on 21 pictures in batches of 1, 2 and 5" in yolo.said
    assert (folder / "labels.txt").read_text() == "sphere\nrod\n"
    card = json.loads((folder / "card.json").read_text())
    said = manifest_of(yolo.file)
    assert Manifest.model_validate(card["model"]) == said
    assert said.classes == ("sphere", "rod")
    assert said.confidence == said.metrics["seg_metrics/confidence"]
    assert said.finds.kind == "detections"
    assert card["agreement"]["finds_compared"] > 100
    assert card["agreement"]["box_px"] <= 1e-3
    with Image.open(folder / "agreement.png") as sheet:
        assert sheet.width > 900


def test_inputs_and_outputs_of_a_file_are_those_of_the_contract(yolo: Exported) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session: Any = onnxruntime.InferenceSession(str(yolo.file))
    (image,) = session.get_inputs()
    assert (image.name, image.type) == ("image", "tensor(uint8)")
    assert image.shape == ["batch", 3, "height", "width"]
    pixels = np.stack([view.pixels[:96, :128] for view in yolo.shown()] * 2)[:3]
    names = ["location", "score", "category"]
    location, score, category = session.run(names, {"image": pixels.transpose(0, 3, 1, 2)})
    assert location.shape == (3, 1000, 4)
    assert score.shape == category.shape == (3, 1000)
    assert (np.diff(score, axis=1) <= 0).all()
    used = score > 0
    assert 0 < used.sum() < used.size
    assert set(category[used].tolist()) == {1, 2}
    assert not category[~used].any()
    assert not location[~used].any()


@pytest.mark.parametrize("name", ["yolo", "unet"])
def test_evaluate_without_frameworks_measures_what_the_engine_measures(
    name: str, bare: str, request: pytest.FixtureRequest
) -> None:
    given: Exported = request.getfixturevalue(name)
    data = given.folder / "data"
    asked = Wishes(split="val", overlays=0, device="cpu")
    evaluate_model(given.model, data, given.folder / "by-engine", asked)
    options = ("--split", "val", "--out", "by-file", "--overlays", "0", "--device", "cpu")
    words = ("evaluate", str(given.file), str(data), *options)
    answer = segtune(given.folder, *words, PYTHONPATH=bare)
    assert answer.returncode == 0, answer.stderr
    by_engine, by_file = (metrics_in(given.folder / out) for out in ("by-engine", "by-file"))
    assert by_file.keys() == by_engine.keys()
    assert len(by_file) > 5
    assert by_file == pytest.approx(by_engine, abs=1e-3)


def test_pick_without_frameworks_picks_what_the_engine_picks(unet: Exported, bare: str) -> None:
    asked, images = PickWishes(device="cpu"), str(unet.folder / "data" / "images")
    pick_micrographs([images], unet.model, unet.folder / "a", asked)
    words = ("pick", images, "--model", str(unet.file), "--out", "b", "--device", "cpu")
    answer = segtune(unet.folder, *words, PYTHONPATH=bare)
    assert answer.returncode == 0, answer.stderr
    own, other = ((unet.folder / out / "picks.csv").read_text().split() for out in "ab")
    assert len(own) > 20
    assert own == other


@pytest.mark.ray
def test_predict_runs_without_frameworks(yolo: Exported, bare: str) -> None:
    """So does `measure`, which finds in the same way."""
    pytest.importorskip("ray.data", reason="needs the extra measure")
    words = ("predict", "data/images", "--model", str(yolo.file), "--out", "p", "--device", "cpu")
    answer = segtune(yolo.folder, *words, PYTHONPATH=bare)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    tables = list((yolo.folder / "p").glob("particles*.csv"))
    assert tables
    assert len(tables[0].read_text().splitlines()) > 20


@pytest.mark.parametrize("name", ["yolo", "unet"])
def test_a_file_with_one_weight_changed_does_not_agree(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given: Exported = request.getfixturevalue(name)
    own = load_engine(manifest_of(given.file).engine).load(given.model, Device())
    parts = views(given.shown(), maps=isinstance(own, Picker))
    assert not compare(own, load_onnx(given.file, Device()), parts).reason
    other = load_onnx(altered(given.file, tmp_path / "other.onnx"), Device())
    assert "batch of" in compare(own, other, parts).reason


class Careless:
    """An engine that writes another network than it has."""

    name = "careless"

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine, self._file = engine, file

    def train(self, trial: Any) -> None:
        self._engine.train(trial)

    def load(self, model: Path, device: Device) -> Predictor:
        return self._engine.load(model, device)

    def export(self, model: Path, to: Path, form: ExportForm) -> Path:
        del model, form
        to.mkdir(parents=True, exist_ok=True)
        return altered(self._file, to / "model.onnx")


def test_a_file_that_does_not_agree_is_not_written(
    unet: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = Careless(load_engine("unet_selftraining"), unet.file)
    monkeypatch.setattr(exporting, "load_engine", lambda name: careless)
    with pytest.raises(ExportError, match=r"nothing was written: .*the maps differ by"):
        exporting.export_onnx(StudyDir.open(unet.study), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def int8(unet: Exported) -> str:
    """What exporting in 8 bits said."""
    words = ("export", str(unet.study), "--form", "onnx", "--int8")
    answer = segtune(unet.folder, *words, OMP_NUM_THREADS="1")
    assert answer.returncode == 0, answer.stderr
    return answer.stdout + answer.stderr


def test_a_file_in_8_bits_says_how_it_was_made_and_what_it_lost(unet: Exported, int8: str) -> None:
    folder = unet.study / "int8"
    assert {file.name for file in folder.iterdir()} == {
        "model.onnx", "labels.txt", "card.json", "summary.md", "comparison.png"
    }  # fmt: skip
    said = manifest_of(folder / "model.onnx")
    data = PreparedDataset.load(unet.folder / "data")
    training = {image.path.name for image in data.images("train")}
    assert said.quantisation is not None
    assert set(said.quantisation.pictures) == training
    assert said.quantisation.layers > len(said.quantisation.float_layers) > 0
    assert said.weights_sha256 == manifest_of(unet.file).weights_sha256
    told = json.loads((folder / "card.json").read_text())["comparison"]
    assert told["f1"] == "particle_metrics/F1"
    assert abs(told["f1_loss"]) <= 0.02
    assert told["float"]["bytes"] > told["int8"]["bytes"] == (folder / "model.onnx").stat().st_size
    for line in (
        "size, MB",
        "pictures/s, the file",
        "particle_metrics/average_precision",
        "particle_metrics/F1",
    ):
        assert line in int8
        assert line in (folder / "summary.md").read_text()


def test_a_file_in_8_bits_is_a_model(unet: Exported, int8: str, bare: str) -> None:
    """It measures as its card says, without frameworks."""
    del int8
    options = ("--split", "val", "--out", "by-int8", "--overlays", "0", "--device", "cpu")
    words = ("evaluate", str(unet.study / "int8"), str(unet.folder / "data"), *options)
    answer = segtune(unet.folder, *words, PYTHONPATH=bare)
    assert answer.returncode == 0, answer.stderr
    card = json.loads((unet.study / "int8" / "card.json").read_text())
    measured = metrics_in(unet.folder / "by-int8")
    told = {k: v for k, v in card["comparison"]["int8"]["val"].items() if k in measured}
    assert len(told) > 5
    assert {name: measured[name] for name in told} == pytest.approx(told, abs=1e-6)


def test_wrong_options_of_8_bits_are_one_clear_message(
    unet: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(unet.study)]
    assert "--int8: expected --form onnx beside it" in refused([*words, "--int8"], capsys)
    onnx = [*words, "--form", "onnx"]
    assert "--max-loss: expected --int8" in refused([*onnx, "--max-loss", "0.1"], capsys)
    said = refused([*onnx, "--int8", "--max-loss", "2"], capsys)
    assert "--max-loss: expected a number from 0 to 1, got 2" in said
    away = unet.folder / "data-away"
    shutil.move(unet.folder / "data", away)
    try:
        said = refused([*onnx, "--int8"], capsys)
    finally:
        shutil.move(away, unet.folder / "data")
    assert "--int8: " in said
    assert "expected the study's data set, whose training pictures" in said


def refused(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_what_is_no_file_of_ours_is_one_clear_message(
    unet: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    data = str(unet.folder / "data")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(unet.file.read_bytes()[:-2000])
    assert "cannot read" in refused(["evaluate", str(cut), data], capsys)
    foreign = tmp_path / "foreign.onnx"
    proto = onnx.load_model(str(unet.file))
    del proto.metadata_props[:]
    foreign.write_bytes(proto.SerializeToString())
    said = refused(["evaluate", str(foreign), data], capsys)
    assert f"{foreign}: expected an ONNX file that `segtune export --form onnx` wrote" in said
    empty = tmp_path / "empty.onnx"
    empty.touch()
    assert "cannot read" in refused(["pick", data, "-m", str(empty), "-o", "out"], capsys)


def test_without_the_data_the_command_says_what_to_do(
    unet: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = unet.folder / "data-away"
    shutil.move(unet.folder / "data", away)
    try:
        said = refused(["export", str(unet.study), "--form", "onnx"], capsys)
    finally:
        shutil.move(away, unet.folder / "data")
    assert "expected the study's data set" in said
    assert "--pictures" in said
    words = ["export", str(unet.study), "--pictures", str(tmp_path)]
    assert "expected --form onnx beside it" in refused(words, capsys)
    words = ["export", str(unet.study), "--form", "onxx"]
    assert "--form: expected one of native, onnx, got 'onxx'" in refused(words, capsys)
    used = ["export", str(unet.study), "--form", "onnx", "--to", str(unet.folder / "data")]
    assert "expected a new folder or an earlier export to ONNX" in refused(used, capsys)
