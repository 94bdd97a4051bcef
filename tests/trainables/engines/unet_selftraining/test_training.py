"""A trial through its rounds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the extra unet")

from tests.trainables.engines.unet_selftraining.conftest import MakeTrial
from trainables.contract import Device, EarlyStopped, ExportForm, InfeasibleParams, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.engines.unet_selftraining.engine import UnetEngine
from trainables.goal import Goal
from trainables.trials.memory import MemoryTrial

pytestmark = pytest.mark.usefixtures("undrawn")

TIMES = {"epoch_seconds", "gpu_memory_gb"}


def _interrupted(trial: MemoryTrial, after: int) -> Path:
    trial.stop_after = after
    with pytest.raises(TrialStopped):
        UnetEngine().train(trial)
    assert trial.checkpoint is not None
    return trial.checkpoint


def _timeless(values: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in values.items() if key not in TIMES}


@pytest.mark.parametrize(
    "params",
    [{}, {"ema_decay": 0.9, "flip_average": True, "augment": "seed", "batch_multiplier": 3}],
    ids=["plain", "averaged, flipped, augmented"],
)
def test_a_trial_interrupted_inside_round_2_goes_on_inside_round_2(
    params: dict[str, Any], make_trial: MakeTrial
) -> None:
    fields: dict[str, Any] = {"epochs": 5, "seed": 3}
    params = {"supervised_fraction": 0.2, **params}
    unbroken = make_trial(params, **fields)
    UnetEngine().train(unbroken)
    assert [unbroken.reported[epoch]["round"] for epoch in range(1, 6)] == [0, 1, 1, 2, 2]
    checkpoint = _interrupted(make_trial(params, **fields), after=4)
    rest = make_trial(params, **fields, resume_from=checkpoint)
    UnetEngine().train(rest)
    assert list(rest.reported) == [5]
    expected = _timeless(unbroken.reported[5])
    assert _timeless(rest.reported[5]) == pytest.approx(expected, abs=1e-5)
    assert {p.name for p, _ in rest.kept} == {p.name for p, _ in unbroken.kept}


def test_each_phase_leaves_its_numbers_and_its_figure(make_trial: MakeTrial) -> None:
    trial = make_trial(epochs=4, seed=0)
    UnetEngine().train(trial)
    names = {path.name for path, _ in trial.kept}
    for number in range(3):
        assert {f"round-{number}.png", f"round-{number}-metrics.json"} <= names
        file = trial.directory / "rounds" / f"round-{number}-metrics.json"
        record = json.loads(file.read_text())
        assert record["round"] == number
        own = [v["particle_metrics/F1"] for v in trial.reported.values() if v["round"] == number]
        assert record["metrics"]["particle_metrics/F1"] == max(own)
        assert ("human" in record["pixels"]) == (number > 0)


def test_the_figure_of_a_phase_is_of_its_best_epoch_and_says_so(make_trial: MakeTrial) -> None:
    """By this goal the best epoch of a phase is its first, of which the weights must be kept."""
    fields: dict[str, Any] = {"epochs": 5, "seed": 2, "goal": Goal("epoch", "min")}
    whole = make_trial({"rounds": 1, "supervised_fraction": 0.4}, **fields)
    UnetEngine().train(whole)
    assert [whole.reported[epoch]["round"] for epoch in range(1, 6)] == [0, 0, 1, 1, 1]
    titles = {n: _figure(whole, n).info["Title"] for n in (0, 1)}
    assert titles[0] == "supervised phase, epoch 1, the best of 1 to 2"
    assert titles[1] == "round 1, epoch 3, the best of 3 to 5"
    record = json.loads((whole.directory / "rounds" / "round-1-metrics.json").read_text())
    assert record["drawn_epoch"] == record["best_epoch"] == 3
    fields["resume_from"] = _interrupted(make_trial(whole.params, **fields), after=4)
    rest = make_trial(whole.params, **fields)
    UnetEngine().train(rest)
    early = make_trial(whole.params, **fields | {"resume_from": None})
    _interrupted(early, after=3)
    assert _figure(early, 1).info["Title"] == "round 1, epoch 3, the best of 3 to 3"
    expected = _below_the_title(_figure(early, 1))
    for trial in (whole, rest):
        np.testing.assert_allclose(_below_the_title(_figure(trial, 1)), expected, atol=2)


def _figure(trial: MemoryTrial, number: int) -> Image.Image:
    with Image.open(trial.directory / "rounds" / f"round-{number}.png") as picture:
        picture.load()
    return picture


def _below_the_title(picture: Image.Image) -> npt.NDArray[np.int16]:
    return np.asarray(picture.convert("L")).astype(np.int16)[60:]


def test_a_round_that_is_worse_is_not_promoted(make_trial: MakeTrial) -> None:
    """What the next round and the trial go on from are the weights of the best epoch so far."""
    params = {"scheduler": "none", "supervised_fraction": 0.6, "learning_rate": 0.01}
    trial = make_trial(params, epochs=5, seed=1)
    UnetEngine().train(trial)
    assert trial.checkpoint is not None
    state = torch.load(trial.checkpoint / "state.pt", weights_only=True)["memory"]
    values = trial.reported
    order = ("particle_metrics/F1", "particle_metrics/average_precision")
    best = max(values, key=lambda e: (*(values[e][k] for k in order), -values[e]["val/loss"]))
    again = make_trial(params, epochs=5, seed=1)
    checkpoint = _interrupted(again, after=best) if best < 5 else trial.checkpoint
    model = torch.load(checkpoint / "model.pt", weights_only=True)["weights"]
    for name, weight in state["best"].items():
        np.testing.assert_allclose(weight, model[name], atol=1e-6)


def test_patience_ends_a_trial_with_its_own_reason(make_trial: MakeTrial) -> None:
    params = {"early_stopping_patience": 1, "learning_rate": 1e-9, "scheduler": "none"}
    trial = make_trial({**params, "rounds": 0}, epochs=6)
    with pytest.raises(EarlyStopped, match="no better validation loss in 1 epochs"):
        UnetEngine().train(trial)
    assert 1 < len(trial.reported) < 6
    assert trial.kept


def test_more_rounds_than_epochs_are_refused(make_trial: MakeTrial) -> None:
    with pytest.raises(InfeasibleParams, match=r"rounds: expected at most 1 .* got 2"):
        UnetEngine().train(make_trial(epochs=2))


def test_a_trained_model_picks_the_discs(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial({"rounds": 0, "tiles": 64, "loss": "ce_dice"}, epochs=5)
    UnetEngine().train(trial)
    assert trial.checkpoint is not None
    assert trial.reported[5]["pixel_metrics/AUC"] > 0.8
    file = UnetEngine().export(trial.checkpoint, tmp_path, ExportForm.NATIVE)
    predictor = UnetEngine().load(file, Device())
    image = trial.data.read(trial.data.images("val")[0])
    probability = predictor.probability(image)
    assert probability.shape == image.shape[:2]
    found = predictor([image])[0]
    assert len(found) == len(predictor.picks(probability))
    assert found.masks is not None


def test_boxes_are_learned_as_particles_and_pixels_are_not_measured(
    discs: PreparedDataset, make_trial: MakeTrial, tmp_path: Path
) -> None:
    options = PrepareOptions(group=r"p(\d+)", splits=(0.6, 0.35, 0.05), boxes=True)
    boxes = prepare(discs.root.parent / "raw", tmp_path / "boxes", options).data
    trial = make_trial({"rounds": 0, "tiles": 48, "loss": "ce_dice"}, epochs=3, data=boxes)
    UnetEngine().train(trial)
    assert trial.reported[3]["particle_metrics/F1"] > 0.4
    assert not [name for name in trial.reported[3] if name.removeprefix("train_")[:5] == "pixel"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_metrics_to_the_bit(make_trial: MakeTrial) -> None:
    """Those of the training part too, however many threads cut the tiles."""
    params = {"augment": "seed", "dropout": 0.2, "ema_decay": 0.9, "supervised_fraction": 0.4}
    fields: dict[str, Any] = {"epochs": 3, "device": Device(cpus=2)}
    first, second = (make_trial({**params, "workers": n}, seed=5, **fields) for n in (1, 3))
    for trial in (first, second):
        UnetEngine().train(trial)
    for epoch in range(1, 4):
        assert _timeless(second.reported[epoch]) == _timeless(first.reported[epoch])
    assert "train_particle_metrics/F1" in first.reported[3]
    other = make_trial(params, seed=6, **fields)
    _interrupted(other, after=1)
    assert other.reported[1]["train/loss"] != first.reported[1]["train/loss"]
