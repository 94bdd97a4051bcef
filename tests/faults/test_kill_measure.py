"""Real `kill -9` of a measurement, and pictures that cannot be read among many."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.golden.test_golden import unpack
from tests.support.command_line import segtune
from tests.support.places import ROOT, THIRD_PARTY
from tests.support.samples.measured_grains import grains_picture, write_model, write_picture
from tests.support.servers.processes import send

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

TABLES = ("particles.csv", "pictures.csv", "figures.csv")

PICTURES = 24

WAIT_S = 300

THRESHOLD = ("model", "--trainable", "threshold", "--set", "finding.confidence=0.1")
"""A model that counts what it is shown, and what is asked of it."""

BATCH = 8
"""Pictures that are searched and not yet written down, at most: two of each of four actors."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    for n in range(PICTURES):
        pixels = np.roll(grains_picture(), n % 5, axis=1)
        write_picture(folder / "in" / f"{n:03d}.tif", pixels)
    write_model(folder / "model")
    return folder


def start(
    inputs: Path, out: str, pictures: str = "in", model: Sequence[str] = THRESHOLD
) -> subprocess.Popen[bytes]:
    command = ["measure", pictures, "--out", out, "--device", "cpu", "--pixel-size", "2nm"]
    command += ["--model", *model]
    with (inputs / f"{out}.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tune.cli", *command],
            cwd=inputs,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{THIRD_PARTY}",
                "THRESHOLD_ENGINE_COUNTED": str(inputs / f"{out}.count"),
                "THRESHOLD_ENGINE_SECONDS": "0.2",
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


