"""Child processes and the end of their parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT

PARENT = """
import multiprocessing as mp, os, signal, sys, time
from pathlib import Path
from trainables.processes import die_with_parent, without_main

def child(mark, pipe):
    def end():
        Path(mark).write_text("cleared away")
        os.kill(os.getpid(), signal.SIGKILL)
    die_with_parent(end)
    pipe.send(os.getpid())
    time.sleep(60)
"""

STARTS = """
import multiprocessing as mp, sys, time
from parent import child
from trainables.processes import without_main

print("script", flush=True)
context = mp.get_context(sys.argv[1])
ours, theirs = context.Pipe()
with without_main():
    context.Process(target=child, args=(sys.argv[2], theirs)).start()
print(ours.recv(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_a_child_clears_away_and_ends_when_its_parent_is_killed_and_never_runs_its_script(
    tmp_path: Path, how: str
) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "script.py").write_text(STARTS)  # without a guard, which a child would run again
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), how, str(tmp_path / "mark")],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "script\n"
        child = int(parent.stdout.readline())
        os.kill(child, 0)  # it lives
        parent.send_signal(signal.SIGKILL)
        rest = parent.stdout.read()  # until all who could write there are gone
    assert rest == ""
    assert (tmp_path / "mark").read_text() == "cleared away"
