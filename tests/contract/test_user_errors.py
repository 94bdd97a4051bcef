"""A `UserError` of somebody's engine is one message of the command line, wherever it is raised."""

from pathlib import Path

import pytest

from tests.support.command_line import segtune
from tests.support.discs import prepare_discs
from tests.support.models.planted import Planted
from tests.support.places import ROOT, THIRD_PARTY
from trainables.datasets.prepared import PreparedDataset
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, TrainedOn
from tune.best.file import to_yaml

NO_LICENCE = "expected a licence of the awkward engine, got none; ask its makers for one"


@pytest.fixture
def discs(tmp_path: Path) -> PreparedDataset:
    return prepare_discs(tmp_path)


def refused(folder: Path, *arguments: str) -> str:
    """All that a refused command says."""
    done = segtune(folder, *arguments, PYTHONPATH=f"{ROOT}:{THIRD_PARTY}")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_an_engine_says_while_it_trains_is_the_message_of_retrain(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    given = BestConfig(
        engine="awkward",
        params={"lr0": 0.2, "behaviour": "no licence"},
        sampled=("lr0",),
        epochs=3,
        seed=1,
        objective=Reached(metric="seg_metrics/F1", value=0.2, epoch=1),
        data=TrainedOn(path=discs.root, name=discs.name, fingerprint=discs.fingerprint),
        classes=discs.classes,
        source=ConfigOrigin(study="discs", trial=0, trials=1),
    )
    (tmp_path / "best.yaml").write_text(to_yaml(given))
    said = refused(tmp_path, "retrain", "best.yaml", "--out", "out")
    assert said.splitlines()[-1] == f"segtune: {NO_LICENCE}"


def test_what_an_engine_says_of_a_model_is_the_message_of_evaluate(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    model = tmp_path / "model.pt"
    model.write_text(NO_LICENCE)
    said = refused(tmp_path, "evaluate", str(model), str(discs.root), "--trainable", "awkward")
    assert said == f"segtune: {model}: {NO_LICENCE}\n"


@pytest.mark.parametrize(
    ("verb", "engine"),
    [
        ("evaluate", "yolo_seg"),
        ("evaluate", "mask_rcnn"),
        ("evaluate", "unet_selftraining"),
        ("pick", "yolo_seg"),
    ],
)
def test_code_in_a_model_is_not_run_and_the_model_refused(
    verb: str, engine: str, discs: PreparedDataset, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    model, trace = tmp_path / "model.pt", tmp_path / "trace"
    torch.save({"engine": engine, "format": 1, "weights": Planted(trace)}, model)
    words = {
        "evaluate": (str(model), str(discs.root)),
        "pick": (str(discs.root / "images"), "--model", str(model), "--out", "picks"),
    }
    said = refused(tmp_path, verb, *words[verb], "--trainable", engine)
    assert said == (
        f"segtune: {model}: expected a file written by segtune's {engine} engine, got one that "
        "cannot be read: it holds more than plain data, which could run code, or is damaged\n"
    )
    assert not trace.exists()
