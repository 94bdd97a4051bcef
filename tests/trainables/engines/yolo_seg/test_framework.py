"""Importing and training leaves the user's machine alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT

pytest.importorskip("ultralytics", reason="needs the extra yolo")


def _run(program: str, home: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in {"OMP_NUM_THREADS"}}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_writes_no_settings_and_changes_no_environment(tmp_path: Path) -> None:
    program = (
        "import os; before = dict(os.environ)\n"
        "import socket; socket.getaddrinfo = None  # whoever asks the network fails\n"
        "import trainables.engines.yolo_seg.engine\n"
        "changed = {k for k in {*before, *os.environ} if before.get(k) != os.environ.get(k)}\n"
        "print(sorted(k for k in changed if k.startswith(('YOLO', 'OMP'))))\n"
        "import threading; print(len(threading.enumerate()))\n"
        "import logging; print(logging.getLogger('ultralytics').handlers)\n"
    )
    assert _run(program, tmp_path).splitlines() == ["[]", "1", "[]"]
    assert not [path for path in tmp_path.rglob("*") if "ultralytics" in path.name.lower()]
    assert not list(tmp_path.rglob("*settings*"))


def test_hyperparameters_are_read_without_a_framework(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from trainables.registry import engine_info\n"
        "engine_info('yolo_seg').params()\n"
        "print([m for m in ('torch', 'cv2', 'ultralytics') if m in sys.modules])\n"
    )
    assert _run(program, tmp_path) == "[]\n"
