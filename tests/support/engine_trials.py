"""Trials of one engine on one data set: made, stopped half-way, gone on with, looked at."""

import contextlib
import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainables.contract import ArtifactKind, TrainMetrics, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.records import ImageRecord, Split
from trainables.goal import Goal
from trainables.metrics.names import METRIC_NAMES
from trainables.metrics.scores import overfit_gap
from trainables.registry import load_engine
from trainables.trials.memory import MemoryTrial

GROUPS = ("seg_metrics", "box_metrics")

FIRST = Goal("epoch", "min")
"""By which the first epoch is the best, whatever was learnt."""

MakeTrial = Callable[..., MemoryTrial]


class NoTestPart(PreparedDataset):
    """Fails where someone looks at the test part."""

    def images(self, split: Split) -> tuple[ImageRecord, ...]:
        assert split != "test"
        return super().images(split)


def trial_maker(quick: Mapping[str, Any], data: PreparedDataset, folder: Path) -> MakeTrial:
    """Build trials from hyperparameters that differ from `quick` and from a trial's fields."""
    made: list[Path] = []

    def make(params: dict[str, Any] | None = None, **fields: Any) -> MemoryTrial:
        directory = folder / f"trial-{len(made)}"
        directory.mkdir()
        made.append(directory)
        fields.setdefault("train_metrics", TrainMetrics(images=3))
        return MemoryTrial({**quick, **(params or {})}, data, directory, **fields)

    return make


@contextlib.contextmanager
def without_artifacts() -> Iterator[None]:
    """Leave out the artifacts of trainings, whose drawing may take longer than themselves."""
    from trainables.loop.instances import InstanceTraining

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InstanceTraining, "keep_artifacts", lambda _: None)
        yield


def interrupted(engine: str, trial: MemoryTrial, after: int) -> Path:
    """Train to the end of epoch `after`; the checkpoint."""
    trial.stop_after = after
    with pytest.raises(TrialStopped):
        load_engine(engine).train(trial)
    assert trial.checkpoint is not None
    return trial.checkpoint


def stopped_trial(
    engine: str, params: Mapping[str, Any], data: PreparedDataset, folder: Path
) -> MemoryTrial:
    """A trial that was stopped after two of five epochs; its training split was measured once.

    The first epoch is its best.
    """
    due = TrainMetrics(every=2, images=3)
    trial = MemoryTrial(dict(params), data, folder, epochs=5, train_metrics=due, goal=FIRST)
    interrupted(engine, trial, after=2)
    return trial


def assert_both_splits_reported(trial: MemoryTrial, losses: Sequence[str]) -> None:
    """A stopped trial has both epochs, with metrics and losses."""
    assert list(trial.reported) == [1, 2]
    for epoch, values in trial.reported.items():
        assert {f"{g}/{m}" for g in GROUPS for m in (*METRIC_NAMES, "confidence")} <= set(values)
        assert {f"{s}/{loss}" for s in ("train", "val") for loss in losses} <= set(values)
        assert values["epoch"] == epoch
        assert values["epoch_seconds"] > 0
        assert values["gpu_memory_gb"] == 0


def assert_training_split_measured_when_due(trial: MemoryTrial) -> None:
    """A stopped trial has its training metrics in its second epoch alone."""
    first, second = trial.reported.values()
    names = {f"train_{g}/{m}" for g in GROUPS for m in METRIC_NAMES}
    assert not names & set(first)
    assert names | {"overfit_gap"} <= set(second)
    assert second["train_metrics_images"] == 3
    gap, _ = overfit_gap(second["train_seg_metrics/F1"], second["seg_metrics/F1"])
    assert second["overfit_gap"] == gap
    assert second["train_seg_metrics/confidence"] == second["seg_metrics/confidence"]


def assert_few_training_images_measured(trial: MemoryTrial) -> None:
    """Where a study says nothing, as many as an epoch can afford, the same in each epoch."""
    assert trial.train_metrics == TrainMetrics()
    n = {values["train_metrics_images"] for values in trial.reported.values()}
    assert len(n) == 1
    assert 1 <= n.pop() <= 5


def assert_all_curves_and_tables_kept(trial: MemoryTrial) -> None:
    """A trial has every picture, and a row for each epoch reported."""
    kept = {path.name: kind for path, kind in trial.kept}
    curves = {f"{k}{c}_curve.png" for k in ("Mask", "Box") for c in ("F1", "P", "R", "PR")}
    pictures = {"confusion_matrix.png", "confusion_matrix_normalized.png", "results.png"}
    assert {name for name, kind in kept.items() if kind is ArtifactKind.CURVES} == curves | pictures
    assert kept["results.csv"] is kept["classes.csv"] is ArtifactKind.TABLE
    assert all(path.stat().st_size > 0 for path, _ in trial.kept)
    [table] = [path for path, _ in trial.kept if path.name == "results.csv"]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == list(trial.reported)
    for row, values in zip(rows, trial.reported.values(), strict=True):
        assert {key: float(value) for key, value in row.items() if value} == values


def assert_pictures_and_tables_of_epoch(trial: MemoryTrial, epoch: int) -> None:
    """Curves, confusion matrices and figures of classes are of one epoch, and say so."""
    kept = {path.name: path for path, _ in trial.kept}
    drawn = [path for name, path in kept.items() if re.search("_curve|confusion", name)]
    assert len(drawn) == 10
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.info["Title"].endswith(f"\nvalidation part, epoch {epoch}"), path
    rows = list(csv.DictReader(kept["classes.csv"].read_text().splitlines()))
    assert {row["epoch"] for row in rows} == {str(epoch)}
    for group in GROUPS:
        ap = [float(r["map50_95"]) for r in rows if r["group"] == group and r["map50_95"]]
        assert np.mean(ap) == pytest.approx(trial.reported[epoch][f"{group}/map50_95"])


def continued_elsewhere(
    engine: str, trial: MemoryTrial, checkpoint: Path
) -> dict[int, dict[str, float]]:
    """What is reported where a new process goes on with a trial."""
    program = (
        "import json, sys; from pathlib import Path\n"
        "from trainables.contract import TrainMetrics\n"
        "from trainables.datasets.prepared import PreparedDataset\n"
        "from trainables.registry import load_engine\n"
        "from trainables.trials.memory import MemoryTrial\n"
        "engine, params, epochs, images, data, directory, checkpoint = json.loads(sys.argv[1])\n"
        "trial = MemoryTrial(params, PreparedDataset.load(Path(data)), Path(directory),\n"
        "    epochs=epochs, resume_from=Path(checkpoint),\n"
        "    train_metrics=TrainMetrics(images=images))\n"
        "load_engine(engine).train(trial); print(json.dumps(trial.reported))\n"
    )
    places = map(str, (trial.data.root, trial.directory, checkpoint))
    given = [engine, dict(trial.params), trial.epochs, trial.train_metrics.images, *places]
    command = [sys.executable, "-c", program, json.dumps(given)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {int(e): v for e, v in json.loads(done.stdout.splitlines()[-1]).items()}


def assert_as_unbroken(reported: Mapping[int, Mapping[str, float]], unbroken: MemoryTrial) -> None:
    """Whatever was reported is what the unbroken trial reported, but for times."""
    assert reported
    for epoch, values in reported.items():
        assert timeless(values) == pytest.approx(timeless(unbroken.reported[epoch]), abs=1e-5)


def timeless(values: Mapping[str, float]) -> dict[str, float]:
    """Without what differs from run to run."""
    return {name: value for name, value in values.items() if name != "epoch_seconds"}
