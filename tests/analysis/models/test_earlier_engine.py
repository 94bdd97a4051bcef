"""Studies, exports and models whose engine has since renamed a hyperparameter and narrowed a bound.

The engine is a package in a folder, written twice: as it trained, and as it is installed today.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pytest

from analysis.evaluation.plan import Wishes
from analysis.evaluation.run import evaluate_model
from analysis.models.export import export_best
from analysis.models.stored import choose, to_stored
from analysis.picking.plan import PickWishes
from analysis.picking.run import pick_micrographs
from analysis.report.leaderboard import write_leaderboard
from analysis.retrain.retrain import retrain
from tests.support.discs import prepare_discs
from tests.support.rehearsed_study import rehearse
from trainables.contract import Device
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import EngineError, engine_info
from tune.best.file import load_best
from tune.best.store import BestStore
from tune.directory.reader import StudyDir
from tune.errors import BestConfigError, StoreError

PARAMS = Template('''
from pydantic import Field

from search_spaces.schema import Hyperparameters
from trainables.contract import EngineInfo


class AgingParams(Hyperparameters):
    """What an engine trains with until its next version."""

    $rate: float = Field(0.1, gt=0, le=1)
    momentum: float = Field(0.5, ge=0, le=$most)
    max_det: int = Field(300, ge=1)


INFO = EngineInfo(
    name="aging",
    params=AgingParams,
    metrics=("seg_metrics", "box_metrics"),
    objective="seg_metrics/F1",
    preset="aging",
    isolated=False,
)
''')

ENGINE = """
from aging_engine.params import AgingParams
from trainables.contract import EpochMetrics
from trainables.engines.simulated.engine import SimulatedEngine, _save


class AgingEngine(SimulatedEngine):
    name = "aging"

    def train(self, trial):
        params = AgingParams.model_validate(dict(trial.params))
        history = []
        for epoch in range(1, trial.train_to + 1):
            values = {"seg_metrics/F1": params.momentum * epoch / trial.epochs}
            values |= {"seg_metrics/confidence": 0.5, "box_metrics/confidence": 0.5}
            history.append({"epoch": epoch, "values": values})
            checkpoint = _save(trial.directory, epoch, history, trial.data.classes)
            trial.report(EpochMetrics(epoch, values), checkpoint)


