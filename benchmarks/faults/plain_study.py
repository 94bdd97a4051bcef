"""A plain Ray Tune study in a process of its own: what it trains, its driver, and who watches it.

    python -m benchmarks.faults.plain_study FOLDER [--restore]

is the driver, whose plan lies in the folder; `Stock` starts such drivers.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import pyarrow.fs
import ray
import ray.tune as ray_tune
from PIL import Image

TRIALS: Final = 4
EPOCHS: Final = 12
EPOCH_S: Final = 2.0
WAIT_S: Final = 240.0
LATE: Final = 18
"""Epochs after which harm is done: Ray writes the state of the study every ten seconds."""
GIB: Final = 2**30
_NAME: Final = "stock"


@dataclass
class Plan:
    """What a driver is to run.

    Attributes:
        storage: Where Ray keeps the study: a folder, or a place in a bucket.
        bucket: Whether it is a place in the bucket at STORAGE_EMULATOR_HOST.
        patience_s: How long the bucket's client tries again; None for as long as it does by itself.
        failures: `max_failures` of a trial.
        nan: Number of the trial whose metric is NaN from epoch 3 on; -1 for none.
        hungry: Number of the trial that takes 6 GiB from epoch 3 on; -1 for none.
        limit: Whether a trial may have 2 GiB only.
        pictures: Folder of the data set that is read in every epoch; "" for none.
        wandb: Whether Ray's callback tells W&B of it.
    """

    storage: str
    bucket: bool = False
    patience_s: float | None = None
    failures: int = 0
    nan: int = -1
    hungry: int = -1
    limit: bool = False
    pictures: str = ""
    wandb: bool = False


def training(config: dict[str, Any]) -> None:
    """Train nothing for some epochs, and report each with a checkpoint, as Ray's guide has it."""
    epoch, trial, held = 0, ray_tune.get_context().get_trial_id(), b""
    if config["limit"]:
        resource.setrlimit(resource.RLIMIT_DATA, (2 * GIB, 2 * GIB))
    checkpoint = ray_tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            epoch = json.loads((Path(folder) / "state.json").read_text())["epoch"]
    while epoch < EPOCHS:
        time.sleep(EPOCH_S)
        particles = seen_in(config["pictures"])
        epoch += 1
        if config["n"] == config["hungry"] and epoch >= 3:
            held = b"\1" * (6 * GIB)
        line = {"trial": trial, "epoch": epoch, "pid": os.getpid(), "raylet": os.getppid()}
        with Path(config["diary"]).open("a") as diary:
            diary.write(json.dumps({**line, "particles": particles}) + "\n")
        f1 = float("nan") if config["n"] == config["nan"] and epoch >= 3 else config["n"] / 10
        with tempfile.TemporaryDirectory() as new:
            state = {"weights": "0" * 50_000, "epoch": epoch}
            (Path(new) / "state.json").write_text(json.dumps(state))
            ray_tune.report({"f1": f1}, checkpoint=ray_tune.Checkpoint.from_directory(new))
    del held


def seen_in(folder: str) -> int:
    """Number of annotated particles of a data set whose pictures are all read; 0 for none."""
    if not folder:
        return 0
    annotated = json.loads((Path(folder) / "annotations.json").read_text())
    for name in annotated:
        with Image.open(Path(folder) / name) as picture:
            picture.load()
    return sum(annotated.values())


def drive(folder: Path, *, restore: bool) -> None:
    """Be the driver: run the study, or go on with it; writes what came of it."""
    plan = Plan(**json.loads((folder / "plan.json").read_text()))
    own: dict[str, Any] = {"address": "local", "num_cpus": 2, "include_dashboard": False}
    ray.init(**({} if os.environ.get("RAY_ADDRESS") else own), log_to_driver=False)
    trainable = ray_tune.with_resources(training, {"cpu": 1})
    filesystem = _bucket(plan) if plan.bucket else None
    if restore:
        place = f"{plan.storage}/{_NAME}"
        tuner = ray_tune.Tuner.restore(
            place, trainable, resume_errored=True, storage_filesystem=filesystem
        )
    else:
        space = {"n": ray_tune.grid_search(list(range(TRIALS))), "diary": str(folder / "diary")}
        given = {name: getattr(plan, name) for name in ("nan", "hungry", "limit", "pictures")}
        tuner = ray_tune.Tuner(
            trainable,
            param_space=space | given,
            tune_config=ray_tune.TuneConfig(metric="f1", mode="max"),
            run_config=ray_tune.RunConfig(
                name=_NAME,
                storage_path=plan.storage,
                storage_filesystem=filesystem,
                failure_config=ray_tune.FailureConfig(max_failures=plan.failures),
                callbacks=_callbacks(plan),
            ),
        )
    results = tuner.fit()
    errors = [str(error).strip().splitlines()[-1] for error in results.errors]
    try:
        best = (results.get_best_result().config or {}).get("n")
    except RuntimeError as error:
        best = str(error)
    ended = {"trials": len(results), "errors": errors, "best": best}
    (folder / f"ended-{os.getpid()}.json").write_text(json.dumps(ended))


