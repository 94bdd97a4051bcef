"""A study moved between two clusters, each a machine of its own with a disk of its own.

Two real heads in two network namespaces, a real bucket emulator that both reach, and real jobs.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.test_mirror import Decisions, check_left, decided, epochs_at, whole_run
from tests.support.servers.bucket_server import bucket_server
from tests.support.servers.heads import Head, running_head
from tests.support.servers.machines import WAIT_S
from tests.support.servers.network import line, why_no_namespaces
from tests.support.servers.ray_clusters import until
from tests.support.simulation import values_written
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import asked
from tune.directory.reader import StudyDir
from tune.mirror.bringing import bring
from tune.mirror.mirror import place_of

pytestmark = [
    pytest.mark.ray,
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces()),
]

BUDGET = {"trials": 8, "epochs": 8}

MOVES = 5


STUDY = {
    "budget": BUDGET,
    "scheduler": {"kind": "asha", "grace_period": 2, "reduction_factor": 2},
    "plateau": "none",
    "resources": {"concurrent": 1, "cpus_per_trial": 1},
    "tracking": {"wandb": {"mode": "disabled"}},
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

    def ask(self, *words: str) -> str:
        """Ask as a user of the cluster; gives what was said."""
        answer = asked(self.disk, self.head.user, *words, "--insecure")
        assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"
        return answer.stdout + answer.stderr

    def epochs(self) -> list[tuple[int, int]]:
        """Trial and epoch of what its journal has, in order."""
        journal = self.study / "optuna.journal"
        return values_written(journal) if journal.exists() else []

    def state(self) -> str:
        """State of the study's last job here."""
        shown = self.ask("jobs").splitlines()
        return next((row.split()[1] for row in shown if row.startswith("sample ")), "none")

    def takes(self, name: str, *more: str) -> str:
        """Have a study moved here, to a disk of its own."""
        storage = f"storage={self.disk / 'studies'}"
        return self.ask("move", name, "--to", self.head.address, "--set", storage, *more)

    def kill_driver(self) -> None:
        """Kill -9 the study's driver and what it has started, without a word to anybody."""
        ours = [(p, " ".join(p.cmdline())) for p in self.head.processes()]
        [driver] = [p for p, command in ours if command.endswith("python -m tune.job.entry run")]
        for process in [driver, *driver.children(recursive=True)]:
            process.send_signal(signal.SIGKILL)


@dataclass
class World:
    """Two clusters and a bucket.

    Attributes:
        places: The clusters.
        bucket: Address of the bucket.
        pace_s: Length of an epoch that leaves this machine time to move a study between epochs.
    """

    places: tuple[Place, Place]
    bucket: str
    pace_s: float

    def begins(self, folder: Path) -> str:
        """Have a study begin on the first cluster; gives the address of its mirror."""
        place = f"{self.bucket}/{folder.name}"
        mirror = {"place": place, "lease_seconds": 10.0, "every_seconds": 0.3}
        first, _ = self.places
        pace = {"epoch_seconds": self.pace_s}
        file = write_study(
            folder, mirror=mirror, storage=str(first.disk / "studies"), fixed=pace, **STUDY
        )
        first.ask("submit", str(file))
        return f"{place}/sample"


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("clusters")
    with ExitStack() as opened:
        links = [opened.enter_context(line(number)) for number in range(2)]
        links[1].reach(links[0].here)
        bucket = opened.enter_context(bucket_server(host=links[0].here))
        heads = [opened.enter_context(running_head(cpus=1, line=link)) for link in links]
        disks = [folder / f"disk-{number}" for number in range(2)]
        for disk in disks:
            disk.mkdir()
        first, second = (Place(head, disk) for head, disk in zip(heads, disks, strict=True))
        yield World((first, second), bucket, _pace_s(first, folder / "warm"))


def _pace_s(place: Place, folder: Path) -> float:
    """A third of the time that a job of a single epoch takes here."""
    folder.mkdir()
    changes = {**STUDY, "budget": {"trials": 1, "epochs": 1}, "scheduler": "none"}
    file = write_study(folder, study="warm", storage=str(folder / "studies"), **changes)
    began = time.monotonic()
    place.ask("submit", str(file), "--follow")
    return max(2.0, (time.monotonic() - began) / 3)


@pytest.fixture(scope="module")
def unmoved(tmp_path_factory: pytest.TempPathFactory) -> Decisions:
    """The decisions of the same study, run from its beginning to its end in one place."""
    return whole_run(tmp_path_factory.mktemp("unmoved"), budget=BUDGET)


def check_whole(address: str, last: Place, unmoved: Decisions, folder: Path) -> None:
    """The study is whole in the bucket and where it ended, and decided as if it had never moved."""
    until("it ends", lambda: last.state() == "succeeded", 2 * WAIT_S)
    study = folder / "kept" / "sample"
    assert bring(place_of(address), study) == "absent"
    journal = study / "optuna.journal"
    assert len(values_written(journal)) == len(set(values_written(journal))), "an epoch is double"
    assert decided(journal) == unmoved
    assert journal.read_bytes() == (last.study / "optuna.journal").read_bytes()
    assert {trial.state for trial in StudyDir.open(study).trials()} <= {"complete", "pruned"}


def test_a_study_moved_five_times_is_decided_as_unmoved_and_loses_no_epoch(
    clusters: World,
    unmoved: Decisions,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    here, there = clusters.places
    address = clusters.begins(tmp_path)
    had, took = 0, []
    for _ in range(MOVES):
        until("it goes on", lambda: len(here.epochs()) > had, WAIT_S)  # noqa: B023
        began = time.monotonic()
        there.takes("sample", "--address", here.head.address)
        took.append(f"{time.monotonic() - began:.0f}")
        left = here.epochs()
        assert here.state() == "succeeded"
        check_left(here.study)
        assert len(left) < len(unmoved), "it had ended before it was moved"
        until("it is there", lambda: len(there.epochs()) >= len(left), WAIT_S)  # noqa: B023
        assert there.epochs()[: len(left)] == left, "an epoch was lost"
        here, there, had = there, here, len(left)
    record_property("seconds of each move", ", ".join(took))
    check_whole(address, here, unmoved, tmp_path)
    before = there.epochs()
    refused = asked(there.disk, there.head.user, "resume", str(there.study))
    assert refused.returncode == 0, refused.stderr  # it has ended: nothing is left to do
    assert there.epochs()[: len(before)] == before


def test_a_study_whose_driver_is_killed_loses_one_epoch_at_most(
    clusters: World,
    unmoved: Decisions,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    here, there = clusters.places
    for place in clusters.places:  # of the test before
        if place.study.exists():
            place.study.rename(place.disk / "studies" / "before")
    address = clusters.begins(tmp_path)
    had, lost = 0, []
    for _ in range(2):
        until("it goes on", lambda: len(here.epochs()) > had, WAIT_S)  # noqa: B023
        here.kill_driver()
        decided_here, shipped = here.epochs(), epochs_at(address)
        lost.append(len(decided_here) - shipped)
        there.takes(address)
        until("it goes on", lambda: len(there.epochs()) > shipped, WAIT_S)  # noqa: B023
        assert there.epochs()[:shipped] == decided_here[:shipped]
        here, there, had = there, here, shipped + 1
    record_property("epochs lost", lost)
    assert max(lost) <= 1
    check_whole(address, here, unmoved, tmp_path)
