"""Real `kill -9` of a driver, of a worker and of everything, on a real Ray."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.faults.simulation import decisions, reference_asha, values_written
from trainables.datasets.prepare import prepare
from trainables.datasets.simulate import SPECS, simulate
from tune.offline_run import read_offline_run

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "contract" / "thirdparty"
TRIALS, EPOCHS, GRACE, FACTOR = 8, 8, 2, 2
KILLS = ["driver", "worker", "everything", "engine", "driver"] * 2

STUDY = """
study: kills
data: {data}
trainable: threshold
budget: {{trials: {trials}, epochs: {epochs}}}
fixed: {{epoch_seconds: 0.25}}
search_space: threshold
scheduler: {{kind: asha, grace_period: {grace}, reduction_factor: {factor}}}
plateau: {{kind: none}}
resources: {{concurrent: 2, cpus_per_trial: 1}}
tracking: {{wandb: {{mode: offline}}}}
storage: {storage}
"""


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    simulate(SPECS["demo"].model_copy(update={"images": 12}), folder / "raw")
    prepare(folder / "raw", folder / "data")
    file = folder / "study.yaml"
    file.write_text(
        STUDY.format(
            data=folder / "data",
            storage=folder / "studies",
            trials=TRIALS,
            epochs=EPOCHS,
            grace=GRACE,
            factor=FACTOR,
        )
    )
    return file


def start(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{THIRD_PARTY}"}
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tune.cli", *arguments],
            stdout=file,
            stderr=file,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )


def victims(driver: psutil.Process, what: str) -> list[psutil.Process]:
    """The processes of ours that a kind of kill hits, of this driver only."""
    if what == "driver":
        return [driver]
    below = driver.children(recursive=True)
    if what == "everything":
        return [driver, *below]
    if what == "worker":
        return [p for p in below if "ray::ResourceTrainable" in " ".join(p.cmdline())][:1]
    return [p for p in below if "forkserver" in " ".join(p.cmdline()) and p.children() == []][:1]


def epochs_in(journal: Path) -> int:
    return len(values_written(journal)) if journal.exists() else 0


def kill(driver: subprocess.Popen[bytes], what: str) -> int:
    """Kill -9; returns how many processes were hit."""
    hit = 0
    for process in victims(psutil.Process(driver.pid), what):
        try:
            process.send_signal(signal.SIGKILL)
            hit += 1
        except psutil.NoSuchProcess:
            continue
    return hit


def wait_for_epochs(driver: subprocess.Popen[bytes], journal: Path, n: int) -> float:
    """Wait until the journal has `n` more epochs; returns how long the first one took."""
    before, started, first = epochs_in(journal), time.monotonic(), 0.0
    while epochs_in(journal) < before + n and driver.poll() is None:
        if not first and epochs_in(journal) > before:
            first = time.monotonic() - started
        assert time.monotonic() - started < 120, "no epoch was reported in two minutes"
        time.sleep(0.05)
    return first or time.monotonic() - started


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_study_killed_ten_times_ends_as_promised(
    study_file: Path, record_property: Callable[[str, object], None]
) -> None:
    dice = random.Random(0)
    study = study_file.parent / "studies" / "kills"
    journal, log = study / "optuna.journal", study_file.parent / "log.txt"
    driver = start("tune", str(study_file), log=log)
    resume_seconds: list[float] = []
    finished: dict[int, list[str]] = {}  # its attempts when its end was journalled
    for n, what in enumerate(KILLS):
        first = wait_for_epochs(driver, journal, dice.randint(1, 5))
        if driver.poll() is not None:
            break
        if n:
            resume_seconds.append(first)
        finished |= {trial: attempts(study, trial) for trial in ended(journal) - set(finished)}
        time.sleep(dice.random() * 0.3)
        assert kill(driver, what) > 0, f"nothing to kill as {what}"
        if what in {"driver", "everything"}:
            driver.wait(timeout=30)
            check_whole(study)
            driver = start("resume", str(study), log=log)
    assert driver.wait(timeout=300) == 0, log.read_text()[-3000:]
    assert n >= 7, "the study ended before enough kills"
    check_whole(study)
    check_promises(study, journal)
    assert finished, "no kill came after a trial's end"
    for trial, before in finished.items():
        assert attempts(study, trial) == before, f"trial {trial} ran again"
    record_property("seconds from resume to the next epoch", resume_seconds)


def attempts(study: Path, trial: int) -> list[str]:
    return sorted(path.name for path in (study / "trials" / str(trial)).glob("attempt-*"))


def ended(journal: Path) -> set[int]:
    return {trial for trial, _, go_on, _ in decisions(journal) if not go_on}


def check_whole(study: Path) -> None:
    """No file under its final name is half-written (the journal's torn tail is cut on resume)."""
    for path in study.rglob("*.json"):
        json.loads(path.read_text())
    for path in study.rglob("metrics.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True)[:-1]:
            json.loads(line)


def check_promises(study: Path, journal: Path) -> None:
    written = values_written(journal)
    assert len(written) == len(set(written)), "a (trial, epoch) is double"
    epochs = Counter(trial for trial, _ in written)
    assert set(epochs) == set(range(TRIALS))
    for trial, count in epochs.items():
        assert [e for t, e in written if t == trial] == list(range(1, count + 1))
        table = (study / "trials" / str(trial) / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in table] == list(range(1, count + 1))
    found = {(t, e): (go_on, rule) for t, e, go_on, rule in decisions(journal)}
    rungs = tuple(GRACE * FACTOR**k for k in range(3))
    for trial, rung, passes in reference_asha(journal, rungs, FACTOR):
        go_on, rule = found[trial, rung]
        assert rule == "epochs" or go_on == passes, (trial, rung)
    assert sum(rule == "asha" and not go_on for go_on, rule in found.values()) >= TRIALS // 4
    for trial in range(TRIALS):
        outcome = json.loads((study / "trials" / str(trial) / "outcome.json").read_text())
        assert outcome["state"] in {"complete", "pruned"}, outcome
        (run,) = (study / "trials" / str(trial) / "wandb").glob("offline-run-*")
        assert [step for step, _ in read_offline_run(run)] == list(range(1, epochs[trial] + 1))
        best = list((study / "trials" / str(trial)).glob("attempt-*/best/model.pt"))
        assert best, f"trial {trial} kept no model"


@pytest.mark.ray
@pytest.mark.slow
def test_a_second_driver_is_refused_while_the_first_lives(study_file: Path) -> None:
    study = study_file.parent / "studies" / "second"
    log = study_file.parent / "second.txt"
    driver = start("tune", str(study_file), "--set", "study=second", log=log)
    try:
        wait_for_epochs(driver, study / "optuna.journal", 1)
        second = study_file.parent / "refused.txt"
        refused = start("resume", str(study), log=second)
        assert refused.wait(timeout=60) == 2
        assert re.search(
            rf"a driver is running this study \(process {driver.pid}\)", second.read_text()
        )
    finally:
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=60) == 130
    assert "segtune resume" in log.read_text()
