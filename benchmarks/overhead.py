"""What segtune costs over the trainings themselves.

    python benchmarks/overhead.py idle       driver time of a trial that does nothing
    python benchmarks/overhead.py start      time to start an engine's child process
    python benchmarks/overhead.py training PREPARED     a study against its trainings run bare
    python benchmarks/overhead.py train-metrics PREPARED     share of the training part's metrics

Each prints a ratio against a named alternative that runs in the same minutes.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.goal import Goal
from tune.directory.reader import StudyDir, TrialRecord
from tune.driver.driver import run_study
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.trial.messages import Ended, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import TrialTask

IDLE_TRIALS = (40, 240)


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["idle", "start", "training", "train-metrics"])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    logging.getLogger("ray").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="segtune-overhead-") as folder:
        work = Path(folder)
        data = given.data or simulated(work)
        actions: dict[str, Callable[[], None]] = {
            "idle": lambda: idle(work, data),
            "start": start,
            "training": lambda: training(work, data, given.trials, given.epochs),
            "train-metrics": lambda: train_metrics(work, data, given.epochs),
        }
        actions[given.what]()


def simulated(work: Path) -> Path:
    """A small prepared data set."""
    simulate(SPECS["demo"].model_copy(update={"images": 24}), work / "raw")
    prepare(work / "raw", work / "data")
    return work / "data"


def plan(work: Path, name: str, text: str, data: Path) -> StudyPlan:
    """A planned study."""
    file = work / f"{name}.yaml"
    file.write_text(
        f"study: {name}\ndata: {data}\nstorage: {work / 'studies'}\n"
        f"tracking: {{wandb: {{mode: disabled}}}}\n{text}"
    )
    return plan_file(file)


def timed(action: Callable[[], Any]) -> float:
    """Seconds an action takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def idle(work: Path, data: Path) -> None:
    """Milliseconds a trial that does nothing, by the difference of two studies' lengths."""

    def ours(n: int) -> float:
        text = (
            f"trainable: simulated\nbudget: {{trials: {n}, epochs: 1}}\n"
            "resources: {concurrent: 2, cpus_per_trial: 1}\n"
        )
        made = plan(work, f"idle-{n}", text, data)
        return timed(lambda: run_study(made))

    few, many = IDLE_TRIALS
    segtune = (ours(many) - ours(few)) / (many - few)
    other = (rays(many) - rays(few)) / (many - few)
    print(f"segtune                                {1000 * segtune:6.1f} ms a trial")
    print(f"Ray Tune, OptunaSearch, ASHA, reused   {1000 * other:6.1f} ms a trial")
    print(f"ratio {segtune / other:.2f}; segtune's trials are journalled, Ray's are not")


