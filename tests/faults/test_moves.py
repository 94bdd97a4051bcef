"""A study moved between two clusters, each a machine of its own with a disk of its own.

Two real heads in two network namespaces, a real bucket emulator that both reach, and real jobs. The
engine waits at the end of each epoch until the test lets it pass, so no machine is too slow or too
fast for what is shown; it writes down every epoch that it trains, also one that it trains again.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.storage.lease import read_lease
from tests.faults.test_mirror import Decisions, check_left, decided
from tests.support.places import ROOT, THIRD_PARTY
from tests.support.rehearsed_study import rehearse
from tests.support.servers.bucket_server import bucket_server
from tests.support.servers.heads import Head, running_head
from tests.support.servers.network import line, why_no_namespaces
from tests.support.servers.processes import command_of, send
from tests.support.servers.ray_clusters import GATE, PLACES, until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import asked, wait_until_gone
from trainables.trials.layout import CHECKPOINT_FOLDER, HISTORY_FILE
from tune.directory.reader import StudyDir
from tune.mirror.bringing import bring, read_mirror
from tune.mirror.mirror import place_of

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces()),
]

MOVES, KILLS = 5, 2

WAIT_S = 400.0

CODE = {"PYTHONPATH": f"{ROOT}{os.pathsep}{THIRD_PARTY}"}

STUDY: dict[str, Any] = {
    "trainable": "awkward",
    "budget": {"trials": 6, "epochs": 6},
    "scheduler": {"kind": "asha", "grace_period": 2, "reduction_factor": 2},
    "plateau": "none",
    "resources": {"concurrent": 1, "cpus_per_trial": 1},
    "tracking": {"wandb": {"mode": "disabled"}},
    "search_space": {"lr0": {"uniform": [0.1, 0.9]}},
    "warm_start": {"points": []},
}


@dataclass
class Place:
    """A cluster that a study runs on.

    Attributes:
        head: Its head, in a network namespace.
        disk: Its disk.
    """

    head: Head
    disk: Path

    @property
    def study(self) -> Path:
        """The study's directory there."""
        return self.disk / "studies" / "sample"

    @property
    def user(self) -> dict[str, str]:
        """Environment of a user of the cluster."""
        return {**self.head.user, **CODE}

    def log(self) -> str:
        """What the study's drivers have said there."""
        file = self.study / "segtune.log"
        return file.read_text() if file.exists() else ""

    def ask(self, *words: str) -> str:
        """Ask as a user of the cluster; gives what was said."""
        answer = asked(self.disk, self.user, *words, "--insecure")
        assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"
        return answer.stdout + answer.stderr

    def epochs(self) -> list[tuple[int, int]]:
        """Trial and epoch of what its journal has, in order."""
        journal = self.study / "optuna.journal"
        return values_written(journal) if journal.exists() else []

    def job(self) -> tuple[str, str]:
        """State of the study's last job, and the id that its processes are marked with."""
        shown = self.ask("jobs").splitlines()
        row = next(row for row in shown if row.startswith("sample "))
        attempt = row.partition("attempt ")[2].partition(",")[0]
        return row.split()[1], f"sample~{attempt}" if attempt else "sample"

    def taking(self, name: str, *more: str) -> "subprocess.Popen[str]":
        """Begin to move a study here, to a disk of its own."""
        storage = f"storage={self.disk / 'studies'}"
        words = ["move", name, "--to", self.head.address, "--set", storage, *more, "--insecure"]
        return subprocess.Popen(
            [sys.executable, "-m", "tune.cli", *words],
            cwd=self.disk,
            env={**os.environ, **self.user},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill_driver(self) -> None:
        """Kill -9 the study's driver and what it has started, without a word to anybody."""
        ours = self.head.processes()
        drivers = [p for p in ours if command_of(p).endswith("tune.job.entry run")]
        assert drivers, "no driver runs"
        below = [one for driver in drivers for one in driver.children(recursive=True)]
        send(signal.SIGKILL, [*drivers, *below])


@dataclass
class World:
    """Two clusters and a bucket.

    Attributes:
        places: The clusters.
        bucket: Address of the bucket.
        folder: Holds the gate of the engine, and what it has trained.
    """

    places: tuple[Place, Place]
    bucket: str
    folder: Path

    def begins(self, folder: Path) -> str:
        """Have a study begin on the first cluster; gives the address of its mirror."""
        for place in self.places:  # of the test before
            if place.study.exists():
                place.study.rename(place.study.with_name(f"before-{time.time_ns()}"))
        (self.folder / "places.jsonl").unlink(missing_ok=True)
        self.let_pass(0)
        where = f"{self.bucket}/{folder.name}"
        mirror = {"place": where, "lease_seconds": 10.0, "every_seconds": 0.3}
        storage = str(self.places[0].disk / "studies")
        self.places[0].ask(
            "submit", str(write_study(folder, mirror=mirror, storage=storage, **STUDY))
        )
        return f"{where}/sample"

    def trained(self) -> list[tuple[int, int]]:
        """Trial and number of every epoch that was trained, wherever, again those trained again."""
        file = self.folder / "places.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        epochs = map(json.loads, lines)
        return [(int(epoch["trial"].rpartition("/")[2]), epoch["epoch"]) for epoch in epochs]

    def let_pass(self, epochs: int) -> None:
        """Let so many epochs end, of all that there are."""
        new = self.folder / "gate.new"
        new.write_text(str(epochs))
        new.rename(self.folder / "gate")

    def train(self, epochs: int) -> None:
        """Let so many epochs more end, and wait for them."""
        wanted = len(self.trained()) + epochs
        self.let_pass(wanted)
        until("epochs are trained", lambda: len(self.trained()) >= wanted, WAIT_S)


def goes_on_after(address: str, trial: int, epoch: int) -> bool:
    """Whether a mirror has a trial's checkpoint of an epoch, or its end; a journal comes before."""
    mirror = read_mirror(place_of(address))
    if f"trials/{trial}/closed.json" in mirror.files:
        return True
    folders = [
        files
        for name, files in mirror.folders.items()
        if name.startswith(f"trials/{trial}/") and name.endswith(f"/{CHECKPOINT_FOLDER}")
    ]
    return any(len(json.loads(files[HISTORY_FILE].inline or b"[]")) >= epoch for files in folders)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("clusters")
    variables = {PLACES: str(folder / "places.jsonl"), GATE: str(folder / "gate")}
    variables["PYTHONPATH"] = str(THIRD_PARTY)
    with ExitStack() as opened:
        links = [opened.enter_context(line(number)) for number in range(2)]
        links[1].reach(links[0].here)
        bucket = opened.enter_context(bucket_server(host=links[0].here))
        heads = [opened.enter_context(running_head(n, cpus=1, **variables)) for n in links]
        disks = [folder / f"disk-{number}" for number in range(2)]
        for disk in disks:
            disk.mkdir()
        first, second = (Place(head, disk) for head, disk in zip(heads, disks, strict=True))
        yield World((first, second), bucket, folder)


@pytest.fixture(scope="module")
def unmoved(tmp_path_factory: pytest.TempPathFactory) -> Decisions:
    """The decisions of the same study, run by the real controller from its beginning to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(THIRD_PARTY)
        patch.setenv("PYTHONPATH", str(THIRD_PARTY), prepend=os.pathsep)
        study = rehearse(tmp_path_factory.mktemp("unmoved"), **STUDY)
    return decided(study.path / "optuna.journal")


def check_whole(
    world: World, address: str, last: Place, unmoved: Decisions, folder: Path
) -> Counter[tuple[int, int]]:
    """Let the study end, which is then whole in the bucket and decided as if it had never moved.

    Gives how often each epoch was trained.
    """
    world.let_pass(1000)
    until("it ends", lambda: last.job()[0] == "succeeded", WAIT_S)
    study = folder / "kept" / "sample"
    assert bring(place_of(address), study) == "absent"
    journal = study / "optuna.journal"
    assert len(values_written(journal)) == len(set(values_written(journal))), "an epoch is double"
    assert decided(journal) == unmoved
    assert journal.read_bytes() == (last.study / "optuna.journal").read_bytes()
    assert {trial.state for trial in StudyDir.open(study).trials()} <= {"complete", "pruned"}
    trained = Counter(world.trained())
    assert set(trained) == {(trial, epoch) for trial, epoch, *_ in unmoved}
    return trained


def test_a_study_moved_five_times_is_decided_as_unmoved_and_loses_no_epoch(
    world: World,
    unmoved: Decisions,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    here, there = world.places
    address = world.begins(tmp_path)
    for _ in range(MOVES):
        world.train(2)
        asks = here.log().count("asks for the study")
        moving = there.taking("sample", "--address", here.head.address)
        until(
            "its driver is asked, or it failed",
            lambda: here.log().count("asks for the study") > asks or moving.poll() is not None,  # noqa: B023
            WAIT_S,
        )
        world.let_pass(len(world.trained()) + 1)  # the epoch that was running ends
        said, _ = moving.communicate(timeout=WAIT_S)
        assert moving.returncode == 0, said
        left = here.epochs()
        assert left == world.trained(), "an epoch was lost"
        assert here.job()[0] == "succeeded"
        check_left(here.study)
        until("it is there", lambda: there.epochs() == left, WAIT_S)  # noqa: B023
        here, there = there, here
    revived = asked(there.disk, there.user, "resume", str(there.study))
    assert revived.returncode == 2, revived.stdout
    assert "is running this study (term" in revived.stderr
    trained = check_whole(world, address, here, unmoved, tmp_path)
    record_property("epochs trained, and trained again", (len(trained), trained.total()))
    assert set(trained.values()) == {1}, "an epoch was trained again"
    lease = read_lease(place_of(address).documents)
    assert lease is not None
    assert lease.takeover == 0, "nobody was taken for dead"


def test_a_study_whose_driver_is_killed_loses_one_epoch_at_most(
    world: World,
    unmoved: Decisions,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    here, there = world.places
    address = world.begins(tmp_path)
    for _ in range(KILLS):
        world.train(3)
        last = world.trained()[-1]
        until("they are shipped", lambda: goes_on_after(address, *last), WAIT_S)  # noqa: B023
        world.train(1)
        here.kill_driver()
        wait_until_gone(here.head, here.job()[1])
        moving = there.taking(address)
        said, _ = moving.communicate(timeout=WAIT_S)
        assert moving.returncode == 0, said
        here, there = there, here
    trained = check_whole(world, address, here, unmoved, tmp_path)
    again = sorted((trained - Counter(set(trained))).elements())
    record_property("epochs trained again", again)
    assert max(trained.values()) <= 2
    assert len(again) <= KILLS, f"more than one epoch a kill was lost: {again}"