def _bucket(plan: Plan) -> pyarrow.fs.FileSystem:
    patience = {} if plan.patience_s is None else {"retry_time_limit": _seconds(plan.patience_s)}
    where = os.environ["STORAGE_EMULATOR_HOST"].removeprefix("http://")
    return pyarrow.fs.GcsFileSystem(
        anonymous=True, scheme="http", endpoint_override=where, **patience
    )


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _callbacks(plan: Plan) -> list[ray_tune.Callback]:
    if not plan.wandb:
        return []
    from ray.air.integrations.wandb import WandbLoggerCallback

    return [WandbLoggerCallback(project=_NAME)]


@dataclass
class Stock:
    """A plain study in a folder of its own.

    Attributes:
        folder: Holds its logs, its diary of trained epochs and what came of it.
        plan: What its drivers run.
        environment: What their environment has besides this process's own.
        drivers: Its drivers, in the order in which they were started.
        started: All processes that were seen to be theirs.
    """

    folder: Path
    plan: Plan
    environment: dict[str, str] = field(default_factory=dict)
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: set[psutil.Process] = field(default_factory=set)

    @property
    def place(self) -> Path:
        """The folder that Ray keeps it in, where that is no bucket."""
        return Path(self.plan.storage) / _NAME

    def start(self, *, restore: bool = False) -> subprocess.Popen[bytes]:
        """Start a driver."""
        (self.folder / "plan.json").write_text(json.dumps(asdict(self.plan)))
        command = [sys.executable, "-m", "benchmarks.faults.plain_study", str(self.folder)]
        with (self.folder / f"log-{len(self.drivers)}").open("ab") as log:
            driver = subprocess.Popen(
                command + (["--restore"] if restore else []),
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.drivers.append(driver)
        return driver

    def diary(self) -> list[dict[str, Any]]:
        """Each epoch that was trained, in order."""
        diary = self.folder / "diary"
        return (
            [json.loads(line) for line in diary.read_text().splitlines()] if diary.exists() else []
        )

    def wait_for(self, n: int) -> None:
        """Wait until so many epochs were trained."""
        deadline = time.monotonic() + WAIT_S
        while len(self.diary()) < n:
            if time.monotonic() > deadline:
                raise TimeoutError(self.log(-1)[-2000:])
            time.sleep(0.05)

    def log(self, number: int) -> str:
        """What a driver has said."""
        return (self.folder / f"log-{range(len(self.drivers))[number]}").read_text()

    def below(self) -> list[psutil.Process]:
        """Its drivers, and the processes that they have started."""
        for driver in self.drivers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(driver.pid)
                self.started |= {process, *process.children(recursive=True)}
        return [p for p in self.started if p.is_running()]

    def workers(self) -> list[psutil.Process]:
        """The processes in which trials train."""
        pids = {line["pid"] for line in self.diary()}
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]

    def finish(self, driver: subprocess.Popen[bytes], most_s: float = WAIT_S) -> None:
        """Wait for a driver's end; one that does not end is killed."""
        began = time.monotonic()
        try:
            driver.wait(timeout=most_s)
            print(f"    a driver ended after {time.monotonic() - began:.0f} s")
        except subprocess.TimeoutExpired:
            print(f"    a driver was still there after {most_s:.0f} s, and was killed")
            driver.kill()
            driver.wait()

    def kill(self) -> None:
        """Kill all that was started, as a power cut does."""
        for process in self.below():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for driver in self.drivers:
            driver.wait()

    def tell(self, what: str) -> None:
        """Print what is to be seen now, under a word."""
        print(f"    {what}: {self.seen()}", flush=True)

    def seen(self) -> str:
        """What came of it, in a line."""
        often = Counter((line["trial"], line["epoch"]) for line in self.diary())
        full = sum(often[trial, EPOCHS] > 0 for trial in {trial for trial, _ in often})
        twice = sum(n - 1 for n in often.values())
        said = f"{full} of {TRIALS} trials trained to their end, {twice} epochs trained again"
        return "; ".join([said, *(self._end_of(n) for n in range(len(self.drivers)))])

    def _end_of(self, number: int) -> str:
        driver = self.drivers[number]
        file = self.folder / f"ended-{driver.pid}.json"
        if file.is_file():
            ended = json.loads(file.read_text())
            errors = Counter(error[:200] for error in ended["errors"])
            of = f"{ended['trials']} trials, {len(ended['errors'])} in error {dict(errors) or ''}"
            return f"driver {number}: {of}, best: {ended['best']}"
        if driver.poll() is None:
            return f"driver {number} runs"
        if driver.returncode < 0:
            return f"driver {number} was killed"
        said = self.log(number)
        raised = re.findall(r"^[\w.]*(?:Error|Exception): .*", said, re.MULTILINE)
        return f"driver {number} raised: {(raised or said.splitlines()[-1:] or [''])[-1][:300]}"


def main() -> None:
    """Be a driver."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds its plan")
    parser.add_argument("--restore", action="store_true", help="go on with the study")
    given = parser.parse_args()
    drive(given.folder, restore=given.restore)


if __name__ == "__main__":
    main()
