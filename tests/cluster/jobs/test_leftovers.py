"""What a job leaves behind is found by its mark, whatever it is called, and nothing else is."""

import os
import subprocess
import sys

from cluster.jobs.leftovers import MARK, end_leftovers

SLEEP = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def started(job_id: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", SLEEP]
    return subprocess.Popen(command, env={**os.environ, MARK: job_id}, start_new_session=True)


def test_what_a_job_left_is_ended_and_told_and_another_jobs_is_not() -> None:
    left, other = started("powder"), started("powder~2")
    try:
        ended = end_leftovers("powder")
        assert [line.split()[0] for line in ended] == [str(left.pid)]
        assert left.wait(timeout=10) < 0
        assert other.poll() is None
        assert end_leftovers("powder") == []
    finally:
        for process in (left, other):
            process.kill()
            process.wait()
