"""Faults of a driver and its workers on one machine."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil

from benchmarks.faults.plain_study import LATE, Stock
from tests.support.places import ALTERED, ROOT

_DAY_S = 86_400


def driver_killed(stock: Stock) -> None:
    """The driver alone is killed, and restored."""
    driver = stock.start()
    stock.wait_for(LATE)
    stock.below()
    driver.kill()
    driver.wait()
    time.sleep(5)  # as long as somebody takes to notice
    stock.finish(stock.start(restore=True))


def everything_killed(stock: Stock) -> None:
    """The driver and all that it started are killed at once, and the driver is restored."""
    killed_then(stock, lambda: None)


def killed_then(stock: Stock, damage: Callable[[], object]) -> None:
    """Kill everything after some epochs, do some harm, and restore."""
    stock.start()
    stock.wait_for(LATE)
    stock.kill()
    damage()
    stock.finish(stock.start(restore=True))


def worker_killed(stock: Stock) -> None:
    """The process of a trial is killed; nothing is restored."""
    driver = stock.start()
    stock.wait_for(LATE)
    stock.workers()[0].kill()
    stock.finish(driver)


def worker_killed_retried(stock: Stock) -> None:
    """The same with `max_failures=-1`."""
    stock.plan.failures = -1
    worker_killed(stock)


def worker_killed_restored(stock: Stock) -> None:
    """The same without retries, then restored with `resume_errored=True`."""
    worker_killed(stock)
    stock.finish(stock.start(restore=True))


def cluster_killed(stock: Stock) -> None:
    """Ray's own processes are killed while the driver lives; a driver that stays is told."""
    driver = stock.start()
    stock.wait_for(LATE)
    for process in stock.below():
        if process.pid != driver.pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    stock.finish(driver, 120)
    stock.finish(stock.start(restore=True))


def driver_asleep(stock: Stock) -> None:
    """A driver sleeps, a second one restores its study, and the first wakes up."""
    first = stock.start()
    stock.wait_for(LATE)
    os.kill(first.pid, signal.SIGSTOP)
    second = stock.start(restore=True)
    stock.wait_for(len(stock.diary()) + 6)
    os.kill(first.pid, signal.SIGCONT)
    stock.finish(first)
    stock.finish(second)
    told_twice(stock)


def restored_beside(stock: Stock) -> None:
    """A study is restored while its driver runs."""
    first = stock.start()
    stock.wait_for(LATE)
    second = stock.start(restore=True)
    stock.finish(first)
    stock.finish(second)
    if not stock.plan.bucket:
        told_twice(stock)


def told_twice(stock: Stock) -> None:
    """Print how many lines the results of each trial have, and restore once more."""
    lines = [len(f.read_text().splitlines()) for f in stock.place.glob("*/result.json")]
    print(f"    result.json of the trials: {lines} lines")
    stock.finish(stock.start(restore=True))


def clock_jumps(stock: Stock) -> None:
    """The clock jumps by a day, then by three days back; then all is killed and restored."""
    shift = _with_a_clock(stock)
    stock.start()
    for n, jump in ((8, _DAY_S), (12, -2 * _DAY_S)):
        stock.wait_for(n)
        shift(jump)
    stock.wait_for(LATE + 4)
    stock.kill()
    stock.finish(stock.start(restore=True))


def clock_set_back_between(stock: Stock) -> None:
    """The clock is three days on while a study begins, and is right when it is restored, twice."""
    shift = _with_a_clock(stock)
    shift(3 * _DAY_S)
    stock.start()
    stock.wait_for(LATE)
    stock.kill()
    shift(0)
    stock.start(restore=True)
    stock.wait_for(len(stock.diary()) + 12)
    stock.kill()
    stock.tell("killed for the second time")
    stock.finish(stock.start(restore=True))


def _with_a_clock(stock: Stock) -> Callable[[int], object]:
    """Give a study's Pythons a clock that can be set; returns what sets it, to seconds from now."""
    file = stock.folder / "shift"
    file.write_text("0")
    stock.environment |= {"PYTHONPATH": f"{ALTERED}:{ROOT}", "ALTERED_CLOCK": str(file)}
    return lambda seconds: file.write_text(str(seconds))