def signal_all(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    """Send a signal to the command and all that it started."""
    driver = psutil.Process(process.pid)
    send(what, [driver, *driver.children(recursive=True)])


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 of the command and of all that it started."""
    signal_all(process, signal.SIGKILL)
    process.wait(timeout=60)


@dataclass(frozen=True)
class State:
    """What lies in the folder of a run, and what its model was shown since it was started."""

    out: Path
    shown: str

    @classmethod
    def of(cls, inputs: Path, out: str, before: int) -> "State":
        count = inputs / f"{out}.count"
        return cls(inputs / out, count.read_text()[before:] if count.is_file() else "")

    def stems(self, folder: str) -> set[str]:
        return {path.stem for path in (self.out / folder).glob("[!.]*")}

    def predicts(self) -> bool:
        return self.shown.endswith("x")

    def has_predicted(self) -> bool:
        """Whether all that was begun is searched, and of some of it there is no part yet."""
        return self.shown.endswith(".") and self.shown.count("x") > len(self.stems("parts"))

    def has_a_part_without_record(self) -> bool:
        return bool(self.shown and self.stems("parts") - self.stems("done"))

    def writes_tables(self) -> bool:
        there = {path.name for path in self.out.iterdir()}
        return "particles.parquet" in there and "figures.csv" not in there

    def writes_the_report(self) -> bool:
        return (self.out / "figures.csv").is_file() and not (self.out / "report.html").is_file()


MOMENTS: tuple[Callable[[State], bool], ...] = (
    State.predicts,
    State.has_predicted,
    State.has_a_part_without_record,
    State.writes_tables,
    State.writes_the_report,
)


def kill_at(moment: Callable[[State], bool], inputs: Path, out: str) -> State:
    """Start a run and kill it at a moment; returns what it then had done.

    It is stopped before, as between a look and a kill it would go on.
    """
    count = inputs / f"{out}.count"
    before = len(count.read_text()) if count.is_file() else 0
    process = start(inputs, out)
    deadline = time.monotonic() + WAIT_S
    while True:
        assert process.poll() is None, (inputs / f"{out}.txt").read_text()[-2000:]
        assert time.monotonic() < deadline, moment
        if (inputs / out).is_dir() and moment(State.of(inputs, out, before)):
            signal_all(process, signal.SIGSTOP)
            if moment(state := State.of(inputs, out, before)):
                kill_all(process)
                return state
            signal_all(process, signal.SIGCONT)
        time.sleep(0.002)


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


def test_a_run_that_is_killed_at_five_points_goes_on_to_the_very_same_tables(
    inputs: Path, unbroken: dict[str, bytes], record_property: Callable[[str, object], None]
) -> None:
    """While predicting, before the part, before the record, in the tables, in the report."""
    out, searched, before = inputs / "killed", 0, dict[str, int]()
    for moment in MOMENTS:
        state = kill_at(moment, inputs, "killed")
        after = times(out)
        assert {n: after.get(n) for n in before} == before, "what was done is done once"
        lost = state.shown.count("x") - (len(after) - len(before))
        record_property(moment.__name__, f"{len(after)} done, {lost} to be searched again")
        assert 0 <= lost <= BATCH, moment
        searched, before = searched + state.shown.count("x"), after
    assert end(start(inputs, "killed"), inputs, "killed") == 0
    assert times(out) == before, "all pictures were done before the tables"
    assert (inputs / "killed.count").read_text().count("x") == searched
    for table in TABLES:
        assert (out / table).read_bytes() == unbroken[table], table
    assert (out / "report.html").is_file()
    assert not [path for path in out.rglob(".*") if path.suffix in {".csv", ".parquet", ".html"}]


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_a_run_of_an_onnx_file_that_is_killed_halfway_goes_on_to_the_very_same_tables(
    tmp_path: Path,
) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime", "ultralytics"):
        pytest.importorskip(package, reason="needs the extras onnx and yolo")
    study = unpack("yolo", tmp_path)
    answer = segtune(tmp_path, "export", str(study), "--form", "onnx", timeout_s=1200)
    assert answer.returncode == 0, answer.stderr
    images = sorted((study.parents[1] / "data" / "images").iterdir())
    (tmp_path / "in").mkdir()
    for n in range(2 * PICTURES):
        image = images[n % len(images)]
        shutil.copy(image, tmp_path / "in" / f"{n:03d}{image.suffix}")
    model = (str(study / "onnx" / "model.onnx"),)
    assert end(start(tmp_path, "unbroken", model=model), tmp_path, "unbroken") == 0
    process, done = start(tmp_path, "killed", model=model), tmp_path / "killed" / "done"
    deadline = time.monotonic() + WAIT_S
    while not done.is_dir() or len(list(done.glob("[!.]*"))) < PICTURES // 2:
        assert process.poll() is None, (tmp_path / "killed.txt").read_text()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill_all(process)
    before = times(tmp_path / "killed")
    assert len(before) < 2 * PICTURES, "it was killed before its end"
    assert end(start(tmp_path, "killed", model=model), tmp_path, "killed") == 0
    after = times(tmp_path / "killed")
    assert {name: after[name] for name in before} == before, "what was done is done once"
    for table in TABLES:
        whole = (tmp_path / "unbroken" / table).read_bytes()
        assert (tmp_path / "killed" / table).read_bytes() == whole, table
    assert len((tmp_path / "killed" / "particles.csv").read_text().splitlines()) > 2 * PICTURES


@pytest.mark.parametrize("pictures", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_10_bad_pictures_of_many_are_10_rows_with_reasons(inputs: Path, pictures: int) -> None:
    every, name = pictures // 10, f"of_{pictures}"
    bad = range(3, pictures, every)
    for n in range(pictures):
        path = write_picture(inputs / f"{pictures}" / f"{n:04d}.tif", grains_picture())
        if n in bad:
            spoilt = (b"", b"no picture", path.read_bytes()[:20_000])
            path.write_bytes(spoilt[n // every % 3])
    assert end(start(inputs, name, f"{pictures}"), inputs, name) == 1
    with (inputs / name / "pictures.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    failed = [row for row in rows if row["state"] == "failed"]
    assert len(rows) == pictures
    assert [Path(row["image"]).stem for row in failed] == [f"{n:04d}" for n in bad]
    assert all(row["reason"] for row in failed)
    with (inputs / name / "particles.csv").open(encoding="utf-8") as stream:
        assert len(stream.readlines()) == 1 + 3 * (pictures - 10)
    said = (inputs / f"{name}.txt").read_text()
    assert f"10 of {pictures} pictures failed" in said
    assert "Traceback" not in said
