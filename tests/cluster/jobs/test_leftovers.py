"""What a job leaves behind is found by its mark, whatever it is called, and nothing else is."""

import os
import subprocess
import sys
from pathlib import Path

from cluster.jobs.leftovers import MARK, Leftovers, end_leftovers

SLEEP = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def started(job_id: str, code: str = SLEEP, *words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", code, *words]
    return subprocess.Popen(command, env={**os.environ, MARK: job_id}, start_new_session=True)


def test_what_a_job_left_is_ended_and_told_and_another_jobs_is_not() -> None:
    left, other = started("powder"), started("powder~2")
    try:
        found = end_leftovers("powder", "none", 0.0)
        assert [line.split()[0] for line in found.ended] == [str(left.pid)]
        assert found.there == ()
        assert left.wait(timeout=10) < 0
        assert other.poll() is None
        assert end_leftovers("powder", "none", 0.0) == Leftovers()
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


DRIVER = """
import pathlib, signal, sys, time
def report(*_):
    time.sleep(1.0)
    pathlib.Path(sys.argv[2]).write_text("report")
    sys.exit(0)
signal.signal(signal.SIGTERM, report)
pathlib.Path(sys.argv[2] + ".ready").touch()
time.sleep(60)
"""


def test_a_driver_that_nobody_asked_is_asked_first_and_has_time_for_its_report(
    tmp_path: Path,
) -> None:
    place = tmp_path / "report"
    driver = started("powder", DRIVER, "its.driver", str(place))
    try:
        while not Path(f"{place}.ready").exists():
            assert driver.poll() is None
        found = end_leftovers("powder", "its.driver", 30.0)
        assert found.there == ()
        assert len(found.ended) == 1
        assert (driver.wait(timeout=10), place.read_text()) == (0, "report")
    finally:
        driver.kill()
        driver.wait()
