"""One driver a study."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT
from tune.directory.lock import DriverLock, is_driven

DRIVES = """
import sys, time
from pathlib import Path
from tune.directory.lock import DriverLock
assert DriverLock(Path(sys.argv[1])).acquire() is None
print("drives", flush=True)
time.sleep(60)
"""


def test_a_second_driver_is_told_which_process_is_the_first_until_that_one_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / ".driver"
    with subprocess.Popen(
        [sys.executable, "-c", DRIVES, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "drives\n"
        second = DriverLock(path)
        assert second.acquire() == first.pid
        assert is_driven(tmp_path)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert not is_driven(tmp_path)
    assert second.acquire() is None
    assert path.read_text() == str(os.getpid())
    second.release()


def test_a_holder_that_has_not_written_its_number_yet_is_process_0(tmp_path: Path) -> None:
    lock = DriverLock(tmp_path / ".driver")
    assert lock.acquire() is None
    (tmp_path / ".driver").write_text("")
    assert DriverLock(tmp_path / ".driver").acquire() == 0
    lock.release()


def test_a_folder_without_a_driver_is_not_driven(tmp_path: Path) -> None:
    assert not is_driven(tmp_path)
    lock = DriverLock(tmp_path / ".driver")
    lock.acquire()
    assert is_driven(tmp_path)
    lock.release()
    assert not is_driven(tmp_path)
