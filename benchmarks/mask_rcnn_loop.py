"""Speed of segtune's Mask R-CNN loop against Detectron2's own trainer.

    python benchmarks/mask_rcnn_loop.py PREPARED [--steps 20] [--rounds 3]

Both train the same network on the same batches, held in memory, with the same optimizer, in turns;
the first step of each turn is not counted. Printed is the median time a step, and the ratio of the
speeds, which should be 0.95 or more.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.utils.events import EventStorage

from trainables.contract import Device
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.run import MaskRcnnRun
from trainables.trials.memory import MemoryTrial

Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="changes")
    given = parser.parse_args()
    logging.getLogger("detectron2").setLevel(logging.ERROR)
    changes = dict(change.split("=") for change in given.changes)
    params = MaskRcnnParams.model_validate({**_SMALL, **changes})
    with tempfile.TemporaryDirectory(prefix="segtune-loop-") as folder:
        data = PreparedDataset.load(given.data)
        trial = MemoryTrial(
            params.model_dump(), data, Path(folder), device=Device(given.device, cpus=_threads())
        )
        report(compare(trial, params, given.steps, given.rounds))


_SMALL = {"backbone": "r18", "min_size": 256, "max_size": 512, "proposals": 300, "clip": 0}
"""What two CPU cores train in a second a step; without clipping, which SimpleTrainer lacks."""


def _threads() -> int:
    return torch.get_num_threads()


def compare(
    trial: MemoryTrial, params: MaskRcnnParams, n_steps: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds a step of each loop, over all rounds."""
    runs = {name: MaskRcnnRun(trial, params) for name in ("segtune", "detectron2")}
    batches = list(islice(runs["segtune"].loader, n_steps))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            [member] = run.members.values()
            member.net.train()
            torch.manual_seed(0)
            with _LOOPS[name](run, batches) as step:
                times[name] += timed(step, n_steps, run.device)
    return times


@contextmanager
def ours(run: MaskRcnnRun, batches: Sequence[Any]) -> Iterator[Step]:
    """A step of segtune's loop, its learning rate included."""
    rest = cycle(batches)
    with EventStorage():
        yield lambda: run._train_batch(next(rest), 0.1, (1,))


@contextmanager
def theirs(run: MaskRcnnRun, batches: Sequence[Any]) -> Iterator[Step]:
    """A step of Detectron2's trainer, which sees to nothing but the step."""
    [member] = run.members.values()
    kind = AMPTrainer if member.scaler.is_enabled() else SimpleTrainer
    trainer = kind(member.net, cycle(batches), member.optimizer)
    for group in member.optimizer.param_groups:
        group["lr"] = 0.1 * group["initial_lr"]
    with EventStorage() as trainer.storage:
        yield trainer.run_step


_LOOPS = {"segtune": ours, "detectron2": theirs}


def timed(step: Step, n_steps: int, device: torch.device) -> list[float]:
    """Seconds of each step but the first."""
    seconds = []
    for _ in range(n_steps + 1):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def report(times: dict[str, list[float]]) -> None:
    """Print the medians and their ratio."""
    medians = {name: median(seconds) for name, seconds in times.items()}
    for name, seconds in medians.items():
        print(f"{name:<11} {1000 * seconds:8.1f} ms a step, median of {len(times[name])}")
    print(f"speed of segtune's loop: {medians['detectron2'] / medians['segtune']:.3f} of theirs")


if __name__ == "__main__":
    main()
