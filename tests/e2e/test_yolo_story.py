"""From raw annotations to a retrained YOLO11-seg through the command line, killed on the way."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
import yaml

from tests.support.command_line import segtune
from tests.support.places import ROOT
from tests.support.simulation import values_written
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from tune.tracking.offline import load_offline_run

EPOCHS, TRIALS = 3, 3
FIVE = ("F1", "precision", "recall", "map50", "map50_95")
GROUPS = ("seg_metrics", "box_metrics", "train_seg_metrics", "train_box_metrics")
LOSSES = ("box_loss", "seg_loss", "cls_loss", "dfl_loss")
KEYS = {f"{group}/{key}" for group in GROUPS for key in FIVE} | {
    f"{split}/{loss}" for split in ("train", "val") for loss in LOSSES
}

STUDY = f"""
study: story
data: data
trainable: yolo_seg
budget: {{trials: {TRIALS}, epochs: {EPOCHS}}}
search_space: smoke
scheduler: {{kind: asha, grace_period: 1}}
resources: {{concurrent: 2, cpus_per_trial: 1}}
tracking: {{wandb: {{mode: offline}}}}
"""


def said(folder: Path, *arguments: str) -> str:
    """What a command says that ends well."""
    answer = segtune(folder, *arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was killed with everything it had started, resumed and finished."""
    folder = tmp_path_factory.mktemp("story")
    simulate(SPECS["demo"].model_copy(update={"images": 16}), folder / "raw", form="labelme")
    assert "read as labelme" in said(folder, "prepare", "raw", "--out", "data")
    (folder / "study.yaml").write_text(STUDY)
    kill_after_two_epochs(folder)
    assert "finished" in said(folder, "resume", "studies/story")
    said(folder, "export", "studies/story")
    return folder


def kill_after_two_epochs(folder: Path) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-m", "tune.cli", "tune", "study.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    journal = folder / "studies" / "story" / "optuna.journal"
    started = time.monotonic()
    while not journal.exists() or len(values_written(journal)) < 2:
        assert driver.poll() is None, "the study ended before it could be killed"
        assert time.monotonic() - started < 180
        time.sleep(0.1)
    driver.send_signal(signal.SIGKILL)
    driver.wait()


pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_key_of_every_epoch_is_in_the_one_offline_run_of_each_trial(folder: Path) -> None:
    for trial in range(TRIALS):
        place = folder / "studies" / "story" / "trials" / str(trial)
        table = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        (found,) = (place / "wandb").glob("offline-run-*")
        run = load_offline_run(found)
        assert [step for step, _ in run.history] == [line["epoch"] for line in table]
        for _, row in run.history:
            assert set(row) >= KEYS
        assert run.group == "story"
        assert run.name == f"trial_{trial}"
        assert run.exit_code == 0
        assert run.summary["stop_reason"] in {"epochs", "asha"}
        assert set(run.artifacts) == {
            f"best_model_trial_{trial}",
            f"training_curves_trial_{trial}",
        }


def test_the_leaderboard_has_a_row_a_trial_with_its_best_epoch(folder: Path) -> None:
    with (folder / "studies" / "story" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == TRIALS
    wanted = ["trial", "state", "stop_reason", "objective", "best_epoch", "epochs", "seconds"]
    assert {*wanted, "params/lr0", "seg_metrics/F1", "train_seg_metrics/F1"} <= set(rows[0])
    values = [float(row["objective"]) for row in rows]
    assert values == sorted(values, reverse=True)
    for row in rows:
        assert row["seg_metrics/F1"] == row["objective"]


def test_stopped_trials_keep_their_curves_too(folder: Path) -> None:
    for trial in range(TRIALS):
        place = folder / "studies" / "story" / "trials" / str(trial)
        kept = {path.name for path in place.glob("attempt-*/artifacts/*")}
        assert {"MaskF1_curve.png", "confusion_matrix.png", "results.csv", "args.yaml"} <= kept


def test_the_report_is_one_file_that_loads_nothing(folder: Path) -> None:
    page = (folder / "studies" / "story" / "report.html").read_text()
    assert "default-src 'none'" in page
    assert "seg_metrics/F1" in page


def test_the_exported_best_is_a_configuration_that_ultralytics_reads(folder: Path) -> None:
    best = folder / "studies" / "story" / "best"
    config = yaml.safe_load((best / "best.yaml").read_text())
    native = yaml.safe_load((best / "native.yaml").read_text())
    for key in config["sampled"]:
        assert native[key] == config["params"][key]
    assert (best / "model.pt").is_file()
    assert "AGPL" in (best / "model_card.md").read_text()


def test_the_best_retrains_in_one_command_and_says_what_it_reached(folder: Path) -> None:
    answer = said(folder, "retrain", "studies/story/best/best.yaml", "--out", "again")
    assert "tuned" in answer
    assert "retrained" in answer
    assert "test part" in answer
    assert (folder / "again" / "best" / "model.pt").is_file()


def test_status_and_report_work_on_a_finished_study(folder: Path) -> None:
    answer = said(folder, "status", "studies/story")
    assert f"{TRIALS}/{TRIALS}" in answer
    assert "report.html" in said(folder, "report", "studies/story")


def test_the_study_opens_in_optuna_dashboard(folder: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard", reason="extra `ui` is not installed")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    file = folder / "studies" / "story" / "optuna.journal"
    app = dashboard.wsgi(JournalStorage(JournalFileBackend(str(file))))
    said: list[str] = []

    def answer(status: str, headers: list[tuple[str, str]], *error: Any) -> None:
        said.append(status)

    request: dict[str, Any] = {"PATH_INFO": "/api/studies/0", "QUERY_STRING": "after=0"}
    setup_testing_defaults(request)
    content = json.loads(b"".join(app(request, answer)))
    assert said == ["200 OK"]
    assert len(content["trials"]) == TRIALS
