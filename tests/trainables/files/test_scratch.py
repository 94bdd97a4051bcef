"""Temporary folders, after kills."""

import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT
from trainables.files.scratch import make_scratch

KILLED = """
import os, sys
from pathlib import Path
from trainables.files.scratch import make_scratch
print(make_scratch("try", Path(sys.argv[1])), flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_stays(
    tmp_path: Path,
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    (left / "file").touch()
    ours = make_scratch("try", tmp_path)
    other = tmp_path / "segtune-try-notes"
    other.mkdir()
    again = make_scratch("try", tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([ours, again, other])
