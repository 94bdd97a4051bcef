"""Speed of segtune's U-Net loop against a plain loop in PyTorch.

    python benchmarks/unet_speed.py PREPARED [--tiles 64] [--turns 5] [--set KEY=VALUE ...]

Both train the same network with the same loss and optimizer on the same tiles, in turns. The plain
loop has them in memory beforehand; segtune's cuts them from the micrographs, draws their targets
and augments them while it trains. Printed are tiles per second and their ratio; then how much of a
whole trial's epochs (training, validation, metrics of the training part, checkpoints) was not spent
in the network; and with `--deterministic` what repeatable kernels cost on a GPU.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from trainables.contract import Device, EpochMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.unet_selftraining.data import Batch, make_lessons, open_micrographs
from trainables.engines.unet_selftraining.engine import UnetEngine
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import MapReading
from trainables.engines.unet_selftraining.run import UnetRun, choose_kernels
from trainables.loop.device import use_device
from trainables.trials.memory import MemoryTrial

Clock = Callable[[], float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tiles", type=int, default=64, help="an epoch")
    parser.add_argument("--turns", type=int, default=5, help="epochs of each loop")
    parser.add_argument("--epochs", type=int, default=3, help="of the whole trial")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cpus", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="compare the loops by the CPU seconds of all their threads: for a busy machine",
    )
    parser.add_argument("--deterministic", action="store_true", help="and its cost, on a GPU")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="changes")
    given = parser.parse_args()
    changes = {"tiles": given.tiles, **dict(change.split("=") for change in given.changes)}
    params = UnetParams.model_validate(changes)
    with tempfile.TemporaryDirectory(prefix="segtune-speed-") as folder:
        trial = MemoryTrial(
            params.model_dump(),
            PreparedDataset.load(given.data),
            Path(folder),
            epochs=given.turns + 1,
            device=Device(given.device, cpus=given.cpus),
        )
        clock = time.process_time if given.cpu_time else time.perf_counter
        report_loops(compare(trial, params, given.turns, clock))
        report_trial(measured_trial(trial, params, given.epochs), given.epochs)
        if given.deterministic:
            report_deterministic(trial, params, given.turns)


# --- the loops


def compare(
    trial: MemoryTrial, params: UnetParams, turns: int, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Tiles per second of each loop in each turn; the first of each is not counted."""
    device = torch.device(trial.device.name)
    use_device(trial.device)
    choose_kernels(params, device)
    lessons = make_lessons(open_micrographs(trial, params), params, trial.seed)
    ready = list(lessons.batches(0, trial.device.cpus))
    ours, theirs = UnetRun(trial, params), UnetRun(trial, params)
    seconds: dict[str, list[float]] = {"segtune": [], "plain": []}
    for turn in range(turns + 1):
        seconds["segtune"].append(timed(partial(ours.train_epoch, lessons, turn), device, clock))
        seconds["plain"].append(timed(partial(plain_epoch, theirs, ready), device, clock))
    n = lessons.sampler.n_tiles
    return {name: [n / value for value in values[1:]] for name, values in seconds.items()}


def plain_epoch(run: UnetRun, batches: Sequence[Batch]) -> None:
    """What a script would do: a network, a loss, an optimizer, and tiles that are there."""
    network, optimizer, scaler, loss = run.network, run.optimizer, run.scaler, run.loss
    network.train()
    for images, labels in batches:
        optimizer.zero_grad()
        with torch.autocast(run.device.type, torch.float16, enabled=scaler.is_enabled()):
            logits = network(images.to(run.device))
        scaler.scale(loss(logits, labels.to(run.device))).backward()
        scaler.step(optimizer)
        scaler.update()


def timed(
    work: Callable[[], object], device: torch.device, clock: Clock = time.perf_counter
) -> float:
    """Seconds of some work, the GPU's included."""
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


# --- a whole trial


