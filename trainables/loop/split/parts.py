"""Batches that go through a network in parts, because whole ones do not fit into the memory.

The gradients of the parts are summed before a step of the optimizer, so batch and steps stay what
the hyperparameters say. Where a loss or a norm looks at all samples of a batch together, the mean
over the parts is another number, and the training says so (`note_parts`).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from trainables.contract import Device, Trial
from trainables.loop.split.shared import Sum


def parts_of(n: int, micro_batch: int) -> list[slice]:
    """The parts of a batch, in order; the last may be smaller.

    Args:
        n: Number of samples of the batch; 0 for that of a process which has none of them.
        micro_batch: Most samples of a part; 0 for one part.

    >>> parts_of(5, 2), parts_of(5, 0)
    ([slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)], [slice(0, 5, None)])
    >>> parts_of(0, 0)
    [slice(0, 0, None)]
    """
    if not 0 < micro_batch < n:
        return [slice(0, n)]
    size = micro_batch
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def at_once(batch: int, device: Device) -> int:
    """Number of samples that go through the network at once, on each of a trial's devices.

    >>> at_once(8, Device(micro_batch=3)), at_once(2, Device(micro_batch=3)), at_once(8, Device())
    (3, 2, 8)
    >>> at_once(8, Device(gpus=3)), at_once(8, Device(gpus=2, micro_batch=2))
    (3, 2)
    """
    return min(batch, device.micro_batch or batch, -(-batch // device.gpus))


def note_parts(trial: Trial, batch: int, inexact: str = "") -> None:
    """Tell the user that batches go through the network in parts, and whether that changes them.

    Args:
        trial: The trial; nothing is said of one whose batches are whole.
        batch: Number of samples of a batch.
        inexact: Reason for which the training is not exactly that of whole batches: "its batch
            norms see a part alone"; "" where it is.
    """
    part = at_once(batch, trial.device)
    if part == batch:
        return
    same = f"not exactly the training of whole batches: {inexact}" if inexact else "the same steps"
    gpus = trial.device.gpus
    why, each = (f"{gpus} GPUs", f" of {part}") if gpus > 1 else (f"micro_batch={part}", "")
    trial.note(f"{why}: batches of {batch} are computed in parts{each}, {same}")


def whole_sums(compute: Sequence[Callable[[Sum], object]]) -> list[Sum]:
    """Sums over a whole batch, for a loss that is computed part by part.

    A loss that is a function of sums over all samples (a Dice loss, a mean over known pixels) has
    for each part the gradient of the whole batch's loss if the other parts' sums are added to the
    part's own as numbers. They are found by computing the loss of each part once without
    gradients; random numbers are drawn the same again afterwards.

    Args:
        compute: For each part a function that computes its loss with given sums.

    Returns:
        The sums to compute the loss of each part with, in order. Each can be used once.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    found: list[list[Tensor]] = []
    with torch.no_grad(), torch.random.fork_rng(devices):
        for loss in compute:
            found.append([])
            loss(partial(_noting, found[-1]))
    totals = [torch.stack(same).sum(0) for same in zip(*found, strict=True)]
    return [_completed([t - o for t, o in zip(totals, own, strict=True)]) for own in found]


def _noting(noted: list[Tensor], own: Tensor) -> Tensor:
    """Sums of one part, as they are; they are noted."""
    noted.append(own)
    return own


def _completed(others: Sequence[Tensor]) -> Sum:
    """Sums of one part to those of the batch: the other parts' are added, call by call."""
    rest = iter(others)
    return lambda own: own + next(rest)
