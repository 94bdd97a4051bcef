"""A study whose machine is lost, put to sleep or left: what its mirror in a bucket makes of it.

Real drivers on real Rays, on machines with disks of their own, and a real bucket emulator.
"""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.rehearsed_study import rehearse
from tests.support.servers.machines import WAIT_S, Computer, computers, wait_until
from tests.support.servers.wandb_server import WandbServer, wandb_server
from tests.support.simulation import decisions, values_written
from tests.support.study_samples import write_study
from tune.directory.reader import StudyDir
from tune.mirror.bringing import bring, read_mirror
from tune.mirror.mirror import place_of
from tune.tracking.tracker import run_id

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

EPOCHS = 8

MOVES = 5

STUDY: dict[str, Any] = {
    "budget": {"trials": 4, "epochs": EPOCHS},
    "scheduler": {"kind": "asha", "grace_period": 2, "reduction_factor": 2},
    "plateau": "none",
    "resources": {"concurrent": 1, "cpus_per_trial": 1},
    "tracking": {"wandb": {"mode": "disabled"}},
}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Computer]]:
    with computers(tmp_path, 2) as made:
        yield made


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server, which the machines know."""
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
        yield server


@pytest.fixture
def address(bucket: str, tmp_path: Path) -> str:
    return f"{bucket}/{tmp_path.name}/sample"


def study_of(tmp_path: Path, address: str, **changes: Any) -> str:
    """A study of one trial at a time, whose decisions are therefore the same in every run."""
    mirror = {
        "place": address.rpartition("/")[0],
        "lease_seconds": 10.0,
        "every_seconds": 0.5,
        "alone_minutes": 10.0,
    }
    values = {**STUDY, "mirror": mirror, "fixed": {"epoch_seconds": 0.7}, **changes}
    return str(write_study(tmp_path, **values))


Decisions = set[tuple[int, int, bool, str | None]]


def decided(journal: Path) -> Decisions:
    return {(trial, epoch, go_on, rule) for trial, epoch, go_on, rule in decisions(journal)}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Decisions:
    """The decisions of the same study, run by the real controller from its beginning to its end."""
    return whole_run(tmp_path_factory.mktemp("unbroken"))


def whole_run(folder: Path, **changes: Any) -> Decisions:
    as_asked = {"search_space": None, "warm_start": None}  # not as rehearsals have it
    study = rehearse(folder, **{**STUDY, **as_asked, **changes})
    found = decided(study.path / "optuna.journal")
    assert len(found) > 8
    return found


def epochs_at(address: str) -> int:
    """Epochs that a mirror has."""
    text = read_mirror(place_of(address)).files.get("optuna.journal", b"")
    return bytes(text).count(b'"op_code":7')


def closed_at(address: str) -> int:
    """Trials that a mirror has with their models."""
    return sum(name.endswith("/closed.json") for name in read_mirror(place_of(address)).files)


def more_than(epochs: int, address: str) -> Callable[[], bool]:
    return lambda: epochs_at(address) > epochs


def check_study(address: str, unbroken: Decisions, folder: Path) -> None:
    """The study is whole, in the bucket, and decided as if nothing had happened."""
    assert bring(place_of(address), folder / "kept" / "sample") == "absent"
    study = folder / "kept" / "sample"
    written = values_written(study / "optuna.journal")
    assert len(written) == len(set(written)), "a (trial, epoch) is double"
    assert decided(study / "optuna.journal") == unbroken
    trials = StudyDir.open(study).trials()
    assert {trial.state for trial in trials} <= {"complete", "pruned"}
    assert all(trial.best_model is not None for trial in trials)
    assert (study / "report.html").is_file()


def test_a_machine_and_its_disk_are_lost_and_another_goes_on(
    machines: list[Computer],
    address: str,
    unbroken: Decisions,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    first, second = machines
    file = study_of(tmp_path, address, storage=str(first.disk / "studies"))
    driver = first.start("tune", file)
    journal = first.disk / "studies/sample/optuna.journal"
    wait_until(
        "what is decided is shipped",
        first.log,
        lambda: EPOCHS + 4 <= epochs_at(address) == len(values_written(journal)),
    )
    assert driver.poll() is None, first.log.read_text()[-3000:]
    first.cut()
    lost = len(values_written(journal)) - epochs_at(address)
    first.lose()
    record_property("epochs decided and not shipped", lost)
    assert lost <= 2, "more than what was decided in the last second was lost"
    said = second.run("resume", address)
    assert said.endswith("exit code 0"), said[-4000:]
    check_study(address, unbroken, tmp_path)
    shown = second.run("status", address)
    assert "sample finished" in shown, shown
    exported = second.run("export", address, "--to", "best-model")
    assert exported.endswith("exit code 0"), exported
    assert (second.disk / "best-model/best.yaml").is_file()
    recorded = second.run("best", "set", address)
    assert recorded.endswith("exit code 0"), recorded


def test_a_driver_that_slept_through_its_lease_changes_nothing_when_it_wakes_up(
    machines: list[Computer],
    address: str,
    unbroken: Decisions,
    wandb: WandbServer,
    tmp_path: Path,
) -> None:
    first, second = machines
    online = {"wandb": {"mode": "online"}}
    file = study_of(tmp_path, address, storage=str(first.disk / "studies"), tracking=online)
    sleeper = first.start("tune", file)
    wait_until("epochs are shipped", first.log, lambda: epochs_at(address) >= 4)
    wait_until(
        "W&B has some", first.log, lambda: sum(len(r.steps) for r in wandb.runs.values()) > 2
    )
    assert sleeper.poll() is None, first.log.read_text()[-3000:]
    sleeper.send_signal(signal.SIGSTOP)
    its_own = set(wandb.runs)
    other = second.start("resume", address)
    before = epochs_at(address)
    wait_until("the other goes on", second.log, lambda: epochs_at(address) >= before + 2)
    logged = {name: list(wandb.runs[name].steps) for name in its_own}
    assert sum(map(len, logged.values())) > 2
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(timeout=WAIT_S) == 2, first.log.read_text()[-3000:]
    assert {name: wandb.runs[name].steps for name in its_own} == logged
    assert "has taken over (term 2)" in first.log.read_text()
    assert "this driver has decided nothing since" in first.log.read_text()
    assert other.wait(timeout=WAIT_S) == 0, second.log.read_text()[-3000:]
    check_study(address, unbroken, tmp_path)
    check_runs(wandb, StudyDir.open(tmp_path / "kept/sample"))
    again = first.run("resume", str(first.disk / "studies/sample"))
    assert again.endswith("exit code 0"), again
    taken = (second.copy_of(address) / "optuna.journal").read_bytes()
    assert (first.disk / "studies/sample/optuna.journal").read_bytes().startswith(taken)


def check_runs(server: WandbServer, study: StudyDir) -> None:
    """Each trial's run has every epoch once; those since the take-over are not the sleeper's."""
    trials = study.trials()
    assert {trial.takeover for trial in trials} >= {2}
    for trial in trials:
        uid = study.resolved["created"]
        run = server.runs[run_id(study.study.study, uid, trial.number, trial.takeover)]
        assert run.steps == list(range(1, trial.epochs + 1))
        assert run.summary["state"] == trial.state


def test_a_study_is_moved_back_and_forth_while_it_runs(
    machines: list[Computer], address: str, tmp_path: Path
) -> None:
    budget, slow = {"trials": 8, "epochs": EPOCHS}, {"epoch_seconds": 2.5}
    unbroken = whole_run(tmp_path / "unbroken", budget=budget)
    storage = str(machines[0].disk / "studies")
    file = study_of(tmp_path, address, storage=storage, budget=budget, fixed=slow)
    driver, machine, moves = machines[0].start("tune", file), machines[0], 0
    while moves < MOVES:
        wait_until("it goes on", machine.log, more_than(epochs_at(address), address))
        left, machine = machine, machines[(moves + 1) % 2]
        running = driver
        driver = machine.start("move", address, "--to", str(machine.disk / "studies"))
        assert running.wait(timeout=WAIT_S) == 0, left.log.read_text()[-3000:]
        if "sample finished" in left.log.read_text():
            break  # a slow machine: it had ended before anybody could ask for it
        moves += 1
        assert left.log.read_text().count("it goes on elsewhere") == (moves + 1) // 2
        check_left(left.disk / "studies/sample")
    assert moves >= 2
    assert driver.wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
    check_study(address, unbroken, tmp_path)
    for one in machines:
        journal = one.disk / "studies/sample/optuna.journal"
        final = tmp_path / "kept/sample/optuna.journal"
        assert final.read_bytes().startswith(journal.read_bytes())


def check_left(study: Path) -> None:
    """What a driver left is paused at the end of an epoch that its journal has."""
    for trial in StudyDir.open(study).trials():
        if trial.state == "waiting":
            assert "pauses after epoch" in trial.message


def test_a_study_without_a_mirror_is_shipped_while_it_runs(
    machines: list[Computer], address: str, unbroken: Decisions, tmp_path: Path
) -> None:
    first, second = machines
    folder = first.disk / "studies"
    file = study_of(tmp_path, address, storage=str(folder), mirror=None)
    driver = first.start("tune", file)
    journal = folder / "sample/optuna.journal"
    wait_until("it runs", first.log, lambda: journal.exists() and len(values_written(journal)) > 3)
    to = address.rpartition("/")[0]
    shipping = first.start("move", str(folder / "sample"), "--to", to)
    assert driver.wait(timeout=WAIT_S) == 0, first.log.read_text()[-3000:]
    wait_until("it is shipped", first.log, lambda: closed_at(address) and epochs_at(address) > 4)
    assert shipping.poll() is None, first.log.read_text()[-3000:]
    first.cut()
    shutil.rmtree(first.disk)
    said = second.run("resume", address)
    assert said.endswith("exit code 0"), said[-4000:]
    check_study(address, unbroken, tmp_path)
