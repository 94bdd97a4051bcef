"""Real `kill -9` of a measurement, and pictures that cannot be read among many."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.support.places import ROOT, THIRD_PARTY
from tests.support.samples.measured_grains import grains_picture, write_model, write_picture

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

TABLES = ("particles.csv", "pictures.csv", "figures.csv")

PICTURES = 24

WAIT_S = 300


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    for n in range(PICTURES):
        pixels = np.roll(grains_picture(), n % 5, axis=1)
        write_picture(folder / "in" / f"{n:03d}.tif", pixels)
    write_model(folder / "model")
    return folder


def start(inputs: Path, out: str, pictures: str = "in") -> subprocess.Popen[bytes]:
    command = [
        "measure", pictures, "--model", "model", "--out", out, "--trainable", "threshold",
        "--device", "cpu", "--set", "finding.confidence=0.1", "--pixel-size", "2nm",
    ]  # fmt: skip
    with (inputs / f"{out}.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tune.cli", *command],
            cwd=inputs,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{THIRD_PARTY}",
                "THRESHOLD_ENGINE_COUNTED": str(inputs / f"{out}.count"),
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes], inputs: Path, out: str) -> int:
    try:
        return process.wait(timeout=WAIT_S)
    finally:
        if process.poll() is None:
            kill_all(process)
            pytest.fail((inputs / f"{out}.txt").read_text()[-2000:])


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 of the command and of all that it started."""
    driver = psutil.Process(process.pid)
    for victim in [driver, *driver.children(recursive=True)]:
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=60)


def done_in(out: Path) -> set[str]:
    return {path.name for path in (out / "done").glob("*.json")}


def times(out: Path) -> dict[str, int]:
    return {name: (out / "done" / name).stat().st_mtime_ns for name in done_in(out)}


@pytest.fixture(scope="module")
def unbroken(inputs: Path) -> dict[str, bytes]:
    """The tables of a run that nothing disturbed."""
    assert end(start(inputs, "unbroken"), inputs, "unbroken") == 0
    tables = {name: (inputs / "unbroken" / name).read_bytes() for name in TABLES}
    assert len(tables["particles.csv"].splitlines()) == 1 + 3 * PICTURES
    return tables


@pytest.mark.parametrize(
    ("moment", "reached"),
    [
        ("before the first part", lambda out: (out / "measure.json").is_file()),
        ("midway", lambda out: len(done_in(out)) >= PICTURES // 3),
        ("while tables are written", lambda out: (out / "particles.parquet").is_file()),
    ],
)
def test_a_killed_measurement_goes_on_to_the_very_same_tables(
    inputs: Path,
    unbroken: dict[str, bytes],
    moment: str,
    reached: Callable[[Path], bool],
    record_property: Callable[[str, object], None],
) -> None:
    name = moment.replace(" ", "_")
    out = inputs / name
    process = start(inputs, name)
    deadline = time.monotonic() + WAIT_S
    while not reached(out):
        assert process.poll() is None, (inputs / f"{name}.txt").read_text()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    kill_all(process)
    before = times(out)
    assert end(start(inputs, name), inputs, name) == 0
    after = times(out)
    assert {n: after[n] for n in before} == before, "what was done is done once"
    twice = len((inputs / f"{name}.count").read_text()) - PICTURES
    record_property("pictures searched twice", twice)
    assert 0 <= twice <= PICTURES - len(before), "only what was not yet done is searched again"
    for table in TABLES:
        assert (out / table).read_bytes() == unbroken[table], table
    assert not list(out.rglob("*.tmp"))


def test_10_bad_pictures_of_100_are_10_rows_with_reasons(inputs: Path) -> None:
    for n in range(100):
        path = write_picture(inputs / "hundred" / f"{n:03d}.tif", grains_picture())
        if n % 10 == 3:
            path.write_bytes(path.read_bytes()[: 40 * n] if n % 20 == 3 else b"no picture")
    assert end(start(inputs, "of_hundred", "hundred"), inputs, "of_hundred") == 1
    with (inputs / "of_hundred" / "pictures.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    failed = [row for row in rows if row["state"] == "failed"]
    assert len(rows) == 100
    assert [Path(row["image"]).stem for row in failed] == [f"{n:03d}" for n in range(3, 100, 10)]
    assert all(row["reason"] for row in failed)
    with (inputs / "of_hundred" / "particles.csv").open(encoding="utf-8") as stream:
        assert len(stream.readlines()) == 1 + 3 * 90
    said = (inputs / "of_hundred.txt").read_text()
    assert "10 of 100 pictures failed" in said
    assert "Traceback" not in said
