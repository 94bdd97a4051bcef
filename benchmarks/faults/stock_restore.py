"""What a plain Ray Tune run makes of the faults in docs/reliability.md.

    python -m benchmarks.faults.stock_restore [FAULT ...]

Each fault meets a driver of its own: `ray.tune.Tuner` over a simulated training that keeps a
checkpoint after every epoch, and `Tuner.restore` after it. Printed is a line a fault: the trials
that ended, the epochs that were trained twice, and the last error that was raised.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import ray
import ray.tune as ray_tune

TRIALS: Final = 4
EPOCHS: Final = 12
EPOCH_S: Final = 2.0
WAIT_S: Final = 240.0
_NAME: Final = "stock"
_LATE: Final = 18
"""Epochs after which harm is done: Ray writes the state of the study every ten seconds."""


def training(config: dict[str, Any]) -> None:
    """Train nothing for some epochs, and report each with a checkpoint, as Ray's guide has it."""
    epoch, trial = 0, ray_tune.get_context().get_trial_id()
    checkpoint = ray_tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            epoch = json.loads((Path(folder) / "state.json").read_text())["epoch"]
    while epoch < EPOCHS:
        time.sleep(EPOCH_S)
        epoch += 1
        with Path(config["diary"]).open("a") as diary:
            diary.write(json.dumps({"trial": trial, "epoch": epoch, "pid": os.getpid()}) + "\n")
        f1 = float("nan") if config["n"] == config["nan"] and epoch >= 3 else config["n"] / 10
        with tempfile.TemporaryDirectory() as new:
            state = {"epoch": epoch, "weights": "0" * 50_000}
            (Path(new) / "state.json").write_text(json.dumps(state))
            ray_tune.report({"f1": f1}, checkpoint=ray_tune.Checkpoint.from_directory(new))


def drive(folder: Path, storage: Path, *, restore: bool, failures: int, nan: int) -> None:
    """Be the driver: run the study, or go on with it; writes what came of it."""
    own: dict[str, Any] = {"address": "local", "num_cpus": 2, "include_dashboard": False}
    ray.init(**({} if os.environ.get("RAY_ADDRESS") else own), log_to_driver=False)
    trainable = ray_tune.with_resources(training, {"cpu": 1})
    if restore:
        tuner = ray_tune.Tuner.restore(str(storage / _NAME), trainable, resume_errored=True)
    else:
        numbers = list(range(TRIALS))
        space = {"n": ray_tune.grid_search(numbers), "diary": str(folder / "diary"), "nan": nan}
        tuner = ray_tune.Tuner(
            trainable,
            param_space=space,
            tune_config=ray_tune.TuneConfig(metric="f1", mode="max"),
            run_config=ray_tune.RunConfig(
                name=_NAME,
                storage_path=str(storage),
                failure_config=ray_tune.FailureConfig(max_failures=failures),
            ),
        )
    results = tuner.fit()
    errors = [str(error).strip().splitlines()[-1] for error in results.errors]
    try:
        best = (results.get_best_result().config or {}).get("n")
    except RuntimeError as error:
        best = str(error)
    ended = {"trials": len(results), "errors": errors, "best": best}
    (folder / "ended.json").write_text(json.dumps(ended))


