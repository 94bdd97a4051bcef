import json
import math
import signal
import threading
from pathlib import Path

import pytest

from tests.support.study_samples import write_data
from trainables.contract import ArtifactKind, Device, Diverged, EpochMetrics, TrialStopped
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.simulated.engine import SimulatedEngine
from trainables.goal import Goal, Limit
from trainables.trials.local import LocalTrial, StopFlag, stopping_on_signals

F1 = "seg_metrics/F1"


@pytest.fixture
def data(tmp_path: Path) -> PreparedDataset:
    return PreparedDataset.load(write_data(tmp_path / "data"))


def trial(data: PreparedDataset, out: Path, **changes: object) -> LocalTrial:
    values: dict[str, object] = {
        "name": "study/retrain",
        "params": {"lr0": 0.003, "noise": 0.05},
        "sampled": frozenset({"lr0"}),
        "data": data,
        "epochs": 8,
        "seed": 3,
        "device": Device(),
        "out": out,
        "goal": Goal(F1),
    }
    return LocalTrial(**{**values, **changes})  # type: ignore[arg-type]


def epochs_written(out: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_the_model_of_the_best_epoch_is_kept(data: PreparedDataset, tmp_path: Path) -> None:
    one = trial(data, tmp_path / "out")
    SimulatedEngine().train(one)
    text = (tmp_path / "out" / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    best = max(rows, key=lambda row: row[F1])
    assert one.keeper.best is not None
    assert one.keeper.best.epoch == best["epoch"]
    assert json.loads((tmp_path / "out/best/model.pt").read_text())["epoch"] == best["epoch"]


def test_a_request_to_stop_ends_the_training_after_the_epoch(
    data: PreparedDataset, tmp_path: Path
) -> None:
    stop = StopFlag()

    def ask(metrics: EpochMetrics) -> None:
        stop.requested = metrics.epoch == 3

    with pytest.raises(TrialStopped, match="after epoch 3"):
        SimulatedEngine().train(trial(data, tmp_path / "out", stop=stop, progress=ask))
    again = trial(data, tmp_path / "out")
    assert again.epochs_done == 3
    assert again.resume_from is not None
    SimulatedEngine().train(again)
    assert epochs_written(tmp_path / "out") == list(range(1, 9))


def test_a_request_at_the_last_epoch_lets_it_end(data: PreparedDataset, tmp_path: Path) -> None:
    SimulatedEngine().train(trial(data, tmp_path / "out", epochs=1, stop=StopFlag(requested=True)))
    assert epochs_written(tmp_path / "out") == [1]


def test_an_epoch_that_only_the_checkpoint_has_is_not_lost(
    data: PreparedDataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    SimulatedEngine().train(trial(data, out))
    lines = (out / "metrics.jsonl").read_text().splitlines(keepends=True)
    (out / "metrics.jsonl").write_text("".join(lines[:-1]) + lines[-1][:10])
    assert trial(data, out).epochs_done == 8
    assert epochs_written(out) == list(range(1, 9))


def test_a_checkpoint_without_its_history_is_not_gone_on_from(
    data: PreparedDataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    SimulatedEngine().train(trial(data, out))
    (out / "work/checkpoint/history.json").unlink()
    again = trial(data, out)
    assert again.resume_from is None
    assert again.epochs_done == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_objective_that_is_not_finite_ends_the_training(
    data: PreparedDataset, tmp_path: Path, value: float
) -> None:
    with pytest.raises(Diverged, match="after epoch 1"):
        trial(data, tmp_path / "out").report(EpochMetrics(1, {F1: value}), None)


def test_artifacts_are_copied(data: PreparedDataset, tmp_path: Path) -> None:
    one = trial(data, tmp_path / "out")
    (one.directory / "results.csv").write_text("a,b")
    one.artifact(one.directory / "results.csv", ArtifactKind.TABLE)
    assert (tmp_path / "out/artifacts/results.csv").read_text() == "a,b"


def test_signals_are_given_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = StopFlag()
    with stopping_on_signals(stop):
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    found: list[object] = []

    def work() -> None:
        with stopping_on_signals(StopFlag()):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]


def test_an_engine_is_told_what_makes_an_epoch_better(
    data: PreparedDataset, tmp_path: Path
) -> None:
    limits = (Limit("measure/count_error", at_most=0.2),)
    one = trial(data, tmp_path / "out", goal=Goal("val/loss", "min", limits))
    assert one.goal == Goal("val/loss", "min", limits)


def test_what_the_user_has_read_already_is_kept_and_not_logged_again(
    data: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    one = trial(data, tmp_path / "out", told=["small masks grow"])
    one.note("small masks grow")
    one.note("no GPU")
    assert one.notes == ["small masks grow", "no GPU"]
    assert caplog.messages == ["study/retrain: no GPU"]
