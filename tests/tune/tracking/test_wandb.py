"""Tracking, with real W&B: offline runs read back, and runs taken by a server on this machine."""

import contextlib
import json
import logging
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.places import ROOT
from tests.support.servers.wandb_server import WandbServer, wandb_server
from tests.support.tracked_trial import GOAL, KEYS, epoch_metrics
from trainables.contract import ArtifactKind
from tune.study.study import Tracking, Wandb
from tune.tracking.connection import base_url, connection
from tune.tracking.offline import OfflineRun, load_offline_run, read_offline_run
from tune.tracking.process import synced_mark, synced_steps
from tune.tracking.tracker import NullTracker, RunInfo, run_id
from tune.tracking.wandb import WandbTracker, make_tracker, sync_command, tracking_line

KEY = "0123456789abcdef" * 2 + "01234567"
PRUNED = {"state": "pruned", "stop_reason": "asha", "rung": 4, "cutoff": 0.4, "value": 0.31}

TRACKED_TRIAL = ROOT / "tests" / "support" / "tracked_trial.py"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nobody is logged in to W&B."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in list(os.environ):
        if name.startswith("WANDB_") or name in ("NETRC", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server, and a key for it."""
    with wandb_server() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running


@contextlib.contextmanager
def tracker(mode: str = "auto", finish_s: float = 30.0) -> Iterator[WandbTracker]:
    made = WandbTracker(Wandb.model_validate({"mode": mode}), finish_s)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def offline() -> Iterator[WandbTracker]:
    """One recording process for all tests that need no other."""
    with tracker("offline") as made:
        yield made


def run_info(folder: Path, attempt: int = 1, past: int = 0, **config: Any) -> RunInfo:
    return RunInfo(
        study="powder",
        trial=7,
        run_id=run_id("powder", "uid", 7),
        config={"lr0": 0.01, **config},
        goal=GOAL,
        directory=folder / "trials/7/wandb",
        past=[epoch_metrics(epoch) for epoch in range(1, past + 1)],
        attempt=attempt,
    )


def train(made: WandbTracker, info: RunInfo, last: int, outcome: Mapping[str, Any]) -> None:
    made.start(info)
    for epoch in range(len(info.past) + 1, last + 1):
        made.log(epoch_metrics(epoch))
    made.finish(outcome)


def folders(info: RunInfo) -> list[Path]:
    return sorted(info.directory.iterdir())


def only_run(info: RunInfo) -> OfflineRun:
    (folder,) = folders(info)
    return load_offline_run(folder)


def assert_exact(run: OfflineRun, last: int) -> None:
    """Every key for each epoch, none missing or doubled."""
    assert run.history == [(epoch, epoch_metrics(epoch)) for epoch in range(1, last + 1)]
    assert all(set(values) == {"epoch", *KEYS} for _, values in run.history)


# --- what is recorded


def test_an_offline_run_holds_every_key_for_each_epoch(
    tmp_path: Path, offline: WandbTracker
) -> None:
    info = run_info(tmp_path)
    train(offline, info, 6, PRUNED)
    run = only_run(info)
    assert_exact(run, 6)
    assert (run.run_id, run.name, run.group) == (info.run_id, "trial_7", "powder")
    assert run.config == {"lr0": 0.01}


def test_a_stopped_trial_is_finished_with_its_reason(tmp_path: Path, offline: WandbTracker) -> None:
    info = run_info(tmp_path)
    train(offline, info, 4, {**PRUNED, "best_epoch": 3, "message": None})
    run = only_run(info)
    assert run.exit_code == 0
    assert run.summary.items() >= {**PRUNED, "best_epoch": 3}.items()
    assert not run.preempted


def test_a_failed_trial_ends_with_exit_code_1(tmp_path: Path, offline: WandbTracker) -> None:
    info = run_info(tmp_path)
    train(offline, info, 1, {"state": "failed", "stop_reason": "error", "message": "no memory"})
    run = only_run(info)
    assert run.exit_code == 1
    assert run.summary["message"] == "no memory"


def test_a_trial_that_will_go_on_waits_and_is_preempted(
    tmp_path: Path, offline: WandbTracker
) -> None:
    info = run_info(tmp_path)
    train(offline, info, 2, {"state": "waiting"})
    run = only_run(info)
    assert run.preempted
    assert run.summary["state"] == "waiting"


def test_the_model_and_the_curves_are_artifacts(tmp_path: Path, offline: WandbTracker) -> None:
    info = run_info(tmp_path)
    files = [tmp_path / name for name in ("model.pt", "MaskF1_curve.png", "results.csv")]
    for file in files:
        file.write_bytes(file.name.encode())
    offline.start(info)
    offline.log(epoch_metrics(1))
    offline.artifact(files[0], ArtifactKind.MODEL, "best_model_trial_7")
    offline.artifact(files[1], ArtifactKind.CURVES, "training_curves_trial_7")
    offline.artifact(files[2], ArtifactKind.TABLE, "training_curves_trial_7")
    offline.finish(PRUNED)
    artifacts = only_run(info).artifacts
    model, curves = artifacts["best_model_trial_7"], artifacts["training_curves_trial_7"]
    assert (model.kind, dict(model.files)) == ("model", {"best.pt": files[0]})
    assert curves.kind == "curves"
    assert set(curves.files) == {"MaskF1_curve.png", "results.csv"}


def test_the_best_epochs_finds_are_pictures_in_the_table(
    tmp_path: Path, offline: WandbTracker
) -> None:
    info = run_info(tmp_path)
    colours = {(2, "worst"): 10, (3, "worst"): 20, (3, "best"): 30}
    offline.start(info)
    for epoch in (1, 2, 3):
        offline.log(epoch_metrics(epoch))
    for (epoch, place), grey in colours.items():
        file = tmp_path / f"finds-epoch-{epoch}-{place}-grid.png"
        Image.new("RGB", (8, 6), (grey, grey, grey)).save(file)
        offline.artifact(file, ArtifactKind.PICTURE, "training_curves_trial_7")
    offline.finish(PRUNED)
    run = only_run(info)
    shown = {key: value for key, value in run.summary.items() if "finds" in key}
    assert set(shown) == {"best/finds/worst", "best/finds/best"}
    for key, value in shown.items():
        place = key.rpartition("/")[2]
        assert (value["_type"], value["caption"]) == ("image-file", f"finds-epoch-3-{place}-grid")
        with Image.open(folders(info)[0] / "files" / value["path"]) as picture:
            assert picture.convert("RGB").getpixel((0, 0)) == (colours[3, place],) * 3
    assert_exact(run, 3)  # no row beside the epochs'


def test_a_missing_artifact_costs_a_warning_only(
    tmp_path: Path, offline: WandbTracker, caplog: pytest.LogCaptureFixture
) -> None:
    info = run_info(tmp_path)
    offline.start(info)
    offline.log(epoch_metrics(1))
    offline.artifact(tmp_path / "nowhere.pt", ArtifactKind.MODEL, "best_model_trial_7")
    offline.finish(PRUNED)
    assert_exact(only_run(info), 1)
    assert only_run(info).exit_code == 0
    assert "nowhere.pt" in caplog.text


def test_one_process_records_one_trial_after_another(tmp_path: Path, offline: WandbTracker) -> None:
    infos = [run_info(tmp_path / name) for name in ("a", "b")]
    for info in infos:
        train(offline, info, 3, PRUNED)
    for info in infos:
        assert_exact(only_run(info), 3)


def test_values_that_json_does_not_know_are_recorded(tmp_path: Path, offline: WandbTracker) -> None:
    import numpy as np

    info = run_info(tmp_path, path=Path("a/b"), steps=np.int64(3), filler="x" * 100_000)
    offline.start(info)
    offline.log(
        {"epoch": 1, "seg_metrics/F1": float(np.float32(0.5)), "val/box_loss": float("nan")}
    )
    offline.finish(PRUNED)
    run = only_run(info)
    assert (run.config["path"], run.config["steps"]) == ("a/b", 3)
    assert len(run.config["filler"]) == 100_000  # a record over several blocks of the file
    (values,) = [values for _, values in run.history]
    assert values["seg_metrics/F1"] == 0.5
    assert values["val/box_loss"] != values["val/box_loss"]


# --- crashes


def start_attempt(folder: Path, attempt: int, last: int, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            sys.executable,
            ROOT / "tests" / "support" / "tracked_trial.py",
            folder,
            str(attempt),
            str(last),
            *more,
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def attempt(folder: Path, number: int, last: int, *more: str) -> str:
    process = start_attempt(folder, number, last, *more)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if "--die" in more else 0), said
    return said


@pytest.mark.parametrize("moment", ["logged", "journalled"])
def test_killed_and_resumed_a_trial_is_one_exact_run(tmp_path: Path, moment: str) -> None:
    info = run_info(tmp_path)
    trial_dir = info.directory.parent
    attempt(trial_dir, 1, 30, "--die", moment)
    attempt(trial_dir, 2, 40)
    run = only_run(info)
    assert_exact(run, 40)
    assert run.exit_code == 0
    assert run.run_id == info.run_id


@pytest.mark.slow
def test_ten_kills_at_any_moment_leave_one_exact_run(tmp_path: Path) -> None:
    info = run_info(tmp_path)
    trial_dir = info.directory.parent
    moments = random.Random(0)
    for number in range(1, 11):
        process = start_attempt(trial_dir, number, 400, "--epoch-s", "0.05")
        time.sleep(moments.uniform(0.3, 1.8))
        process.kill()
        process.communicate()
    said = attempt(trial_dir, 11, 200, "--epoch-s", "0")
    run = only_run(info)
    assert_exact(run, 200)
    assert run.exit_code == 0, said


def recording_processes(parent: int) -> set[int]:
    command = ["ps", "-o", "pid=,args=", "--ppid", str(parent)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()]
    return {int(pid) for pid, args in lines if "tune.tracking.process" in args}


def test_a_recording_process_that_dies_is_replaced(tmp_path: Path) -> None:
    info = run_info(tmp_path)
    others = recording_processes(os.getpid())
    with tracker() as made:
        made.start(info)
        for epoch in range(1, 4):
            made.log(epoch_metrics(epoch))
        wait_for(lambda: any(info.directory.glob("*/*.wandb")))
        (process,) = recording_processes(os.getpid()) - others
        os.kill(process, signal.SIGKILL)
        for epoch in range(4, 7):
            made.log(epoch_metrics(epoch))
        made.finish(PRUNED)
    run = only_run(info)
    assert_exact(run, 6)
    assert run.exit_code == 0


def test_nothing_is_left_running_or_lying_about_after_the_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = start_attempt(tmp_path / "7", 1, 3, "--die", "nothing")
    wait_for(lambda: any(tmp_path.glob("7/wandb/*/*.wandb")))
    (recording,) = recording_processes(process.pid)
    assert list(scratch.glob("segtune-wandb-*"))
    process.kill()
    process.communicate()
    wait_for(lambda: not Path(f"/proc/{recording}").exists())
    assert not list(scratch.glob("segtune-wandb-*"))


def wait_for(condition: Any, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


# --- no server, and no network


def test_without_a_key_runs_are_kept_offline_and_one_line_says_how_to_upload(
    tmp_path: Path,
) -> None:
    line = tracking_line(Tracking(), tmp_path / "powder")
    assert line is not None
    assert "no API key" in line
    assert f"Upload later: segtune wandb upload {tmp_path}/powder" in line
    assert line.count("\n") == 0


def test_a_server_that_cannot_be_reached_costs_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    caplog.set_level(logging.INFO)
    info = run_info(tmp_path)
    with tracker() as made:
        made.start(info)
        waits_s = []
        for epoch in range(1, 101):
            time.sleep(0.01)
            began = time.perf_counter()
            made.log(epoch_metrics(epoch))
            waits_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        made.finish(PRUNED)
        finish_s = time.perf_counter() - began
    assert_exact(only_run(info), 100)
    assert sorted(waits_s)[94] < 0.005  # all but those in which this machine did something else
    assert finish_s < 10
    assert "cannot be reached" in caplog.text


def test_a_server_that_refuses_everything_costs_no_epoch(
    tmp_path: Path, server: WandbServer
) -> None:
    server.behaviour = "refuses"
    info = run_info(tmp_path)
    with tracker() as made:
        train(made, info, 5, PRUNED)
    assert folders(info)[0].name.startswith("offline-run-")
    assert_exact(only_run(info), 5)


@pytest.mark.slow
def test_a_server_that_hangs_is_waited_for_only_so_long(
    tmp_path: Path, server: WandbServer, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = run_info(tmp_path / "a"), run_info(tmp_path / "b")
    with tracker(finish_s=3) as made:
        made.start(first)
        made.log(epoch_metrics(1))
        wait_for(lambda: server.runs)
        server.behaviour = "hangs"
        made.log(epoch_metrics(2))
        began = time.monotonic()
        made.finish(PRUNED)
        assert time.monotonic() - began < 4
        assert "goes on in the background" in caplog.text
        train(made, second, 2, PRUNED)
        assert folders(second)[0].name.startswith("offline-run-")
        server.behaviour = "well"
        run = server.runs[first.run_id]
        wait_for(lambda: run.exit_code is not None)
    assert run.steps == [1, 2]


# --- a server that answers


def test_online_a_run_has_every_epoch_and_its_state(tmp_path: Path, server: WandbServer) -> None:
    info = run_info(tmp_path)
    with tracker() as made:
        train(made, info, 4, PRUNED)
    (run,) = server.runs.values()
    assert run.steps == [1, 2, 3, 4]
    assert run.rows[3].items() >= epoch_metrics(4).items()
    assert run.attributes.items() >= {"displayName": "trial_7", "groupName": "powder"}.items()
    assert run.config == {"lr0": 0.01}
    assert run.exit_code == 0
    assert run.summary["state"] == "pruned"


def test_online_a_resumed_trial_goes_on_after_the_servers_last_epoch(
    tmp_path: Path, server: WandbServer
) -> None:
    with tracker() as made:
        train(made, run_info(tmp_path), 3, {"state": "waiting"})
    assert server.runs[run_info(tmp_path).run_id].preempting
    with tracker() as made:  # the journal lacks the last epoch that the server has
        train(made, run_info(tmp_path, attempt=2, past=2), 6, PRUNED)
    (run,) = server.runs.values()
    assert run.steps == [1, 2, 3, 4, 5, 6]
    assert run.exit_code == 0


def test_a_trial_begun_offline_goes_on_online_with_all_its_epochs(
    tmp_path: Path, server: WandbServer
) -> None:
    with tracker("offline") as made:
        train(made, run_info(tmp_path), 3, {"state": "waiting"})
    info = run_info(tmp_path, attempt=2, past=3)
    with tracker() as made:
        train(made, info, 5, PRUNED)
    (run,) = server.runs.values()
    assert run.steps == [1, 2, 3, 4, 5]
    assert [folder.name.split("-")[0] for folder in folders(info)] == ["run"]


@pytest.mark.slow
def test_an_interrupted_trial_is_uploaded_exactly_however_its_attempts_were_kept(
    tmp_path: Path, server: WandbServer
) -> None:
    info = run_info(tmp_path)
    last = 0
    for number, mode in enumerate(("auto", "offline", "sync", "offline", "offline"), 1):
        if mode == "sync":
            sync(info)
            continue
        with tracker(mode) as made:
            train(made, run_info(tmp_path, number, last), last + 2, {"state": "waiting"})
        last += 2
    sync(info)
    (run,) = server.runs.values()
    assert run.steps == list(range(1, last + 1))


@pytest.mark.slow
def test_synced_an_offline_trial_that_was_killed_has_each_epoch_once(
    tmp_path: Path, server: WandbServer
) -> None:
    info = run_info(tmp_path)
    attempt(info.directory.parent, 1, 10, "--die", "logged", "--mode", "offline")
    attempt(info.directory.parent, 2, 15, "--mode", "offline")
    sync(info)
    (run,) = server.runs.values()
    assert run.steps == list(range(1, 16))
    assert run.rows[14].items() >= epoch_metrics(15).items()
    assert run.exit_code == 0


def test_a_mark_counts_for_rows_before_it_and_for_the_project_of_its_run(
    tmp_path: Path, offline: WandbTracker
) -> None:
    info = run_info(tmp_path)
    train(offline, info, 4, PRUNED)
    (folder,) = folders(info)
    assert synced_steps([folder], "segtune") == set()
    logged_at = load_offline_run(folder).logged_at
    mark = synced_mark(folder)
    mark.touch()
    os.utime(mark, (logged_at[2], logged_at[2]))
    later = {step for step, at in logged_at.items() if at > logged_at[2]}
    assert synced_steps([folder], "segtune") == {1, 2, 3, 4} - later
    assert synced_steps([folder], "another") == set()
    (file,) = folder.glob("run-*.wandb")
    for damaged in (b"", b"garbage", file.read_bytes()[:40]):
        file.write_bytes(damaged)
        assert synced_steps([folder], "segtune") == set(), "nothing is known to be uploaded"
    file.unlink()
    (folder / "run.wandb.synced").touch()
    assert synced_steps([folder], "segtune") == set()


def sync(info: RunInfo) -> None:
    wandb = Path(sys.executable).with_name("wandb")
    command = [str(wandb), "sync", "--yes", "--include-online", str(info.directory)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


# --- what it leaves alone


def test_nothing_is_written_outside_the_trial_and_no_secret_in_it(
    tmp_path: Path, home: Path, server: WandbServer
) -> None:
    infos = [run_info(tmp_path / mode) for mode in ("auto", "offline")]
    for info, mode in zip(infos, ("auto", "offline"), strict=True):
        with tracker(mode) as made:
            train(made, info, 2, PRUNED)
    assert list(home.iterdir()) == []
    written = [path for info in infos for path in info.directory.rglob("*")]
    assert written
    assert not [path for path in written if path.is_symlink()]
    assert not [path for path in written if path.is_file() and KEY.encode() in path.read_bytes()]


def test_other_wandb_variables_do_not_redirect_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUN_ID", "NAME", "RUN_GROUP", "PROJECT", "SWEEP_ID"):
        monkeypatch.setenv(f"WANDB_{name}", "elsewhere")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    info = run_info(tmp_path)
    with tracker() as made:
        train(made, info, 1, PRUNED)
    run = only_run(info)
    assert (run.run_id, run.name, run.group) == (info.run_id, "trial_7", "powder")
    assert run.project == "segtune"


# --- pure parts


def test_a_disabled_study_has_no_tracker() -> None:
    spec = Tracking(wandb=Wandb(mode="disabled"))
    assert isinstance(make_tracker(spec), NullTracker)
    assert tracking_line(spec, Path("study")) is None


def test_a_runs_id_is_the_same_for_every_attempt_and_no_other_trial_has_it() -> None:
    ids = [run_id(s, u, t) for s in ("a", "b") for u in ("x", "y") for t in range(100)]
    assert len(set(ids)) == len(ids)
    assert ids == [run_id(s, u, t) for s in ("a", "b") for u in ("x", "y") for t in range(100)]
    assert all(len(one) == 16 and one.isalnum() for one in ids)


def test_wandbs_directory_has_the_name_that_wandb_gives_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a directory named wandb, got"):
        RunInfo("powder", 1, "id", {}, GOAL, tmp_path / "tracking")


@pytest.mark.parametrize(
    ("mode", "environ", "expected"),
    [
        pytest.param("offline", {"WANDB_API_KEY": KEY}, "offline", id="offline is obeyed"),
        pytest.param("disabled", {}, "disabled", id="disabled is obeyed"),
        pytest.param("auto", {}, "offline", id="no key"),
        pytest.param("online", {}, "offline", id="online without a key"),
        pytest.param("auto", {"WANDB_API_KEY": KEY}, "offline", id="nobody answers"),
        pytest.param("auto", {"WANDB_MODE": "disabled"}, "disabled", id="WANDB_MODE=disabled"),
        pytest.param("auto", {"WANDB_MODE": "dryrun"}, "offline", id="WANDB_MODE=dryrun"),
    ],
)
def test_runs_go_where_they_can(mode: str, environ: dict[str, str], expected: str) -> None:
    where = connection(mode, {"WANDB_BASE_URL": "http://127.0.0.1:9"} | environ)
    assert where.mode == expected
    assert where.reason


def test_runs_go_online_with_a_key_from_anywhere(
    server: WandbServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection("auto").mode == "online"
    monkeypatch.delenv("WANDB_API_KEY")
    assert connection("auto").mode == "offline"
    host = server.url.removeprefix("http://")
    netrc = home / ".netrc"
    netrc.write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    netrc.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert connection("auto").mode == "online"
    netrc.write_text(f"machine elsewhere\n  login user\n  password {KEY}\n")
    assert connection("auto").mode == "offline"


def test_the_servers_address_is_the_users(home: Path) -> None:
    assert base_url({}) == "https://api.wandb.ai"
    settings = home / ".config/wandb/settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.example.org/\n")
    assert base_url({}) == "https://wandb.example.org"
    assert base_url({"WANDB_BASE_URL": "http://127.0.0.1:9"}) == "http://127.0.0.1:9"


def test_the_sync_command_quotes_the_folder() -> None:
    command = sync_command(Path("/a b/powder"))
    assert command == "segtune wandb upload '/a b/powder'"


def test_a_torn_file_is_read_up_to_its_last_whole_epoch(
    tmp_path: Path, offline: WandbTracker
) -> None:
    info = run_info(tmp_path)
    train(offline, info, 20, PRUNED)
    (file,) = info.directory.glob("*/*.wandb")
    whole = file.read_bytes()
    cuts = [*sorted(random.Random(0).sample(range(len(whole)), 40)), len(whole)]
    steps = []
    for cut in cuts:
        file.write_bytes(whole[:cut])
        steps.append([step for step, _ in read_offline_run(file.parent)])
    assert all(found == list(range(1, len(found) + 1)) for found in steps)
    assert [len(found) for found in steps] == sorted(len(found) for found in steps)
    assert len(steps[-1]) == 20


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a run-\*\.wandb file in .*, found none"):
        read_offline_run(tmp_path)
    (tmp_path / "run-x.wandb").write_text(json.dumps({"not": "one"}))
    with pytest.raises(ValueError, match="expected W&B's header"):
        read_offline_run(tmp_path)
