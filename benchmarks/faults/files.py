"""Faults of what a study keeps on a disk, and of the disk."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.plain_study import LATE, Stock
from benchmarks.faults.processes import killed_then
from tests.support.places import ALTERED, ROOT


def state_cut(stock: Stock) -> None:
    """The driver is killed and the file of its state loses its second half."""
    killed_then(stock, lambda: _cut(_of(stock, "experiment_state-*.json")))


def state_missing(stock: Stock) -> None:
    """The driver is killed and the file of its state is gone."""
    killed_then(stock, lambda: _remove(_of(stock, "experiment_state-*.json")))


def searcher_cut(stock: Stock) -> None:
    """The driver is killed and `tuner.pkl` loses its second half."""
    killed_then(stock, lambda: _cut(_of(stock, "tuner.pkl")))


def checkpoint_damaged(stock: Stock) -> None:
    """The driver is killed, and what the checkpoints of one trial hold is damaged."""

    def damage() -> None:
        for file in _of_the_first_trial(stock):
            file.write_bytes(b"\0" * 100)

    killed_then(stock, damage)


def checkpoint_missing(stock: Stock) -> None:
    """The driver is killed, and what the checkpoints of one trial hold is gone."""
    killed_then(stock, lambda: _remove(_of_the_first_trial(stock)))


def copy_cut(stock: Stock) -> None:
    """Everything is killed; the study is copied, in the order of names, but for the last half."""

    def copy() -> None:
        files = [file for file in _of(stock, "**/*") if file.is_file()]
        there = stock.folder / "copy"
        for file in files[: len(files) // 2]:
            target = there / file.relative_to(stock.plan.storage)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        stock.plan.storage = str(there)

    killed_then(stock, copy)


def copy_cut_late(stock: Stock) -> None:
    """The same, but the trials' own files are what was not copied."""

    def copy() -> None:
        there = stock.folder / "copy" / stock.place.name
        there.mkdir(parents=True)
        for file in _of(stock, "*"):
            if file.is_file():
                shutil.copy(file, there)
        stock.plan.storage = str(there.parent)

    killed_then(stock, copy)


def disk_full(stock: Stock) -> None:
    """The disk is full for some seconds, then has room again, and the study is restored."""
    with _small_disk(stock) as disk:
        driver = stock.start()
        stock.wait_for(LATE)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        stock.finish(driver)
        stock.tell("while it is full")
        filler.unlink()
        stock.finish(stock.start(restore=True))


def read_only(stock: Stock) -> None:
    """The study is interrupted, and restored on a disk that may only be read."""
    with _small_disk(stock) as disk:
        killed_then(
            stock,
            lambda: subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True),
        )


def disk_slow(stock: Stock) -> None:
    """Each wait for the disk and each rename takes 0.2 s longer; all is killed and restored."""
    stock.environment |= {"PYTHONPATH": f"{ALTERED}:{ROOT}", "ALTERED_DISK": "0.2"}
    began = time.monotonic()
    killed_then(stock, lambda: None)
    print(f"    it took {time.monotonic() - began:.0f} s")


@contextlib.contextmanager
def _small_disk(stock: Stock) -> Iterator[Path]:
    """A disk of 8 MB under the study; needs root."""
    disk = Path(stock.plan.storage)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        stock.kill()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _of(stock: Stock, pattern: str) -> list[Path]:
    found = sorted(stock.place.glob(pattern))
    assert found, pattern
    return found


def _of_the_first_trial(stock: Stock) -> list[Path]:
    files = _of(stock, "*/checkpoint_*/state.json")
    return [file for file in files if file.parents[1] == files[0].parents[1]]


def _cut(files: list[Path]) -> None:
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink()