@dataclass
class Stock:
    """A plain study in a folder of its own.

    Attributes:
        folder: Holds its log, its diary of trained epochs and what came of it.
        storage: Where Ray keeps it.
        failures: `max_failures` of a trial.
        nan: Number of the trial whose metric is NaN from epoch 3 on; -1 for none.
        address: Address of the cluster it runs on; "" for one of its own.
    """

    folder: Path
    storage: Path
    failures: int = 0
    nan: int = -1
    address: str = ""
    started: list[psutil.Process] = field(default_factory=list)

    def start(self, *, restore: bool = False) -> subprocess.Popen[bytes]:
        """Start a driver."""
        (self.folder / "ended.json").unlink(missing_ok=True)
        words = ["--drive", str(self.folder), "--storage", str(self.storage)]
        words += ["--failures", str(self.failures), "--nan", str(self.nan)]
        with (self.folder / "log").open("ab") as log:
            driver = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faults.stock_restore", *words]
                + (["--restore"] if restore else []),
                env=os.environ | ({"RAY_ADDRESS": self.address} if self.address else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(psutil.Process(driver.pid))
        return driver

    def epochs(self) -> list[tuple[str, int]]:
        """(trial, epoch) of each that was trained, in order."""
        diary = self.folder / "diary"
        lines = diary.read_text().splitlines() if diary.is_file() else []
        return [(line["trial"], line["epoch"]) for line in map(json.loads, lines)]

    def wait_for(self, n: int) -> None:
        """Wait until so many epochs were trained."""
        deadline = time.monotonic() + WAIT_S
        while len(self.epochs()) < n:
            if time.monotonic() > deadline:
                raise TimeoutError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def below(self) -> list[psutil.Process]:
        """The processes that its last driver has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.started += self.started[-1].children(recursive=True)
        return [p for p in self.started if p.is_running()]

    def workers(self) -> list[psutil.Process]:
        """The processes in which trials train."""
        pids = {
            json.loads(line)["pid"]
            for line in (self.folder / "diary").read_text().split("\n")
            if line
        }
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def finish(self, driver: subprocess.Popen[bytes]) -> None:
        """Wait for a driver's end; one that does not end is killed."""
        try:
            driver.wait(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            self.end()

    def end(self) -> None:
        """Kill all that was started."""
        for process in self.below():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def seen(self) -> str:
        """What came of it, in a line."""
        often = Counter(self.epochs())
        full = sum(often[trial, EPOCHS] > 0 for trial in {trial for trial, _ in often})
        twice = sum(n - 1 for n in often.values())
        said = f"{full} of {TRIALS} trials trained to their end, {twice} epochs trained again"
        file = self.folder / "ended.json"
        if not file.is_file():
            lines = (self.folder / "log").read_text().strip().splitlines()
            return f"{said}; the driver raised: {lines[-1][:300] if lines else ''}"
        ended = json.loads(file.read_text())
        errors = sorted({error[:200] for error in ended["errors"]})
        return f"{said}; {len(ended['errors'])} in error {errors or ''}; best: {ended['best']}"


def driver_killed(stock: Stock) -> None:
    """The driver alone is killed, and restored."""
    driver = stock.start()
    stock.wait_for(_LATE)
    stock.below()
    driver.kill()
    driver.wait()
    time.sleep(5)  # as long as somebody takes to notice
    stock.finish(stock.start(restore=True))


def everything_killed(stock: Stock) -> None:
    """The driver and all that it started are killed at once, and the driver is restored."""
    driver_killed_then(stock, lambda: None)


def worker_killed(stock: Stock) -> None:
    """The process of a trial is killed; nothing is restored."""
    driver = stock.start()
    stock.wait_for(_LATE)
    stock.workers()[0].kill()
    stock.finish(driver)


def worker_killed_retried(stock: Stock) -> None:
    """The same with `max_failures=-1`."""
    stock.failures = -1
    worker_killed(stock)


def worker_killed_restored(stock: Stock) -> None:
    """The same without retries, then restored with `resume_errored=True`."""
    worker_killed(stock)
    stock.finish(stock.start(restore=True))


def cluster_killed(stock: Stock) -> None:
    """Ray's own processes are killed while the driver lives; a driver that stays is told."""
    driver = stock.start()
    stock.wait_for(_LATE)
    for process in stock.below():
        if process.pid != driver.pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    began = time.monotonic()
    try:
        driver.wait(timeout=120)
        print(f"    the driver ended after {time.monotonic() - began:.0f} s")
    except subprocess.TimeoutExpired:
        print("    the driver was still there after 120 s, and was killed")
        driver.kill()
        driver.wait()
    stock.finish(stock.start(restore=True))


def state_cut(stock: Stock) -> None:
    """The driver is killed and the file of its state loses its second half."""
    driver_killed_then(stock, lambda: _cut(_of(stock, "experiment_state-*.json")))


def searcher_cut(stock: Stock) -> None:
    """The driver is killed and `tuner.pkl` loses its second half."""
    driver_killed_then(stock, lambda: _cut(_of(stock, "tuner.pkl")))


def checkpoint_damaged(stock: Stock) -> None:
    """The driver is killed, and what the checkpoints of one trial hold is damaged."""

    def damage() -> None:
        trials = sorted({file.parents[1] for file in _of(stock, "*/checkpoint_*/state.json")})
        for file in trials[0].glob("checkpoint_*/state.json"):
            file.write_bytes(b"\0" * 100)

    driver_killed_then(stock, damage)


def driver_killed_then(stock: Stock, damage: Callable[[], object]) -> None:
    """Kill everything after twelve epochs, do some harm, and restore."""
    driver = stock.start()
    stock.wait_for(_LATE)
    for process in [psutil.Process(driver.pid), *stock.below()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    driver.wait()
    damage()
    stock.finish(stock.start(restore=True))


def nan(stock: Stock) -> None:
    """A trial's metric is NaN from its third epoch on."""
    stock.nan = 3
    stock.finish(stock.start())


def two_drivers(stock: Stock) -> None:
    """A driver sleeps, a second one restores its study, and the first wakes up."""
    first = stock.start()
    stock.wait_for(6)
    os.kill(first.pid, signal.SIGSTOP)
    second = stock.start(restore=True)
    stock.wait_for(len(stock.epochs()) + 6)
    os.kill(first.pid, signal.SIGCONT)
    stock.finish(first)
    print(f"    the first driver ended with {first.returncode}")
    stock.finish(second)


def disk_full(stock: Stock) -> None:
    """The disk is full for some seconds, then has room again, and the study is restored."""
    with small_disk(stock):
        driver = stock.start()
        stock.wait_for(_LATE)
        filler = stock.storage / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        stock.finish(driver)
        print(f"    while it is full: {stock.seen()}")
        filler.unlink()
        stock.finish(stock.start(restore=True))


def read_only(stock: Stock) -> None:
    """The study is interrupted, and restored on a disk that may only be read."""
    with small_disk(stock):
        driver = stock.start()
        stock.wait_for(_LATE)
        for process in [psutil.Process(driver.pid), *stock.below()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        driver.wait()
        subprocess.run(["mount", "-o", "remount,ro", str(stock.storage)], check=True)
        stock.finish(stock.start(restore=True))


def node_lost(stock: Stock) -> None:
    """The raylet of a node with half of the trials is killed; nothing is restored."""
    from ray.cluster_utils import Cluster

    one: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**one, "include_dashboard": False})
    node = cluster.add_node(**one)
    try:
        stock.address = cluster.address
        driver = stock.start()
        stock.wait_for(_LATE)
        node.all_processes["raylet"][0].process.kill()
        stock.finish(driver)
    finally:
        stock.end()
        cluster.shutdown()


def node_lost_retried(stock: Stock) -> None:
    """The same with `max_failures=-1`."""
    stock.failures = -1
    node_lost(stock)


@contextlib.contextmanager
def small_disk(stock: Stock) -> Iterator[None]:
    """A disk of 8 MB under the study; needs root."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(stock.storage)], check=True
    )
    try:
        yield
    finally:
        stock.end()
        subprocess.run(["umount", "-l", str(stock.storage)], check=True)


def _of(stock: Stock, pattern: str) -> list[Path]:
    found = sorted((stock.storage / _NAME).glob(pattern))
    assert found, pattern
    return found


def _cut(files: list[Path]) -> None:
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])


FAULTS: Final[dict[str, Callable[[Stock], None]]] = {
    one.__name__: one
    for one in (
        driver_killed,
        everything_killed,
        worker_killed,
        worker_killed_retried,
        worker_killed_restored,
        cluster_killed,
        state_cut,
        searcher_cut,
        checkpoint_damaged,
        nan,
        two_drivers,
        disk_full,
        read_only,
        node_lost,
        node_lost_retried,
    )
}


def main() -> None:
    """Put a plain study through each fault, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--storage", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--restore", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--failures", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--nan", type=int, default=-1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        drive(
            given.drive,
            given.storage,
            restore=given.restore,
            failures=given.failures,
            nan=given.nan,
        )
        return
    if unknown := set(given.faults) - set(FAULTS):
        parser.error(f"expected faults of {', '.join(FAULTS)}, got {', '.join(sorted(unknown))}")
    print(f"Ray {ray.__version__}: {TRIALS} trials of {EPOCHS} epochs, two at once")
    for name in given.faults or FAULTS:
        with tempfile.TemporaryDirectory(prefix="stock-", ignore_cleanup_errors=True) as place:
            folder, storage = Path(place), Path(place) / "storage"
            storage.mkdir()
            stock = Stock(folder, storage)
            try:
                FAULTS[name](stock)
                print(f"{name}: {stock.seen()}", flush=True)
            finally:
                stock.end()


if __name__ == "__main__":
    main()
