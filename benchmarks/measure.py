"""`segtune measure` against the bare loop of its model, and its memory at few and many pictures.

    python benchmarks/measure.py speed MODEL [--trainable NAME] [--imgsz 640] [--pictures 48]
        [--side 640] [--rounds 3] [--threads N] [--device cpu] [--own]
    python benchmarks/measure.py stages MODEL [--trainable NAME] [--imgsz 640] [--pictures 48]
        [--side 640]
    python benchmarks/measure.py memory MODEL [--trainable NAME] [--imgsz N] [--few 100]
        [--many 2000] [--side 160]

MODEL finds spheres and rods as `segtune demo` draws them, such as the demo's `retrained`. With
`--imgsz` a copy of a YOLO model is taken whose pictures are that long: its windows are then as
large as the pictures.

speed: simulated pictures with 30 and with 100 particles. The bare loop reads a picture, brings it
to the network's size, runs the network, suppresses what is found twice and makes the masks of what
counts in the job; one picture after the other, in as many processes as the job has actors, each
with as many threads, or `--threads`. It is the framework's own: of a YOLO model `YOLO.predict` of
Ultralytics on the exported file, of others the engine's predictor (also with `--own`). Then
`segtune measure` measures the same pictures with all that it writes. Both take turns. Printed are
pictures per second, the job's between its fifth and its last record, so starting Ray and loading
the model are in neither; and the seconds on the processors that a picture takes, of all processes
together: on a machine that does other things too they say what one that does not would need. Beside
the loop's stands what its network alone takes of them.

stages: the same comparison without Ray, in one process with one thread, picture by picture in
turns: seconds on the processor of the bare loop, and of the job's reading, searching and measuring.

memory: the most memory of all processes of a run of many small pictures together, as the sum of
their proportional set sizes (PSS: what processes share is counted once), until few of them were
done, until twice as many were, and so on to the end.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import psutil

from analysis.finding.finder import Finder
from analysis.measure.job.loading import load_finding_model
from analysis.measure.job.searching import PictureSearcher
from analysis.measure.job.stages import (
    PictureMeasurer,
    PictureReader,
    in_colours,
)
from analysis.measure.job.workers import shared_out
from analysis.measure.plan import plan_measure
from analysis.measure.settings import MeasureSettings, ScaleSettings
from analysis.models.device import chosen_device
from analysis.models.find import find_model
from cluster.machines.machine import this_machine
from trainables.contract import Device, ExportForm
from trainables.datasets.images import read_picture
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.registry import load_engine

MB = 10**6

WARM_UP = 4
"""Pictures that do not count yet."""

DRAWN = 24
"""Different pictures that are drawn; more are copies of them."""

BARE = """
import sys, time
from pathlib import Path
import torch
from analysis.finding.finder import Finder
from analysis.measure.job.loading import load_finding_model
from analysis.finding.settings import FindingSettings
from analysis.measure.job.stages import in_colours
from analysis.models.find import find_model
from trainables.contract import Device
from trainables.datasets.images import read_picture

model, trainable, device, threads, folder, mine, processes, native = sys.argv[1:]
found = find_model(Path(model), trainable or None)
ours = load_finding_model(found, Device(device, cpus=int(threads)))
Finder([ours], FindingSettings())  # tells it which instances count, as the job does
files = sorted(Path(folder).iterdir())[int(mine)::int(processes)]
if native:
    from trainables.engines.yolo_seg.framework import YOLO
    theirs = YOLO(native)
    size, confidence = torch.load(found.path, weights_only=True)["imgsz"], ours.predictor.confidence
    def predict(file):
        theirs.predict(str(file), imgsz=size, conf=confidence, device=device, verbose=False)
    predict(files[0])  # makes the network that predicts
    torch.set_num_threads(int(threads))
    networks = [theirs.predictor.model.model]
else:
    def predict(file):
        ours.predictor([in_colours(read_picture(file).pixels)])
    networks = [one for one in vars(ours.predictor).values() if isinstance(one, torch.nn.Module)]
spent = [0.0]
def count(seconds):
    spent[0] += seconds
for network in networks:
    network.register_forward_pre_hook(lambda *_: count(-time.process_time()))
    network.register_forward_hook(lambda *_: count(time.process_time()))
predict(files[0])
print("ready", flush=True)
sys.stdin.readline()
spent[0] = 0.0
begin, cpu = time.perf_counter(), time.process_time()
for file in files:
    predict(file)
seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
print(len(files) / seconds, cpu / len(files), spent[0] / len(files))
"""


@dataclass(frozen=True)
class Pace:
    """How fast pictures went.

    Attributes:
        per_second: Pictures per second.
        cpu_s: Seconds on the processors that a picture took.
        network_s: Of these the network's; 0 where nobody knows.
        first_s: Seconds from the start of the command to the first row of the live table.
        peak_mb: Most memory of all processes, PSS.
    """

    per_second: float
    cpu_s: float
    network_s: float = 0.0
    first_s: float = 0.0
    peak_mb: float = 0.0


def draw(folder: Path, pictures: int, particles: int, side: int) -> Path:
    """Write simulated pictures with so many particles each; returns their folder."""
    spec = SPECS["demo"]
    kinds = [c.model_copy(update={"number": (particles // 2,) * 2}) for c in spec.classes]
    size = {"images": min(pictures, DRAWN), "width": side, "height": side}
    simulate(spec.model_copy(update={**size, "bar": None, "classes": tuple(kinds)}), folder / "raw")
    files = sorted((folder / "raw" / "images").iterdir())
    (folder / "in").mkdir()
    for number in range(pictures):
        file = files[number % len(files)]
        shutil.copy(file, folder / "in" / f"{number:05d}{file.suffix}")
    return folder / "in"


def with_side(model: Path, trainable: str | None, imgsz: int, to: Path) -> tuple[Path, str]:
    """A copy of a YOLO model whose input is so long; its file and its engine."""
    import torch

    found = find_model(model, trainable)
    content = torch.load(found.path, map_location="cpu", weights_only=True)
    to.mkdir(parents=True)
    torch.save({**content, "imgsz": imgsz}, to / "model.pt")
    return to / "model.pt", found.engine


def natively(asked: argparse.Namespace) -> str:
    """The file that Ultralytics loads of a YOLO model, beside it; "" of another engine."""
    found = find_model(asked.model, asked.trainable)
    if found.engine != "yolo_seg":
        return ""
    to = asked.work / "native"
    return str(load_engine(found.engine).export(found.path, to, ExportForm.NATIVE))


def bare_loop(asked: argparse.Namespace, folder: Path, processes: int, threads: int) -> Pace:
    """The pace of reading and of the model alone, in processes of their own, begun together."""
    device = chosen_device(asked.device).name
    words = [str(asked.model), asked.trainable or "", device, str(threads), str(folder)]
    native = "" if asked.own else natively(asked)
    loops = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, *words, str(number), str(processes), native],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for loop in loops:
        while loop.stdout and (line := loop.stdout.readline()) and line != "ready\n":
            pass
    said = [loop.communicate("go\n")[0].split() for loop in loops]
    if any(loop.returncode for loop in loops):
        sys.exit("the bare loop failed")
    rates, cpus, networks = zip(*(map(float, words[-3:]) for words in said), strict=True)
    return Pace(sum(rates), statistics.mean(cpus), statistics.mean(networks))


def job(asked: argparse.Namespace, folder: Path, out: Path) -> Pace:
    """The pace of a measurement, in a process of its own."""
    command = [sys.executable, "-m", "tune.cli", "measure", str(folder), "--out", str(out)]
    command += ["--model", str(asked.model), "--pixel-size", "20nm"]
    for name in ("trainable", "device"):
        if (value := getattr(asked, name)) is not None:
            command += [f"--{name}", value]
    begin, peak, first, told = time.perf_counter(), 0.0, 0.0, asked.few
    spent: list[tuple[int, float]] = []  # rows so far, seconds on the processors
    seconds: dict[int, float] = {}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, look(process.pid, seconds, asked.what == "memory"))
        rows = rows_of(out / "pictures.csv") - 1
        if asked.what == "memory" and rows >= told:
            print(f"{rows} pictures: {peak:.0f} MB, load {os.getloadavg()[0]:.0f}", flush=True)
            told *= 2
        if rows > 0:
            first = first or time.perf_counter() - begin
            spent.append((rows, sum(seconds.values())))
        time.sleep(2.0 if asked.what == "memory" else 0.25)  # PSS takes time to read
    if process.returncode:
        sys.exit(f"segtune measure ended with {process.returncode}")
    times = sorted(path.stat().st_mtime for path in (out / "done").iterdir())
    last = next(n for n, (rows, _) in enumerate(spent) if rows == spent[-1][0])
    n, cpu = (after - before for before, after in zip(spent[0], spent[last], strict=True))
    per_second = (len(times) - 1 - WARM_UP) / (times[-1] - times[WARM_UP])
    return Pace(per_second, cpu / max(n, 1), first_s=first, peak_mb=peak)


def rows_of(table: Path) -> int:
    """Rows of a table with its header, 0 where there is none."""
    return len(table.read_bytes().splitlines()) if table.is_file() else 0


def look(pid: int, seconds: dict[int, float], memory: bool) -> float:
    """Note the seconds on the processors of a process and of all that it started, by their ids.

    Returns:
        Their memory together, MB; 0 where it is not asked for, which takes time.
    """
    total = 0
    try:
        driver = psutil.Process(pid)
        processes = [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in processes:
        try:
            used = process.cpu_times()
            seconds[process.pid] = used.user + used.system
            total += process.memory_full_info().pss if memory else 0
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # one has ended since it was listed
            continue
    return total / MB


def speed(asked: argparse.Namespace, folder: Path) -> None:
    """Print the pace of the bare loop and of the job, and their ratios."""
    shares = shared_out(chosen_device("cpu"), 0, this_machine())
    processes, threads = shares.workers.actors, asked.threads or shares.device.cpus
    for particles in asked.particles:
        pictures = draw(folder / f"{particles}", asked.pictures, particles, asked.side)
        ratios = []
        for number in range(asked.rounds):
            bare = bare_loop(asked, pictures, processes, threads)
            full = job(asked, pictures, folder / f"out{particles}_{number}")
            ratios.append((full.per_second / bare.per_second, bare.cpu_s / full.cpu_s))
            print(
                f"{particles} particles: loop {bare.per_second:.2f}/s, {bare.cpu_s:.3f} s on the "
                f"processors, {bare.network_s:.3f} of them the network; job "
                f"{full.per_second:.2f}/s, {full.cpu_s:.3f} s, first row {full.first_s:.0f} s; "
                f"ratios {ratios[-1][0]:.2f}, {ratios[-1][1]:.2f}; load {os.getloadavg()[0]:.0f}",
                flush=True,
            )
        speeds, cpus = (statistics.median(column) for column in zip(*ratios, strict=True))
        print(f"{particles} particles: {speeds:.2f} of the loop's pictures per second; the loop's ")
        print(f"  seconds on the processors are {cpus:.2f} of the job's", flush=True)


def stages(asked: argparse.Namespace, folder: Path) -> None:
    """Print what a picture costs in the bare loop and in each stage of the job, without Ray."""
    cv2.setNumThreads(1)
    device = Device(chosen_device(asked.device).name, cpus=1)
    for particles in asked.particles:
        pictures = draw(folder / f"{particles}", asked.pictures, particles, asked.side)
        settings = MeasureSettings(scale=ScaleSettings(pixel_size="20nm"))
        plan = plan_measure(
            [str(pictures)], [asked.model], folder / f"out{particles}", settings,
            trainable=asked.trainable, device=asked.device,
        )  # fmt: skip
        plan.folder.begin()
        reader = PictureReader(plan.pictures, plan.wishes)
        search = PictureSearcher(plan.pictures, plan.models, device, settings)
        measurer = PictureMeasurer(plan.pictures, plan.folder, settings, plan.of_each())
        model = load_finding_model(plan.models[0], device)
        Finder([model], settings.finding)  # tells it which instances count, as the job does
        rows: list[list[float]] = []
        n_found = 0
        for number, picture in enumerate(plan.pictures):
            times = [time.process_time()]
            model.predictor([in_colours(read_picture(picture.path).pixels)])
            times.append(time.process_time())
            read = reader(number)
            times.append(time.process_time())
            [found] = search([number], [read])
            times.append(time.process_time())
            measurer(number, read, found)
            times.append(time.process_time())
            rows.append([after - before for before, after in pairwise(times)])
            n_found += len(found.found.instances)
        loop, reading, searching, measuring = map(
            statistics.median, zip(*rows[WARM_UP:], strict=True)
        )
        job_s = reading + searching + measuring
        print(
            f"{particles} particles, {n_found / len(rows):.0f} found: loop {1e3 * loop:.0f} ms; "
            f"job {1e3 * job_s:.0f} ms: reading {1e3 * reading:.0f}, searching "
            f"{1e3 * searching:.0f}, measuring {1e3 * measuring:.0f}; ratio {loop / job_s:.2f}; "
            f"load {os.getloadavg()[0]:.0f}",
            flush=True,
        )


def memories(asked: argparse.Namespace, folder: Path) -> None:
    """Print the most memory until so many pictures were done."""
    pace = job(asked, draw(folder, asked.many, 10, asked.side), folder / "out")
    said = f"{pace.peak_mb:.0f} MB, {pace.per_second:.2f}/s, first row {pace.first_s:.0f} s"
    print(f"{asked.many} pictures: {said}")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "stages", "memory"])
    parser.add_argument("model", type=Path)
    parser.add_argument("--trainable")
    parser.add_argument("--device")
    parser.add_argument("--imgsz", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--particles", type=int, nargs="+", default=[30, 100])
    parser.add_argument("--side", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--many", type=int, default=2000)
    asked = parser.parse_args()
    asked.side = asked.side or (160 if asked.what == "memory" else 640)
    with tempfile.TemporaryDirectory() as name:
        folder = asked.work = Path(name)
        if asked.imgsz:
            changed = with_side(asked.model, asked.trainable, asked.imgsz, folder / "model")
            asked.model, asked.trainable = changed
        {"speed": speed, "stages": stages, "memory": memories}[asked.what](asked, folder)


if __name__ == "__main__":
    main()
