"""What the rounds learn from, and what comes of a round that is worse."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="needs the extra unet")

from tests.trainables.engines.unet_selftraining.conftest import SMALL, MakeTrial
from trainables.contract import Device, EarlyStopped, EpochMetrics, TrainMetrics, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.unet_selftraining import training
from trainables.engines.unet_selftraining.engine import UnetEngine
from trainables.engines.unet_selftraining.rounds.rounds import Taught, best_epoch, standing, teach
from trainables.engines.unet_selftraining.validation import (
    MeasuredMicrographs,
    measure,
)
from trainables.goal import (
    Goal,
    Limit,
)
from trainables.trials.local import LocalTrial

pytestmark = pytest.mark.usefixtures("undrawn")

F1, AP, LOSS = "particle_metrics/F1", "particle_metrics/average_precision", "val/loss"


def epoch(number: int, **values: float) -> EpochMetrics:
    given = {F1: 0.5, AP: 0.5, LOSS: 0.3, "pixel_metrics/F1": 0.5}
    return EpochMetrics(number, {**given, **{NAMES[key]: value for key, value in values.items()}})


NAMES = {"f1": F1, "ap": AP, "loss": LOSS, "pixels": "pixel_metrics/F1"}


def test_without_a_goal_particles_decide_and_of_equal_ones_precision_then_loss() -> None:
    better = [{"f1": 0.6, "ap": 0.1}, {"ap": 0.6, "loss": 0.9}, {"loss": 0.2}]
    for values in better:
        assert best_epoch([epoch(1), epoch(2, **values)], None) == epoch(2, **values)
    assert best_epoch([epoch(1), epoch(2)], None) == epoch(2), "of equal ones the later"


@pytest.mark.parametrize(
    ("goal", "best"),
    [
        (Goal("pixel_metrics/F1"), 2),
        (Goal(LOSS, "min"), 3),
        (Goal(F1, limits=(Limit("pixel_metrics/F1", at_least=0.8),)), 2),
        (None, 1),
    ],
)
def test_the_goal_of_the_study_decides_which_epoch_is_best(goal: Goal | None, best: int) -> None:
    history = [epoch(1, f1=0.9), epoch(2, pixels=0.9), epoch(3, loss=0.1)]
    found = best_epoch(history, goal)
    assert found is not None
    assert found.epoch == best


def test_an_epoch_without_the_objective_is_worse_than_any_other() -> None:
    goal = Goal("train_pixel_metrics/F1")
    measured = EpochMetrics(2, {**epoch(2).values, "train_pixel_metrics/F1": 0.0})
    assert standing(measured.values, goal) > standing(epoch(1, f1=1.0).values, goal)


def test_a_round_that_is_worse_is_not_promoted_and_the_best_epoch_is_the_model_in_the_end(
    few_marked: PreparedDataset, tmp_path: Path
) -> None:
    """The objective is the round's own number, so every round is worse for certain."""
    trial = LocalTrial(
        name="worse",
        params=SMALL,
        sampled=frozenset(),
        data=few_marked,
        epochs=5,
        seed=1,
        device=Device(),
        out=tmp_path,
        goal=Goal("round", "min"),
        train_metrics=TrainMetrics(every=0),
    )
    UnetEngine().train(trial)
    kept = trial.keeper.best
    assert kept is not None
    assert kept.values["round"] == 0
    records = [
        json.loads((trial.directory / "rounds" / f"round-{number}-metrics.json").read_text())
        for number in range(3)
    ]
    assert [record["promoted"] for record in records] == [True, False, False]
    memory = torch.load(trial.directory / "checkpoint" / "state.pt", weights_only=True)["memory"]
    model = torch.load(tmp_path / "best" / "model.pt", weights_only=True)
    assert model["epoch"] == kept.epoch
    for name, weight in model["weights"].items():
        np.testing.assert_array_equal(weight, memory["best"][name])
        np.testing.assert_array_equal(weight, memory["teacher"][name])


def test_a_round_that_is_better_teaches_the_next_one(make_trial: MakeTrial) -> None:
    trial = make_trial(epochs=5, seed=1, goal=Goal("epoch"))
    UnetEngine().train(trial)
    assert trial.checkpoint is not None
    memory = torch.load(trial.checkpoint / "state.pt", weights_only=True)["memory"]
    model = torch.load(trial.checkpoint / "model.pt", weights_only=True)["weights"]
    assert all(torch.equal(weight, memory["best"][name]) for name, weight in model.items())
    assert not all(torch.equal(w, memory["teacher"][name]) for name, w in model.items())


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch) -> dict[int, npt.NDArray[np.float32]]:
    """The labels of the last round, by picture, once a training with rounds has ended."""
    found: dict[int, npt.NDArray[np.float32]] = {}

    def recorded(*args: Any) -> Taught:
        taught = teach(*args)
        found.update({number: np.array(map_, np.float32) for number, map_ in taught.labels.items()})
        return taught

    monkeypatch.setattr(training, "teach", recorded)
    return found


RING: dict[str, Any] = {"background": "ring", "rounds": 1, "tiles": 64, "supervised_fraction": 0.6}