def rays(n: int) -> float:
    """Seconds Ray Tune with its own OptunaSearch and ASHA takes for `n` idle trials."""
    code = f"""
import os, time
os.environ.update(RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1")
import ray, ray.tune as rt, tempfile
from ray.tune.search.optuna import OptunaSearch
from ray.tune.schedulers import ASHAScheduler
class Idle(rt.Trainable):
    def setup(self, config): pass
    def step(self): return {{"f1": 0.5, "done": True}}
    def reset_config(self, config): return True
    def save_checkpoint(self, d): pass
    def load_checkpoint(self, d): pass
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
started = time.monotonic()
space = {{"lr0": rt.loguniform(1e-5, 0.1), "momentum": rt.uniform(0.6, 0.98)}}
rt.Tuner(rt.with_resources(Idle, {{"cpu": 1}}), param_space=space,
    tune_config=rt.TuneConfig(metric="f1", mode="max", num_samples={n}, reuse_actors=True,
        max_concurrent_trials=2, search_alg=OptunaSearch(), scheduler=ASHAScheduler(max_t=2)),
    run_config=rt.RunConfig(verbose=0, storage_path=tempfile.mkdtemp())).fit()
print("seconds", time.monotonic() - started)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return float(answer.stdout.split("seconds")[-1])


def start() -> None:
    """Seconds from asking for a child until its engine is loaded; against a fresh interpreter."""
    runner = TrialRunner("yolo_seg")
    with tempfile.TemporaryDirectory() as folder:
        seconds = [timed(lambda: start_and_end(runner, Path(folder))) for _ in range(6)]
    fresh = timed(
        lambda: subprocess.run(
            [sys.executable, "-c", "import trainables.engines.yolo_seg.engine"], check=True
        )
    )
    print(f"first child, with the fork server     {seconds[0]:.2f} s")
    print(f"each further child                    {median(seconds[1:]):.2f} s")
    print(f"a fresh interpreter                   {fresh:.2f} s")
    print(f"ratio {median(seconds[1:]) / fresh:.2f}")


def start_and_end(runner: TrialRunner, folder: Path) -> None:
    """Start a child whose training is refused at once, and wait for its word."""
    attempt = folder / "trial" / "attempt-1"
    attempt.mkdir(parents=True, exist_ok=True)
    data = PreparedDataset(folder, "none", ("a",), "", "", {})
    runner.start(task(data, attempt, {"imgsz": -1}, epochs=1))
    assert isinstance(runner.next_event(), Ended)


def task(
    data: PreparedDataset, attempt: Path, params: dict[str, Any], epochs: int, every: int = 1
) -> TrialTask:
    """A YOLO training without a study."""
    return TrialTask(
        engine="yolo_seg",
        study="bare",
        number=0,
        params=params,
        sampled=frozenset(),
        data=data,
        epochs=epochs,
        seed=0,
        device=Device(cpus=1),
        directory=attempt,
        resume_from=None,
        reported=0,
        goal=Goal("seg_metrics/F1"),
        train_metrics=TrainMetrics(every),
    )


def training(work: Path, data: Path, trials: int, epochs: int) -> None:
    """A study against the same trainings, metrics included, run bare two at a time."""
    text = (
        f"trainable: yolo_seg\nbudget: {{trials: {trials}, epochs: {epochs}}}\n"
        "search_space: smoke\nfixed: {imgsz: 160}\nscheduler: none\nplateau: none\n"
        "resources: {concurrent: 2, cpus_per_trial: 1}\n"
    )
    made = plan(work, "study", text, data)
    study = timed(lambda: run_study(made))
    records = StudyDir.open(made.directory).trials()
    prepared = PreparedDataset.load(data)

    def bare(runner: TrialRunner, record: TrialRecord) -> None:
        attempt = work / "bare" / str(record.number) / "attempt-1"
        attempt.mkdir(parents=True)
        runner.start(task(prepared, attempt, {**record.fixed, **record.params}, epochs))
        run_out(runner)

    def one_after_another(share: Sequence[TrialRecord]) -> None:
        runner = TrialRunner("yolo_seg")
        for record in share:
            bare(runner, record)

    def two_at_a_time() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one_after_another, (records[0::2], records[1::2])))

    alone = timed(two_at_a_time)
    print(f"study, {trials} trials of {epochs} epochs   {study:.1f} s")
    print(f"the same trainings bare      {alone:.1f} s")
    print(f"ratio {study / alone:.3f}")


def run_out(runner: TrialRunner) -> list[Reported]:
    """Let a training run to its end; its reports."""
    reports = []
    while not isinstance(event := runner.next_event(), Ended):
        if isinstance(event, Reported):
            reports.append(event)
            runner.go_on()
    if event.rule is not None:
        raise RuntimeError(event.message)
    return reports


def train_metrics(work: Path, data: Path, epochs: int) -> None:
    """Median epoch with and without metrics of the training part."""
    prepared = PreparedDataset.load(data)

    def epoch_seconds(every: int) -> tuple[float, float]:
        attempt = work / f"every-{every}" / "attempt-1"
        attempt.mkdir(parents=True)
        params = {"imgsz": 160, "batch": 4, "nbs": 4, "optimizer": "AdamW", "lr0": 0.003}
        runner = TrialRunner("yolo_seg")
        runner.start(task(prepared, attempt, params, epochs, every))
        reports = run_out(runner)[2:]
        images = max(r.values.get("train_metrics_images", 0.0) for r in reports)
        return median(r.values["epoch_seconds"] for r in reports), images

    without, _ = epoch_seconds(0)
    taken, images = epoch_seconds(1)
    print(f"epoch without metrics of the training part  {without:.2f} s")
    print(f"epoch with them, on {images:.0f} images              {taken:.2f} s")
    print(f"ratio {taken / without:.3f}")


if __name__ == "__main__":
    main()
