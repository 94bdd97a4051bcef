"""Side by side with Ultralytics' own tuner: best mask F1 against time.

    python benchmarks/versus_ultralytics.py PREPARED --work /tmp/versus --seconds 240 --seeds 5

For each seed both get the same data, image size, epochs, two trials at a time on one core each, and
the same wall time, Ray's start included: `segtune tune` with its preset, and
`model.tune(use_ray=True)` with its own defaults. What counts is the best mask F1 on the validation
part so far, by segtune's evaluator for both; Ultralytics' `best.pt` files are copied as they appear
and evaluated afterwards. Finished runs are kept in `--work`.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from pycocotools import mask as coco_mask

from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.views.yolo import yolo_view
from trainables.metrics.instances import evaluate
from trainables.metrics.matching import ground_truth
from trainables.results import Instances
from tune.directory.arrivals import arrivals

ROOT = Path(__file__).resolve().parents[1]
QUARTERS = (0.25, 0.5, 0.75, 1.0)
Curve = list[tuple[float, float]]  # seconds since the start, mask F1

STUDY = """
study: seed-{seed}
data: {data}
trainable: yolo_seg
budget: {{trials: 1000, epochs: {epochs}}}
fixed: {{model: yolo11n-seg.yaml, imgsz: {imgsz}}}
search_space: {{preset: yolo_seg, batch: {{choice: [2, 4, 8, 16]}}, nbs: {{choice: [2, 4, 8, 16]}}}}
scheduler: {{kind: asha, grace_period: {grace}, reduction_factor: 3}}
resources: {{concurrent: 2, cpus_per_trial: 1}}
train_metrics: {{every: 0}}
tracking: {{wandb: {{mode: disabled}}}}
storage: {storage}
seed: {seed}
"""

THEIRS = """
import sys, os
os.environ.update(YOLO_OFFLINE="1", OMP_NUM_THREADS="1")
import ray, torch
from ultralytics import YOLO
from ultralytics.utils import tuner
data, epochs, imgsz, grace, seed, project = sys.argv[1:]
tuner.NUM_THREADS = 1  # one core a trial, as the other side has
tuner.checks.check_requirements = lambda *a, **k: True  # it would pin another pydantic
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
YOLO("yolo11n-seg.yaml").tune(
    data=data, use_ray=True, epochs=int(epochs), imgsz=int(imgsz), grace_period=int(grace),
    iterations=1000, seed=int(seed), project=project, workers=0, plots=False, amp=False)
