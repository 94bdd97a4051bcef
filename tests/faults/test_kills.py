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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.places import ROOT
from tests.support.servers.processes import command_of, send
from tests.support.simulation import decisions, reference_asha, values_written
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from tune.tracking.offline import load_offline_run

THIRD_PARTY = ROOT / "tests" / "contract" / "thirdparty"
TRIALS, EPOCHS, GRACE, FACTOR = 20, 8, 2, 2
WAIT_S = 300  # for what takes seconds where the machine has nothing else to do
KILLS = ["driver", "worker", "everything", "engine", "driver"] * 2

SPACE = "{lr0: {loguniform: [0.01, 0.1]}, start: {uniform: [0.25, 0.75]}}"
STUDY = """
study: kills
data: {data}
trainable: {engine}
budget: {{trials: {trials}, epochs: {epochs}}}
fixed: {fixed}
search_space: {space}
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
    return write_study(folder, "threshold", "{epoch_seconds: 0.25}", TRIALS, EPOCHS, SPACE)


def write_study(
    folder: Path, engine: str, fixed: str, trials: int, epochs: int, space: str = "default"
) -> Path:
    file = folder / f"{engine}.yaml"
    file.write_text(
        STUDY.format(
            engine=engine,
            fixed=fixed,
            space=space,
            data=folder / "data",
            storage=folder / "studies",
            trials=trials,
            epochs=epochs,
            grace=GRACE,
            factor=FACTOR,
        )
    )
    return file


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `segtune` in the background; what a failed test leaves running is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{THIRD_PARTY}"}
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tune.cli", *arguments],
                stdout=file,
                stderr=file,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()  # what it started ends with it
            process.wait(timeout=60)


def victims(driver: psutil.Process, what: str) -> list[psutil.Process]:
    """The processes of ours that a kind of kill hits, of this driver only."""
    if what == "driver":
        return [driver]
    below = driver.children(recursive=True)
    if what == "everything":
        return [driver, *below]
    if what == "worker":
        return [p for p in below if "ray::ResourceTrainable" in command_of(p)][:1]
    return [p for p in below if "forkserver" in command_of(p) and p.children() == []][:1]


def epochs_in(journal: Path) -> int:
    return len(values_written(journal)) if journal.exists() else 0


def kill(driver: subprocess.Popen[bytes], what: str) -> None:
    """Kill -9, as soon as there is something of the kind: an engine ends with its trial."""
    deadline = time.monotonic() + WAIT_S
    while not (found := victims(psutil.Process(driver.pid), what)):
        assert time.monotonic() < deadline, f"nothing to kill as {what}"
        time.sleep(0.01)
    send(signal.SIGKILL, found)


def wait_for_epochs(driver: subprocess.Popen[bytes], journal: Path, n: int) -> float:
    """Wait until the journal has `n` more epochs; returns how long the first one took."""
    before, started, first = epochs_in(journal), time.monotonic(), 0.0
    while epochs_in(journal) < before + n and driver.poll() is None:
        if not first and epochs_in(journal) > before:
            first = time.monotonic() - started
        assert time.monotonic() - started < WAIT_S, "no epoch was reported"
        time.sleep(0.05)
    return first or time.monotonic() - started


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_study_killed_ten_times_ends_as_promised(
    study_file: Path, start: Start, record_property: Callable[[str, object], None]
) -> None:
    dice = random.Random(0)
    study = study_file.parent / "studies" / "kills"
    journal, log = study / "optuna.journal", study_file.parent / "log.txt"
    driver = start("tune", str(study_file), log=log)
    resume_seconds: list[float] = []
    finished: dict[int, set[str]] = {}  # its attempts when its end was journalled
    for n, what in enumerate(KILLS):
        first = wait_for_epochs(driver, journal, dice.randint(2, 5))
        assert driver.poll() is None, f"the study ended before kill {n + 1} of {len(KILLS)}"
        if n and KILLS[n - 1] in {"driver", "everything"}:
            resume_seconds.append(first)
        finished |= {trial: attempts(study, trial) for trial in ended(journal) - set(finished)}
        time.sleep(dice.random() * 0.3)
        kill(driver, what)
        if what in {"driver", "everything"}:
            driver.wait(timeout=30)
            check_whole(study)
            driver = start("resume", str(study), log=log)
    assert driver.wait(timeout=WAIT_S) == 0, log.read_text()[-3000:]
    check_whole(study)
    check_promises(study, journal)
    assert finished, "no kill came after a trial's end"
    for trial, before in finished.items():
        assert trained(study, trial) <= before, f"trial {trial} ran again"
    record_property("seconds from resume to the next epoch", resume_seconds)


def attempts(study: Path, trial: int) -> set[str]:
    return {path.name for path in (study / "trials" / str(trial)).glob("attempt-*")}


def trained(study: Path, trial: int) -> set[str]:
    """Attempts that trained an epoch; one that only closes a trial does not."""
    return {path.parent.name for path in (study / "trials" / str(trial)).glob("*/checkpoint")}


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
        check_closed(study / "trials" / str(trial), outcome, epochs[trial])
        best = list((study / "trials" / str(trial)).glob("attempt-*/best/model.pt"))
        assert best, f"trial {trial} kept no model"


def check_closed(trial: Path, outcome: Mapping[str, Any], epochs: int) -> None:
    """The trial's record is whole: every epoch once, its model, its final state."""
    assert (trial / "closed.json").is_file(), trial
    (run,) = (trial / "wandb").glob("offline-run-*")
    recorded = load_offline_run(run)
    assert [step for step, _ in recorded.history] == list(range(1, epochs + 1))
    assert recorded.exit_code == 0, trial
    assert recorded.summary["state"] == outcome["state"]
    assert recorded.summary["stop_reason"] == outcome["stop_reason"]
    assert "model" in {artifact.kind for artifact in recorded.artifacts.values()}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("what", ["driver", "engine"])
