"""Engines in child processes, and how they end."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.discs import prepare_discs
from tests.support.places import THIRD_PARTY
from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal
from tune.stopping.decision import Rule
from tune.trial.messages import Ended, HandedOver, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import TrialTask


@pytest.fixture(scope="module", autouse=True)
def awkward() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(THIRD_PARTY)
        yield


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare_discs(tmp_path_factory.mktemp("discs"))


def begin(
    tmp_path: Path,
    data: PreparedDataset,
    engine: str = "awkward",
    resume_from: Path | None = None,
    **params: Any,
) -> TrialRunner:
    attempt = tmp_path / "0" / "attempt-1"
    attempt.mkdir(parents=True, exist_ok=True)
    runner = TrialRunner(engine)
    runner.start(
        TrialTask(
            engine=engine,
            study="try",
            number=0,
            params=params,
            sampled=frozenset(),
            data=data,
            epochs=5,
            seed=0,
            device=Device(),
            directory=attempt,
            resume_from=resume_from,
            reported=0 if resume_from is None else 1,
            goal=Goal("seg_metrics/F1"),
            train_metrics=TrainMetrics(),
        )
    )
    return runner


def test_an_engine_told_to_stop_hands_over_its_artifacts_and_ends(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    runner = begin(tmp_path, discs)
    assert runner.next_event() == Reported(1, {"seg_metrics/F1": 0.5})
    runner.stop()
    kept = runner.next_event()
    assert isinstance(kept, HandedOver)
    assert kept.path.read_text() == "drawn"
    assert runner.next_event() == Ended()
    told = (tmp_path / "0" / "train.log").read_text().splitlines()
    assert told[0].endswith("try/0: epoch 1 of 5: seg_metrics/F1 0.5")


def test_a_trial_on_changed_pictures_does_not_begin(tmp_path: Path, discs: PreparedDataset) -> None:
    data, picture = _with_changed_picture(discs, tmp_path)
    ended = begin(tmp_path, data).next_event()
    assert isinstance(ended, Ended)
    assert (ended.rule, ended.retry, ended.data_changed) == (Rule.ERROR, False, True)
    assert f"the first is {picture} (changed)" in ended.message


def _with_changed_picture(data: PreparedDataset, to: Path) -> tuple[PreparedDataset, str]:
    """A copy of a data set with a changed picture, and the name of that."""
    copy = PreparedDataset.load(shutil.copytree(data.root, to / "data"))
    path = copy.images("train")[0].path
    path.write_bytes(path.read_bytes() + b"more")
    return copy, path.name


def test_a_trial_that_ends_at_an_epoch_reported_again_hands_over_its_artifacts(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    checkpoint = tmp_path / "0" / "attempt-1" / "resume"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.pt").write_text("a model")
    history = [{"epoch": epoch, "values": {"seg_metrics/F1": 0.1 * epoch}} for epoch in (1, 2)]
    (checkpoint / "history.json").write_text(json.dumps(history))
    runner = begin(tmp_path, discs, resume_from=checkpoint)
    assert runner.next_event() == Reported(2, {"seg_metrics/F1": 0.2})
    runner.stop()
    kept = runner.next_event()
    assert isinstance(kept, HandedOver)
    assert kept.path.read_text() == "drawn"
    assert runner.next_event() == Ended()
    assert not (checkpoint.parent / "checkpoint").exists(), "no epoch is trained"


def test_an_engine_that_runs_out_of_patience_ends_with_that_reason(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    runner = begin(tmp_path, discs, "simulated", behaviour="patience")
    epochs = []
    while isinstance(event := runner.next_event(), Reported):
        epochs.append(event.epoch)
        runner.go_on()
    assert epochs == [1, 2, 3]
    assert event == Ended(Rule.PATIENCE, "no gain for 3 epochs")
    assert not (tmp_path / "0" / "error.txt").exists()


def test_what_the_user_can_mend_fails_a_trial_with_its_message_and_no_traceback(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    runner = begin(tmp_path, discs, behaviour="no licence")
    assert isinstance(runner.next_event(), Reported)
    runner.go_on()
    said = "expected a licence of the awkward engine, got none; ask its makers for one"
    assert runner.next_event() == Ended(Rule.ERROR, said)
    assert not (tmp_path / "0" / "error.txt").exists()
    told = (tmp_path / "0" / "train.log").read_text()
    assert told.endswith(f"try/0: {said}\n")
    assert "Traceback" not in told


def test_an_engines_own_end_of_file_is_its_error_and_not_the_runners_death(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    runner = begin(tmp_path, discs, behaviour="eof")
    assert isinstance(runner.next_event(), Reported)
    runner.go_on()
    assert runner.next_event() == Ended(Rule.ERROR, "EOFError: Ran out of input")
    assert "Ran out of input" in (tmp_path / "0" / "error.txt").read_text()


def test_a_trial_whose_folder_was_cleared_fails_and_says_so(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    runner = begin(tmp_path, discs, "simulated", behaviour="crash")  # in a thread of this process
    assert isinstance(runner.next_event(), Reported)
    shutil.rmtree(tmp_path / "0")
    runner.go_on()
    assert runner.next_event() == Ended(Rule.ERROR, "RuntimeError: simulated crash")


def test_a_killed_engine_is_noticed_though_a_process_it_forked_lives_on(
    tmp_path: Path, discs: PreparedDataset
) -> None:
    runner = begin(tmp_path, discs, behaviour="leaves a process")
    assert isinstance(runner.next_event(), Reported)
    runner.go_on()
    started = time.monotonic()
    event = runner.next_event()
    assert time.monotonic() - started < 20
    assert isinstance(event, Ended)
    assert event.retry
    assert "SIGKILL" in event.message
