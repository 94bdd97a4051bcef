"""Studies brought to W&B at any moment: every epoch arrives once, with state and artifacts."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import segtune
from tests.support.rehearsed_study import go_on, rehearse
from tests.support.servers.wandb_server import ServedRun, WandbServer, wandb_server
from tune.directory.reader import StudyDir
from tune.directory.trials import UNFINISHED
from tune.errors import TrackingError
from tune.mirror.mirror import mirrored
from tune.mirror.opening import copy_of
from tune.study.study import Mirror
from tune.tracking.tracker import run_id
from tune.tracking.upload import Uploaded, upload

KEY = "0123456789abcdef" * 2 + "01234567"

F1 = "seg_metrics/F1"


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server and a key for it, on a machine where nobody is logged in."""
    for name in list(os.environ):
        if name.startswith("WANDB_") or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with wandb_server() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A study of two trials of six epochs, left in the middle of the second."""
    return rehearse(
        tmp_path_factory.mktemp("half"),
        budget={"trials": 2, "epochs": 6},
        scheduler={"kind": "none"},
        stop_after=9,
        tracking={"wandb": {"project": "powder", "mode": "offline"}},
    )


@pytest.fixture
def study(half: StudyDir, tmp_path: Path) -> StudyDir:
    """A copy of the study, in the same storage's name."""
    return StudyDir.open(shutil.copytree(half.path, tmp_path / "studies" / half.path.name))


def run_of(runs: Mapping[str, ServedRun], study: StudyDir, trial: int) -> ServedRun:
    return runs[run_id(study.study.study, study.resolved["created"], trial)]


def assert_exact(runs: Mapping[str, ServedRun], study: StudyDir) -> None:
    """Every trial's run has each of its epochs once, in order, with its values and its state."""
    trials = study.trials()
    assert len(runs) == len(trials)
    for trial in trials:
        run = run_of(runs, study, trial.number)
        assert run.steps == list(range(1, trial.epochs + 1))
        rows = [run.rows[place] for place in sorted(run.rows)]
        assert [row[F1] for row in rows] == [line[F1] for line in trial.metrics]
        ended = trial.state not in UNFINISHED
        assert run.summary["state"] == trial.state
        assert run.preempting is not ended
        assert run.exit_code == (0 if ended else 1)
        assert set(run.artifacts) == ({f"best_model_trial_{trial.number}"} if ended else set())
        assert run.config.items() >= {"lr0": trial.params["lr0"], "trial": trial.number}.items()
        assert run.attributes["groupName"] == study.study.study


def files_of(study: StudyDir) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in study.path.rglob("*") if p.is_file()}


def test_a_study_whose_disk_is_lost_is_uploaded_from_its_mirror(
    study: StudyDir, server: WandbServer, tmp_path: Path
) -> None:
    """W&B's own offline files are not shipped: all that they hold is in the study's."""
    place = tmp_path / "shared"
    mirror = Mirror.model_validate({"place": str(place), "lease_seconds": 1})
    with mirrored(study.study.model_copy(update={"mirror": mirror}), study.path, resume=True):
        pass
    shutil.rmtree(study.path)
    done = segtune(tmp_path, "wandb", "upload", str(place / "sample"))
    assert done.returncode == 0, done.stderr
    assert "trial 1: waiting, 3 epochs" in done.stdout
    assert_exact(server.projects["powder"], StudyDir.open(copy_of(str(place / "sample"))))


def test_uploaded_in_the_middle_twice_with_a_resume_between_each_epoch_is_there_once(
    study: StudyDir, server: WandbServer
) -> None:
    before = files_of(study)
    assert upload(study) == [Uploaded(0, "complete", 6, 0), Uploaded(1, "waiting", 3, 0)]
    assert files_of(study) == before
    assert_exact(server.projects["powder"], study)
    assert upload(study) == [Uploaded(0, "complete", 6, 6), Uploaded(1, "waiting", 3, 3)]
    assert_exact(server.projects["powder"], study)
    whole = go_on(study)
    assert upload(whole) == [Uploaded(0, "complete", 6, 6), Uploaded(1, "complete", 6, 3)]
    server.projects["powder"][
        run_id(study.study.study, study.resolved["created"], 1)
    ].preempting = False  # W&B takes the mark away when the run has finished
    assert_exact(server.projects["powder"], whole)
    assert list(server.projects) == ["powder"]


def test_another_project_gets_all_of_it(study: StudyDir, server: WandbServer) -> None:
    upload(study)
    upload(study, project="shared")
    assert sorted(server.projects) == ["powder", "shared"]
    for runs in server.projects.values():
        assert_exact(runs, study)


def test_without_a_server_one_message_says_so(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(TrackingError) as raised:
        upload(study)
    assert str(raised.value).startswith(
        "W&B: expected a server that takes runs, got none: http://127.0.0.1:9 cannot be reached"
    )


def test_without_a_key_one_message_says_so(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(TrackingError, match="no API key: set WANDB_API_KEY"):
        upload(study)


@pytest.mark.slow
def test_the_verb_says_what_is_there(study: StudyDir, server: WandbServer, tmp_path: Path) -> None:
    environment: dict[str, Any] = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
    ran = segtune(
        tmp_path, "wandb", "upload", str(study.path / "study.yaml"), "--project", "x", **environment
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == (
        f"{study.path}:\n  trial 0: complete, 6 epochs\n  trial 1: waiting, 3 epochs\n"
        "  2 trials are at W&B\n"
    )
    assert_exact(server.projects["x"], study)