def test_a_trial_killed_over_its_artifacts_is_finished(
    study_file: Path, start: Start, what: str
) -> None:
    """By the next driver, or where this one lives on, by that."""
    folder = study_file.parent
    file = write_study(folder, "awkward", "{end_seconds: 3}", 1, 3)
    study, log = folder / "studies" / what, folder / f"{what}.txt"
    driver = start("tune", str(file), "--set", f"study={what}", log=log)
    trial = study / "trials" / "0"
    wait_for_end(driver, trial, log)
    kill(driver, what)
    if what == "driver":
        driver.wait(timeout=30)
        assert not (trial / "closed.json").exists()
        driver = start("resume", str(study), log=log)
    assert driver.wait(timeout=WAIT_S) == 0, log.read_text()[-3000:]
    assert (trial / "attempt-2" / "artifacts" / "curves.txt").read_text() == "drawn"
    assert trained(study, 0) == set()  # its checkpoint went into the attempt that drew
    assert values_written(study / "optuna.journal") == [(0, 1), (0, 2), (0, 3)]
    check_closed(trial, json.loads((trial / "outcome.json").read_text()), 3)


def wait_for_end(driver: subprocess.Popen[bytes], trial: Path, log: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not (trial / "outcome.json").is_file():
        assert driver.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.ray
@pytest.mark.slow
def test_a_second_driver_is_refused_while_the_first_lives(study_file: Path, start: Start) -> None:
    study = study_file.parent / "studies" / "second"
    log = study_file.parent / "second.txt"
    driver = start("tune", str(study_file), "--set", "study=second", log=log)
    try:
        wait_for_epochs(driver, study / "optuna.journal", 1)
        second = study_file.parent / "refused.txt"
        refused = start("resume", str(study), log=second)
        assert refused.wait(timeout=WAIT_S) == 2
        assert re.search(
            rf"a driver is running this study \(process {driver.pid}\)", second.read_text()
        )
    finally:
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=WAIT_S) == 130
    assert "segtune resume" in log.read_text()
