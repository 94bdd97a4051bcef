"""The part of a machine that a trial may use: threads, a share of a GPU, and when it is too small.

A process trains one trial after the other, so every setting is made anew for each.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import torch

from trainables.contract import Device, OutOfMemory
from trainables.failures import says_out_of_memory
from trainables.loop.split.parts import at_once

MOST_WORKERS: Final = 8
"""Loader workers that are started where nobody asked for a number."""


def loader_processes(wanted: int | None, device: Device) -> int:
    """Loader processes; none on the CPU, where they would only compete with the training."""
    if device.name == "cpu":
        return 0
    return min(max(1, device.cpus - 1), MOST_WORKERS) if wanted is None else wanted


def use_device(device: Device, workers: int = 0) -> None:
    """Keep this process to the trial's CPUs and to its share of the GPU.

    What a trial before left in the GPU's cache is given back.

    Args:
        device: CPUs and GPUs that the trial may use.
        workers: Loader processes, for which CPUs are left.
    """
    torch.set_num_threads(max(1, device.cpus - workers))
    if device.name != "cpu":
        torch.cuda.empty_cache()
        for gpu in range(device.gpus) if device.gpus > 1 else [device.name]:
            torch.cuda.set_per_process_memory_fraction(device.memory_fraction, gpu)


def forget_peak_memory(device: torch.device) -> None:
    """Begin to count GPU memory anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_gb(device: torch.device) -> float:
    """Most GPU memory reserved since `forget_peak_memory`, GB; 0 on the CPU."""
    if device.type != "cuda":
        return 0.0
    return float(torch.cuda.max_memory_reserved(device) / 1e9)


@contextlib.contextmanager
def memory_errors(device: Device, size: str, remedy: str, batch: int = 0) -> Iterator[None]:
    """Turn running out of memory into what it means for a trial; nothing is halved in silence.

    Args:
        device: Device of the training.
        size: The settings that ask for the memory: "batch=8 at imgsz=640".
        remedy: Keys to lower: "batch or imgsz".
        batch: Number of samples of a batch; 0 where it cannot be split.

    Raises:
        OutOfMemory: The memory does not suffice.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not says_out_of_memory(error):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        parts = f" in parts of {device.micro_batch}" if device.micro_batch else ""
        raise OutOfMemory(
            f"{size}{parts} does not fit into the memory of {device.name} that this trial may use "
            f"({said}); lower {remedy}, or run fewer trials at once",
            at_once(batch, device),
        ) from error