"""


@dataclass(frozen=True)
class DuelOptions:
    """The command line."""

    data: Path
    work: Path
    seconds: float
    seeds: int
    epochs: int
    imgsz: int

    @property
    def grace(self) -> int:
        """Epochs before the first rung, for both."""
        return max(1, self.epochs // 3)


def timed_run(
    command: Sequence[str], seconds: float, poll: Callable[[float], None], log: Path
) -> None:
    """Run a command for so long, polling; then end it and all it started."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment, cwd=log.parent
        )
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < seconds and process.poll() is None:
            poll(elapsed)
            time.sleep(0.5)
        everyone = [*psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        for child in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def ours(options: DuelOptions, seed: int, folder: Path) -> Curve:
    """The curve of segtune: values as its journal got them."""
    file = folder / "study.yaml"
    file.write_text(
        STUDY.format(
            seed=seed,
            data=options.data,
            epochs=options.epochs,
            imgsz=options.imgsz,
            grace=options.grace,
            storage=folder / "studies",
        )
    )
    journal = folder / "studies" / f"seed-{seed}" / "optuna.journal"
    curve: Curve = []

    def poll(elapsed: float) -> None:
        """Note the values that have arrived since, with the time that has passed."""
        known = arrivals(journal)
        curve.extend((elapsed, arrival.value) for arrival in known[len(curve) :])

    command = [sys.executable, "-m", "tune.cli", "tune", str(file)]
    timed_run(command, options.seconds, poll, folder / "log.txt")
    return curve


def theirs(options: DuelOptions, seed: int, folder: Path) -> Curve:
    """The curve of Ultralytics: each new `best.pt`, evaluated afterwards."""
    data = PreparedDataset.load(options.data)
    view = yolo_view(data, options.work / "view")
    kept: list[tuple[float, Path]] = []
    seen: dict[Path, float] = {}

    def poll(elapsed: float) -> None:
        """Keep a copy of every best model that is new or has changed."""
        for path in folder.rglob("weights/best.pt"):
            with contextlib.suppress(OSError):
                changed = path.stat().st_mtime
                if seen.get(path) != changed:
                    seen[path] = changed
                    copy = folder / f"kept-{len(kept)}.pt"
                    shutil.copyfile(path, copy)
                    kept.append((elapsed, copy))

    arguments = [
        view.data_yaml,
        options.epochs,
        options.imgsz,
        options.grace,
        seed,
        folder / "runs",
    ]
    command = [sys.executable, "-c", THEIRS, *map(str, arguments)]
    timed_run(command, options.seconds, poll, folder / "log.txt")
    return [(elapsed, f1_of(path, data, options.imgsz)) for elapsed, path in kept]


def f1_of(weights: Path, data: PreparedDataset, imgsz: int) -> float:
    """Mask F1 of an Ultralytics model on the validation part, by segtune's evaluator."""
    from ultralytics import YOLO

    try:
        model = YOLO(str(weights))
    except (EOFError, OSError, RuntimeError, TypeError):  # copied while it was being written
        return 0.0
    images = data.images("val")
    found = [instances(model, data.read(image), imgsz) for image in images]
    truths = [ground_truth(data, image) for image in images]
    return float(evaluate(found, truths, data.classes, kind="masks").f1)


def instances(model: Any, picture: Any, imgsz: int) -> Instances:
    """What an Ultralytics model finds in an RGB picture, masks at full resolution."""
    (result,) = model.predict(
        picture[..., ::-1].copy(),
        imgsz=imgsz,
        conf=0.001,
        max_det=300,
        retina_masks=True,
        verbose=False,
    )
    order = np.argsort(-result.boxes.conf.numpy(), kind="stable")
    masks = [] if result.masks is None else result.masks.data.numpy()[order] > 0.5
    return Instances(
        result.boxes.xyxy.numpy()[order].astype(np.float32),
        result.boxes.conf.numpy()[order].astype(np.float32),
        result.boxes.cls.numpy()[order].astype(np.int64),
        [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks],
    )


def best_until(curve: Curve, seconds: float) -> float:
    """The best F1 up to a time; 0 before there is one."""
    return max((value for at, value in curve if at <= seconds), default=0.0)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--imgsz", type=int, default=160)
    given = parser.parse_args()
    options = DuelOptions(
        **{**vars(given), "data": given.data.resolve(), "work": given.work.resolve()}
    )
    curves: dict[str, list[Curve]] = {"segtune": [], "ultralytics": []}
    for seed in range(options.seeds):
        for name, run in (("segtune", ours), ("ultralytics", theirs)):
            folder = options.work / f"{name}-{seed}"
            result = folder / "curve.json"
            if not result.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                result.write_text(json.dumps(run(options, seed, folder)))
            curves[name].append([tuple(point) for point in json.loads(result.read_text())])
            marks = [best_until(curves[name][-1], q * options.seconds) for q in QUARTERS]
            print(f"seed {seed} {name:12}", *(f"{mark:.3f}" for mark in marks), flush=True)
    print(f"\nbest mask F1 after 1/4 .. 4/4 of {options.seconds:.0f} s, median of {options.seeds}")
    medians = {
        name: [median(best_until(c, q * options.seconds) for c in found) for q in QUARTERS]
        for name, found in curves.items()
    }
    for name, marks in medians.items():
        print(f"{name:12}", *(f"{mark:.3f}" for mark in marks))
    ratio = medians["segtune"][-1] / max(medians["ultralytics"][-1], 1e-9)
    print(f"ratio at the end {ratio:.2f}")


if __name__ == "__main__":
    main()