def test_unlabelled_micrographs_get_labels_and_change_the_training(
    few_marked: PreparedDataset,
    tmp_path: Path,
    make_trial: MakeTrial,
    labels: dict[int, npt.NDArray[np.float32]],
) -> None:
    """Without them, the same training is the same until the first round, and then another one."""
    trial = make_trial(RING, data=few_marked, epochs=5, seed=2)
    UnetEngine().train(trial)
    for image in few_marked.unlabelled():
        values, n = np.unique(labels[image.id], return_counts=True)
        assert {0.0, 1.0} <= set(values.tolist())
        assert n[values >= 0].sum() > labels[image.id].size / 4
    without = make_trial(RING, data=_without_unlabelled(few_marked, tmp_path), epochs=5, seed=2)
    UnetEngine().train(without)
    losses = [[t.reported[e]["train/loss"] for e in (1, 2, 3, 4)] for t in (trial, without)]
    assert losses[0][:3] == pytest.approx(losses[1][:3], abs=1e-6)
    assert losses[0][3] != pytest.approx(losses[1][3], abs=1e-5)


def _without_unlabelled(data: PreparedDataset, to: Path) -> PreparedDataset:
    class Labelled(PreparedDataset):
        def unlabelled(self) -> tuple[()]:
            return ()

    root = to / "data"
    root.symlink_to(data.root)
    return Labelled.from_manifest(root, data.manifest)


def test_what_humans_marked_keeps_its_label_in_the_rounds(
    few_marked: PreparedDataset,
    make_trial: MakeTrial,
    labels: dict[int, npt.NDArray[np.float32]],
) -> None:
    params = {**RING, "positive_cap": 0.0, "target_scale": 1.0}
    trial = make_trial(params, data=few_marked, epochs=4, seed=2)
    UnetEngine().train(trial)
    for image in few_marked.images("train"):
        y, x = np.mgrid[: image.height, : image.width] + 0.5
        marked, ring = (np.zeros(y.shape, bool) for _ in range(2))
        for item in few_marked.annotations(image):
            assert item.disc is not None
            squared = (x - item.disc.x) ** 2 + (y - item.disc.y) ** 2
            marked |= squared <= 25
            ring |= squared <= 100
        assert (labels[image.id][marked] == 1).all()
        assert (labels[image.id][ring & ~marked] == 0).all()
        assert (labels[image.id][~ring] != 1).all()
    assert any("no pixel is above positive_threshold" in note for note in trial.notes)


def test_a_teacher_that_knows_no_background_does_not_teach_particles_alone(
    few_marked: PreparedDataset,
    make_trial: MakeTrial,
    labels: dict[int, npt.NDArray[np.float32]],
) -> None:
    """No probability is below the threshold: what is left of background are the rings."""
    params = {"rounds": 1, "negative_threshold": 1e-9, "threshold_decay": 0.0}
    trial = make_trial(params, data=few_marked, epochs=2, seed=2)
    UnetEngine().train(trial)
    assert any("rings around" in note for note in trial.notes)
    record = json.loads((trial.directory / "rounds" / "round-1-metrics.json").read_text())
    assert record["ringed"]
    assert record["pixels"]["negative"] == 0
    for image in few_marked.images("train"):
        assert (labels[image.id] == 0).sum() > (labels[image.id] > 0).sum() > 0


@pytest.mark.parametrize("stop_after", [None, 3], ids=["to its end", "stopped"])
def test_labels_as_large_as_all_pictures_do_not_outlive_the_training(
    stop_after: int | None, make_trial: MakeTrial, labels: dict[int, npt.NDArray[np.float32]]
) -> None:
    trial = make_trial({"rounds": 1}, epochs=4, stop_after=stop_after)
    with pytest.raises(TrialStopped) if stop_after else contextlib.nullcontext():
        UnetEngine().train(trial)
    assert labels
    assert not list(trial.directory.rglob("*.npy"))


def test_patience_counts_anew_in_each_phase(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss jumps up when a round begins and falls from there, never below what was before."""
    losses = iter([0.5, 0.4, 0.9, 0.8, 0.7, 0.71, 0.72])

    def with_loss(*args: Any, **given: Any) -> MeasuredMicrographs:
        return replace(measure(*args, **given), loss=next(losses))

    monkeypatch.setattr(training, "measure", with_loss)
    params = {"rounds": 1, "supervised_fraction": 0.3, "early_stopping_patience": 2}
    trial = make_trial(params, epochs=8, train_metrics=TrainMetrics(every=0))
    with pytest.raises(EarlyStopped, match="stopped after epoch 7"):
        UnetEngine().train(trial)
    assert [values["round"] for values in trial.reported.values()] == [0, 0, 1, 1, 1, 1, 1]


def test_the_same_seed_gives_the_same_metrics_those_of_the_training_part_too(
    few_marked: PreparedDataset, make_trial: MakeTrial
) -> None:
    fields: dict[str, Any] = {"data": few_marked, "epochs": 3, "train_metrics": TrainMetrics()}
    values = []
    for _ in range(2):
        trial = make_trial({"rounds": 1}, **fields)
        UnetEngine().train(trial)
        times = {"epoch_seconds", "gpu_memory_gb"}
        values.append({k: v for k, v in trial.reported[3].items() if k not in times})
    assert values[0]["train_metrics_images"] >= 1
    assert values[0] == values[1]


def test_measuring_as_many_training_pictures_as_their_pixels_allow(
    few_marked: PreparedDataset, make_trial: MakeTrial
) -> None:
    """A picture has 6720 pixels, validation three of them, a tile 2304 that go through thrice."""
    counts = []
    for tiles in (1, 20, 1000):
        fields: dict[str, Any] = {"data": few_marked, "train_metrics": TrainMetrics(), "epochs": 1}
        trial = make_trial({"rounds": 0, "tiles": tiles, "batch_size": 64}, **fields)
        UnetEngine().train(trial)
        counts.append(trial.reported[1]["train_metrics_images"])
    assert counts == [1, (20 * 3 * 2304 + 3 * 6720) // 67200, 3]
