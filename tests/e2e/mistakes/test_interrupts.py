"""Ctrl-C ends a command with one word and code 130, and leaves nothing half made."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.e2e.mistakes.seeds import (
    contents,
    replaced,
)
from tests.support.places import ROOT
from tests.support.raw_samples import (
    shape,
    square,
    write_labelme,
)

MINDS_CTRL_C = """
import signal
from tune.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
main()
"""


def interrupted(folder: Path, begun: Callable[[], bool], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command that gets one Ctrl-C once it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", MINDS_CTRL_C, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        started = time.monotonic()
        while not begun():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() - started < 60
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, said


def test_an_interrupted_prepare_says_so_and_leaves_nothing(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 65536, (1500, 1500), dtype=np.uint16)
    assert cv2.imwrite(str(folder / "big.tif"), noise)
    names = [f"big{i}" for i in range(100)]
    (folder / "many").mkdir()
    for name in names:
        (folder / "many" / f"{name}.tif").hardlink_to(folder / "big.tif")
        write_labelme(
            folder / "many",
            name,
            [shape(square(2, 2))],
            imagePath=f"{name}.tif",
            imageWidth=1500,
            imageHeight=1500,
        )
    before = contents(folder)
    converting = ("prepare", "many", "--out", "made")
    code, said = interrupted(folder, lambda: any(folder.glob(".made.new-*/images/*")), *converting)
    assert (code, said.splitlines()[-1]) == (130, "interrupted")
    assert "Traceback" not in said
    assert contents(folder) == before


def test_an_interrupted_simulate_says_so_and_leaves_nothing(folder: Path) -> None:
    before = contents(folder)
    code, said = interrupted(
        folder,
        lambda: any(folder.glob(".made.*/images/*")),
        *("simulate", "demo", "--out", "made", "--images", "2000"),
    )
    assert (code, said) == (130, "interrupted\n")
    assert contents(folder) == before


def test_a_second_ctrl_c_ends_a_retraining_within_its_epoch(folder: Path) -> None:
    metrics = folder / "made" / "metrics.jsonl"
    replaced("best.yaml", "epoch_seconds: 0.05", "epoch_seconds: 3")(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", MINDS_CTRL_C, "retrain", "best.yaml", "--out", "made"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        while not metrics.is_file() or not metrics.read_text():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert any("once more to end at once" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "interrupted\n")


def test_an_interrupted_retraining_says_how_to_go_on(folder: Path) -> None:
    metrics = folder / "made" / "metrics.jsonl"
    code, said = interrupted(
        folder,
        lambda: metrics.is_file() and bool(metrics.read_text()),
        *("retrain", "best.yaml", "--out", "made", "--epochs", "200"),
    )
    assert code == 130
    assert "Traceback" not in said
    assert "SIGINT: ends after this epoch" in said