ENGINE = AgingEngine
"""

TRAINED_WITH = {"rate": "learning_rate", "most": "0.95"}

TODAY = {"rate": "learning_rates", "most": "0.6"}

SPACE = {"learning_rate": {"uniform": [0.01, 0.5]}, "momentum": {"choice": [0.7, 0.9]}}


def install(folder: Path, version: dict[str, str]) -> None:
    """Put a version of the engine in the place of another one."""
    package, info = folder / "aging_engine", folder / "aging_engine-0.1.dist-info"
    for place in (package, info):
        place.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "params.py").write_text(PARAMS.substitute(version))
    (package / "engine.py").write_text(ENGINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aging-engine\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[segtune.engines]\naging = aging_engine\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "aging_engine"]:
        del sys.modules[name]
    importlib.invalidate_caches()


@dataclass(frozen=True)
class Old:
    """What the earlier version of the engine left.

    Attributes:
        study: Its study directory, exported.
        exported: The export, elsewhere.
        retrained: The folder of a retraining of it.
        data: What all were trained on.
        text: The exported best.yaml.
    """

    study: Path
    exported: Path
    retrained: Path
    data: PreparedDataset
    text: str


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    """A finished study, its export and its retraining; their engine has changed since."""
    folder = tmp_path_factory.mktemp("old")
    data = prepare_discs(folder / "discs")
    packages = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(packages)
        install(packages, TRAINED_WITH)
        study = rehearse(
            folder,
            trainable="aging",
            data=str(data.root),
            budget={"trials": 3, "epochs": 4},
            search="random",
            scheduler={"kind": "none"},
            search_space=SPACE,
            fixed={"max_det": 1},
        )
        export_best(study)
        exported = export_best(study, folder / "exported")
        retrain(exported, None, folder / "retrained")
        text = (exported / "best.yaml").read_text()
        install(packages, TODAY)
        assert set(engine_info("aging").params.model_fields) == {
            "learning_rates",
            "momentum",
            "max_det",
        }
        yield Old(study.path, exported, folder / "retrained", data, text)


def test_a_study_of_an_earlier_engine_is_read_back_and_exported_as_it_was(
    old: Old, tmp_path: Path
) -> None:
    study = StudyDir.open(old.study)
    assert [trial.state for trial in study.trials()] == ["complete"] * 3
    assert "params/learning_rate" in write_leaderboard(study).read_text()
    again = export_best(study, tmp_path / "again")
    assert (again / "best.yaml").read_text() == old.text
    assert (again / "native" / "model.json").is_file()


def test_the_card_says_which_values_the_engine_refuses_today(old: Old, tmp_path: Path) -> None:
    card = (export_best(StudyDir.open(old.study), tmp_path / "out") / "model_card.md").read_text()
    begin = "- Today's aging refuses a hyperparameter of its training, so that it cannot be trained"
    said = [line for line in card.splitlines() if line.startswith(begin)]
    assert len(said) == 2
    assert any("learning_rate: unknown key (value 0." in line for line in said)
    assert any("did you mean learning_rates?" in line for line in said)
    assert any("momentum: expected a number from 0 to 0.6, got 0." in line for line in said)
    assert "- It finds at most 1 particles in a picture." in card
    before = (old.exported / "model_card.md").read_text()
    assert "refuses a hyperparameter" not in before


@pytest.mark.parametrize("which", ["study", "exported", "best.yaml", "retrained", "trial", "file"])
def test_a_model_of_an_earlier_engine_is_evaluated(old: Old, tmp_path: Path, which: str) -> None:
    model = {
        "study": old.study,
        "exported": old.exported,
        "best.yaml": old.exported / "best.yaml",
        "retrained": old.retrained,
        "trial": old.study / "trials" / "1",
        "file": old.exported / "model.pt",
    }[which]
    wishes = Wishes(device="cpu", overlays=0, max_det=1)
    result = evaluate_model(model, old.data.root, tmp_path / "out", wishes)
    assert "aging" in result.lines()[0]
    assert any("finds at most 1 objects in a picture" in note for note in result.notes)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["model"]["engine"] == "aging"


def test_a_model_of_an_earlier_engine_picks(old: Old, tmp_path: Path) -> None:
    picture = old.data.images("val")[0].path
    wishes = PickWishes(device="cpu")
    result = pick_micrographs([str(picture)], old.exported, tmp_path / "picks", wishes)
    assert result.failed == {}
    assert (len(result.records), result.confidence) == (1, 0.5)


@pytest.mark.parametrize("which", ["study", "exported", "retrained"])
def test_retraining_is_refused_with_every_key_what_is_allowed_and_the_nearest(
    old: Old, tmp_path: Path, which: str
) -> None:
    folder: Path = getattr(old, which)
    file = folder / "best.yaml" if which == "exported" else folder / "best" / "best.yaml"
    params = load_params(file)
    with pytest.raises(BestConfigError) as error:
        retrain(folder, None, tmp_path / "out", device=Device())
    assert str(error.value).splitlines() == [
        f"{file}: 2 problems",
        "  params.momentum: expected a number from 0 to 0.6, got "
        f"{params['momentum']}; the nearest is 0.6",
        f"  params.learning_rate: unknown key (value {params['learning_rate']}), expected one of "
        "learning_rates, momentum, max_det; did you mean learning_rates?",
        "where another version of aging wrote these: bring them up to date in the file, or train "
        "it with that version",
    ]
    assert not (tmp_path / "out").exists()


def load_params(file: Path) -> dict[str, float]:
    content = json.loads(file.with_suffix(".json").read_text())
    return {name: value for name, value in content["params"].items() if name != "max_det"}


def test_a_file_that_was_brought_up_to_date_is_trained(old: Old, tmp_path: Path) -> None:
    text = old.text.replace("learning_rate:", "learning_rates:").replace("- learning_rate\n", "")
    momentum = load_params(old.exported / "best.yaml")["momentum"]
    file = tmp_path / "best.yaml"
    file.write_text(text.replace(f"momentum: {momentum}", "momentum: 0.6"))
    result = retrain(file, None, tmp_path / "out", device=Device())
    assert result.value == pytest.approx(0.6)


def test_what_a_store_keeps_of_an_earlier_engine_is_named_and_not_trained(
    old: Old, tmp_path: Path
) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(old.text.replace("learning_rate:", "learning_rates:"))
    with pytest.raises(BestConfigError, match=r"best\.yaml: 1 problem\n  params\.momentum: "):
        load_best(file)
    store = BestStore(str(tmp_path / "store"))
    file.write_text(file.read_text().replace("momentum: 0.9", "momentum: 0.5"))
    valid = to_stored(load_best(file))
    store.put(
        valid.model_copy(update={"params": load_params(old.exported / "best.yaml")}),
        everywhere=True,
    )
    with pytest.raises(StoreError) as error:
        choose(store, "aging", old.data.root, None, tmp_path / "out")
    said = str(error.value)
    assert "is not valid for this version of the engine: momentum: expected a number" in said
    assert "did you mean learning_rates?" in said
    assert "segtune best set --force" in said


def test_the_engine_itself_may_be_gone_and_the_study_can_be_read(
    old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [path for path in sys.path if not (Path(path) / "aging_engine").is_dir()]
    monkeypatch.setattr(sys, "path", gone)
    assert len(StudyDir.open(old.study).trials()) == 3
    with pytest.raises(EngineError, match="got aging"):
        export_best(StudyDir.open(old.study), tmp_path / "out")
