"""Artifacts are of the best epoch, whatever comes after it and wherever they are drawn."""

import contextlib
import csv
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from search_spaces.schema import Hyperparameters
from tests.support.discs import prepare_discs
from trainables.contract import EngineInfo, EpochMetrics, TrainMetrics, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.goal import Goal
from trainables.loop.best_epoch import EvaluatedEpoch
from trainables.loop.checkpoint import STATE_FILE, read_plain, write_checkpoint
from trainables.loop.instances import InstanceTraining, SplitEvaluation
from trainables.metrics.instances import evaluate_groups
from trainables.metrics.matching import GroundTruth, ground_truth
from trainables.results import Instances
from trainables.trials.memory import MemoryTrial

INFO = EngineInfo(
    "scripted", Hyperparameters, ("seg_metrics", "box_metrics"), "seg_metrics/F1", "smoke"
)


@dataclass
class Pictures:
    """Validation pictures with their truths."""

    records: Sequence[ImageRecord]
    truths: Sequence[GroundTruth]

    @property
    def n_images(self) -> int:
        return len(self.truths)


@dataclass
class ScriptedCourse:
    """A framework whose model finds a given share of the objects after each epoch."""

    trial: MemoryTrial
    shares: Sequence[float]
    forgetful: bool = False  # as an earlier segtune, which kept no evaluation
    device: Any = field(default_factory=lambda: torch.device("cpu"))
    learning_rate: float = 0.1
    steady_epoch_s: float = 1.0
    epoch: int = 0
    boxes: bool = False  # its model gives no masks

    def __post_init__(self) -> None:
        data = self.trial.data
        records = data.images("val")
        self.validation = Pictures(records, [ground_truth(data, image) for image in records])

    def train_images(self, records: Sequence[ImageRecord]) -> Pictures:
        raise AssertionError("no training picture is measured here")

    def train_epoch(self, epoch: int) -> Mapping[str, float]:
        self.epoch = epoch + 1
        return {"loss": 1.0 / self.epoch}

    def measure(
        self,
        images: Pictures,
        *,
        confidences: Mapping[str, float] | None = None,
        losses: bool = True,
    ) -> SplitEvaluation:
        found = [self._found(truth) for truth in images.truths]
        classes = self.trial.data.classes
        evaluations = evaluate_groups(found, images.truths, classes)
        return SplitEvaluation(evaluations, {"loss": 0.5}, 0.1, found)

    def _found(self, truth: GroundTruth) -> Instances:
        n = round(self.shares[self.epoch - 1] * len(truth))
        scores = np.linspace(0.9, 0.5, n, dtype=np.float32)
        masks = None if truth.masks is None or self.boxes else truth.masks[:n]
        return Instances(truth.boxes[:n], scores, truth.classes[:n], masks)

    def save(
        self, history: Sequence[EpochMetrics], extra: Mapping[str, Any], measured: SplitEvaluation
    ) -> Path:
        kept = {"train_subset": None} if self.forgetful else dict(extra)
        state = {"epoch": self.epoch, "extra": kept}
        return write_checkpoint(self.trial.directory, {"weights": {}}, state, history)

    def restore(self, folder: Path) -> Mapping[str, Any]:
        state = read_plain(folder / STATE_FILE, self.device, "scripted")
        self.epoch = state["epoch"]
        extra: Mapping[str, Any] = state["extra"]
        return extra

    def keep(self, folder: Path) -> None:
        """Nothing more."""

    def within_memory(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take longer to draw than all else; the engines' tests look at them."""
    monkeypatch.setattr("trainables.loop.artifacts.plot_all", lambda *_: ())


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


def scripted(
    discs: PreparedDataset,
    folder: Path,
    shares: Sequence[float],
    forgetful: bool = False,
    **fields: Any,
) -> MemoryTrial:
    """Train and draw a trial whose model finds these shares of the objects."""
    folder.mkdir()
    never = TrainMetrics(every=0)
    given = {"epochs": len(shares), "train_metrics": never, **fields}
    trial = MemoryTrial({}, discs, folder, **given)
    with contextlib.suppress(TrialStopped):
        InstanceTraining(trial, ScriptedCourse(trial, shares, forgetful), INFO).run()
    return trial


def table(trial: MemoryTrial) -> list[dict[str, str]]:
    [file] = [path for path, _ in trial.kept if path.name == "classes.csv"]
    return list(csv.DictReader(file.read_text().splitlines()))


def assert_drawn(trial: MemoryTrial, epoch: int) -> None:
    """The table is of this epoch, and its masks' average precisions are those reported there."""
    rows = table(trial)
    assert {row["epoch"] for row in rows} == {str(epoch)}
    found = np.mean([float(row["map50"]) for row in rows if row["group"] == "seg_metrics"])
    assert found == pytest.approx(trial.reported[epoch]["seg_metrics/map50"])


SHARES = (0.4, 1.0, 0.2, 0.6)


def test_tables_are_of_the_best_epoch_and_not_of_the_last(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    trial = scripted(discs, tmp_path / "whole", SHARES)
    assert_drawn(trial, 2)
    worst = scripted(discs, tmp_path / "loss", SHARES, goal=Goal("seg_metrics/F1", "min"))
    assert_drawn(worst, 3)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_trial_that_goes_on_elsewhere_draws_the_same_as_an_unbroken_one(
    discs: PreparedDataset, tmp_path: Path, after: int
) -> None:
    whole = scripted(discs, tmp_path / "whole", SHARES)
    broken = scripted(discs, tmp_path / "broken", SHARES, stop_after=after)
    rest = scripted(discs, tmp_path / "rest", SHARES, resume_from=broken.checkpoint)
    assert table(rest) == table(whole)
    redrawn = scripted(discs, tmp_path / "redrawn", SHARES, resume_from=rest.checkpoint, over=True)
    assert table(redrawn) == table(whole)


def test_of_an_earlier_checkpoint_the_epochs_that_can_be_drawn_are_and_say_which(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    old = scripted(discs, tmp_path / "old", SHARES, stop_after=3, forgetful=True)
    only = scripted(discs, tmp_path / "only", SHARES, resume_from=old.checkpoint, over=True)
    assert {row["epoch"] for row in table(only)} == {"3"}
    rest = scripted(discs, tmp_path / "rest", SHARES, resume_from=old.checkpoint)
    assert_drawn(rest, 4)


def test_an_evaluation_comes_back_from_plain_data_as_it_was(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    trial = scripted(discs, tmp_path / "trial", (0.6,))
    assert trial.checkpoint is not None
    content = read_plain(trial.checkpoint / STATE_FILE, torch.device("cpu"), "scripted")
    kept = EvaluatedEpoch.of_plain(content["extra"]["best"])
    course = ScriptedCourse(trial, (0.6,), epoch=1)
    expected = course.measure(course.validation).evaluations
    assert kept.epoch == 1
    for group, evaluation in expected.items():
        again = vars(kept.evaluations[group])
        for name, value in vars(evaluation).items():
            if name == "curves":
                for part, array in vars(value).items():
                    np.testing.assert_array_equal(vars(again[name])[part], array)
            elif isinstance(value, np.ndarray):
                np.testing.assert_array_equal(again[name], value)
                assert again[name].dtype == value.dtype
            else:
                assert again[name] == value


def test_an_engine_of_boxes_alone_is_ordered_and_drawn_by_its_boxes(
    discs: PreparedDataset, tmp_path: Path
) -> None:
    trial = MemoryTrial({}, discs, tmp_path, epochs=2, train_metrics=TrainMetrics(every=0))
    info = replace(INFO, metrics=("box_metrics",), objective="box_metrics/F1")
    training = InstanceTraining(trial, ScriptedCourse(trial, (0.8, 0.2), boxes=True), info)
    training.run()
    assert training.best is not None
    assert training.best.epoch == 1
    assert len(training.best.finds.pictures) == 3
    assert {row["group"] for row in table(trial)} == {"box_metrics"}