class WatchedTrial(MemoryTrial):
    """Remembers when each epoch was reported.

    Attributes:
        clock: Gives the time so far by what it was spent on.
        marks: At each report.
    """

    clock: Callable[[], "Times"]
    marks: list["Times"]

    def report(self, metrics: EpochMetrics, checkpoint: Path | None) -> None:
        """As every trial in memory."""
        super().report(metrics, checkpoint)
        self.marks.append(self.clock())


@dataclass(frozen=True)
class Times:
    """Seconds of a trial, whole and by what they were spent on.

    Attributes:
        total: All of them.
        steps: Forward and backward passes, and steps of the optimizer.
        prediction: Forward passes over whole micrographs, of validation and training metrics.
    """

    total: float
    steps: float
    prediction: float

    def since(self, before: "Times") -> "Times":
        """The time after another moment."""
        return Times(
            self.total - before.total,
            self.steps - before.steps,
            self.prediction - before.prediction,
        )


def measured_trial(trial: MemoryTrial, params: UnetParams, epochs: int) -> Times:
    """Train supervised epochs as the tuner does, after a first one that is not counted."""
    device = torch.device(trial.device.name)
    watched = WatchedTrial(
        {**params.model_dump(), "tiles": None, "rounds": 0},
        trial.data,
        trial.directory,
        epochs=epochs + 1,
        device=trial.device,
    )
    with (
        counted(UnetRun, "_step", device) as steps,
        counted(MapReading, "_forward", device) as reads,
    ):
        watched.marks = []
        watched.clock = lambda: Times(time.perf_counter(), sum(steps), sum(reads))
        UnetEngine().train(watched)
    return watched.marks[-1].since(watched.marks[0])


@contextmanager
def counted(owner: type, method: str, device: torch.device) -> Iterator[list[float]]:
    """The seconds of each call of a method, while this lasts."""
    original = getattr(owner, method)
    seconds: list[float] = []

    def wrapped(*arguments: Any) -> Any:
        results: list[Any] = []
        seconds.append(timed(lambda: results.append(original(*arguments)), device))
        return results[0]

    setattr(owner, method, wrapped)
    try:
        yield seconds
    finally:
        setattr(owner, method, original)


# --- what is printed


def report_loops(speeds: dict[str, list[float]]) -> None:
    """Print the medians, their spread and their ratio."""
    for name, values in speeds.items():
        print(
            f"{name:<9} {median(values):8.2f} tiles a second, median of {len(values)} "
            f"({min(values):.2f} to {max(values):.2f})"
        )
    ratios = [ours / plain for ours, plain in zip(*speeds.values(), strict=True)]
    print(
        f"speed of segtune's loop: {median(ratios):.3f} of the plain one, median of {len(ratios)} "
        f"turns ({min(ratios):.3f} to {max(ratios):.3f}); load {os.getloadavg()[0]:.1f}"
    )


def report_trial(times: Times, epochs: int) -> None:
    """Print where the time of a trial went."""
    elsewhere = 1 - (times.steps + times.prediction) / times.total
    print(
        f"a trial's epoch: {times.total / epochs:.2f} s, mean of {epochs}: "
        f"{times.steps / times.total:.1%} steps, {times.prediction / times.total:.1%} prediction, "
        f"{elsewhere:.1%} not in the network; load {os.getloadavg()[0]:.1f}"
    )


def report_deterministic(trial: MemoryTrial, params: UnetParams, turns: int) -> None:
    """Print what repeatable kernels cost."""
    speeds = {
        repeat: median(
            compare(trial, params.model_copy(update={"deterministic": repeat}), turns)["segtune"]
        )
        for repeat in (False, True)
    }
    print(
        f"deterministic: {speeds[True]:.2f} tiles a second against {speeds[False]:.2f}, "
        f"{speeds[True] / speeds[False]:.3f} of the speed"
    )


if __name__ == "__main__":
    main()
