"""`segtune measure` against the bare loop of its model's forward passes, and its memory.

    python benchmarks/measure.py MODEL [--trainable NAME] [--pictures 100] [--side 512]
        [--confidence 0.1] [--device cpu]

Pictures with 30 and with 100 discs are read and given to the model one after the other, in one
process: the bare loop. The same pictures then go through `segtune measure` with all that it
writes. Its pictures per second are those between its first and its last record, so starting Ray and
loading the model are in neither. At last a tenth of the pictures is measured, for the memory of all
processes of a run (each one's resident memory without what it shares): it must not grow.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import tifffile

from analysis.measure.job.stages import in_colours
from analysis.models.device import chosen_device
from analysis.models.find import find_model, load_model
from trainables.datasets import geometry
from trainables.datasets.images import read_picture

MIB = 2**20


@dataclass(frozen=True)
class Job:
    """What a run of `segtune measure` took.

    Attributes:
        per_second: Pictures per second between the first and the last record.
        seconds: Of the whole command.
        peak_mib: Most memory of all its processes together.
        driver_mib: Most memory of the command's own process.
    """

    per_second: float
    seconds: float
    peak_mib: float
    driver_mib: float


def draw(folder: Path, pictures: int, particles: int, side: int) -> None:
    """Write pictures of 16 bits with discs that do not touch."""
    folder.mkdir(parents=True)
    across = int(np.ceil(np.sqrt(particles)))
    cell = side / across
    places = list(itertools.product(range(across), repeat=2))[:particles]
    for number in range(pictures):
        rng = np.random.default_rng(number)
        picture = rng.normal(2_000, 200, (side, side))
        for row, column in places:
            radius = rng.uniform(0.15, 0.4) * cell
            x, y = (np.array([column, row]) + 0.5) * cell
            mask, (left, top) = geometry.crop(geometry.disc(x, y, radius, side, side))
            part = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
            part[mask > 0] += rng.uniform(20_000, 40_000)
        tifffile.imwrite(folder / f"{number:05d}.tif", picture.clip(0, 65_535).astype(np.uint16))


def bare_loop(asked: argparse.Namespace, folder: Path) -> float:
    """Pictures per second of reading and of the model's forward pass alone."""
    predict = load_model(find_model(asked.model, asked.trainable), chosen_device(asked.device))
    files = sorted(folder.iterdir())
    predict([in_colours(read_picture(files[0]).pixels)])
    begin = time.perf_counter()
    for file in files:
        predict([in_colours(read_picture(file).pixels)])
    return len(files) / (time.perf_counter() - begin)


def job(asked: argparse.Namespace, folder: Path, out: Path) -> Job:
    """Measure a folder of pictures in a process of its own."""
    command = [sys.executable, "-m", "tune.cli", "measure", str(folder), "--out", str(out)]
    command += ["--model", str(asked.model), "--pixel-size", "2nm"]
    command += ["--set", f"finding.confidence={asked.confidence}"]
    for name in ("trainable", "device"):
        if (value := getattr(asked, name)) is not None:
            command += [f"--{name}", value]
    begin, peak, own = time.perf_counter(), 0.0, 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        driver, whole = memory(process.pid)
        peak, own = max(peak, whole), max(own, driver)
        time.sleep(0.25)
    seconds = time.perf_counter() - begin
    if process.returncode:
        sys.exit(f"segtune measure ended with {process.returncode}")
    times = sorted(path.stat().st_mtime for path in (out / "done").iterdir())
    return Job((len(times) - 1) / (times[-1] - times[0]), seconds, peak, own)


def memory(pid: int) -> tuple[float, float]:
    """Memory of a process, and of it and all that it started, MiB."""
    try:
        driver = psutil.Process(pid)
        processes = [driver, *driver.children(recursive=True)]
        sizes = [process.memory_full_info().uss / MIB for process in processes]
    except psutil.NoSuchProcess:  # one has ended since it was listed
        return 0.0, 0.0
    return sizes[0], sum(sizes)


def main() -> None:
    """Print pictures per second of both and their ratio, and the memory of few and of many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--trainable")
    parser.add_argument("--device")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--confidence", type=float, default=0.1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for particles in (30, 100):
            pictures = folder / f"{particles}"
            draw(pictures, asked.pictures, particles, asked.side)
            bare = bare_loop(asked, pictures)
            many = job(asked, pictures, folder / f"out{particles}")
            print(
                f"{particles} particles a picture, {asked.pictures} pictures: bare loop "
                f"{bare:.2f}/s, job {many.per_second:.2f}/s, ratio {many.per_second / bare:.3f}; "
                f"whole command {many.seconds:.1f} s",
                flush=True,
            )
        few_pictures = folder / "few"
        draw(few_pictures, max(asked.pictures // 10, 2), 100, asked.side)
        few = job(asked, few_pictures, folder / "outfew")
        print(
            f"memory at {max(asked.pictures // 10, 2)} and {asked.pictures} pictures: command "
            f"{few.driver_mib:.0f} and {many.driver_mib:.0f} MiB, ratio "
            f"{many.driver_mib / few.driver_mib:.3f}; all processes {few.peak_mib:.0f} and "
            f"{many.peak_mib:.0f} MiB, ratio {many.peak_mib / few.peak_mib:.3f}"
        )


if __name__ == "__main__":
    main()
