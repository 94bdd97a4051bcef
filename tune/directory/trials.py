"""A trial as journal and folder know it: proposed, assigned, ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal


@dataclass(frozen=True)
class Proposal:
    """One configuration to try.

    Attributes:
        params: Sampled values by name; names whose condition does not hold are absent.
        warm_start: Index of the warm-start point it came from, or None.
    """

    params: Mapping[str, Any]
    warm_start: int | None = None


@dataclass(frozen=True)
class TrialAssignment:
    """A trial to run.

    Attributes:
        number: Optuna's number.
        proposal: Sampled values of the trial.
        seed: Seed of its training.
        last_epoch: Last epoch the journal has of it; 0 for a new trial.
    """

    number: int
    proposal: Proposal
    seed: int
    last_epoch: int = 0


SLOTS: Final = "slots"  # what a trial's slots are journalled under: how many, after which epoch

MICRO_BATCH: Final = "micro_batch"  # the same of the samples that go through the network at once

GPUS: Final = "gpus"  # the same of the whole GPUs that it has instead of slots, of one node

State = Literal["waiting", "running", "complete", "pruned", "failed"]
"""State of a trial: waiting where no driver trains it just now, running where one does."""

UNFINISHED: Final[tuple[State, ...]] = ("waiting", "running")
"""States of trials that have not ended."""


def part_words(attributes: Mapping[str, Any]) -> str:
    """The part of a machine that a trial has, where it is not the one that all begin with.

    Args:
        attributes: Values that the journal has of the trial, by key.

    >>> part_words({"slots": [2, 3], "micro_batch": [4, 3]}), part_words({})
    ('2 shares, micro_batch 4', '')
    >>> part_words({"slots": [4, 7], "gpus": [2, 9]})
    '2 GPUs'
    """
    keys = SLOTS, MICRO_BATCH, GPUS
    slots, micro_batch, gpus = (attributes.get(key, (0, 0))[0] for key in keys)
    shares = [f"{slots} shares"] if slots > 1 else []
    shares = [f"{gpus} GPUs"] if gpus else shares
    return ", ".join(shares + ([f"micro_batch {micro_batch}"] if micro_batch else []))


@dataclass(frozen=True)
class TrialOutcome:
    """The outcome of a trial: its end, or its pause, and the reason.

    Attributes:
        state: complete (trained to the end, or converged), pruned (stopped early) or failed;
            waiting where it only pauses, as the study's hours are used up.
        stop_reason: The rule that ended it, a `tune.stopping.decision.Rule`.
        rung: The rung's epoch where ASHA ended it.
        cutoff: Limit that `value` was held against.
        value: The value the rule looked at.
        epoch: Last epoch trained.
        message: One sentence for the user; the error where it failed.
        seconds: Training time, over all attempts.
    """

    state: State
    stop_reason: str
    rung: int | None = None
    cutoff: float | None = None
    value: float | None = None
    epoch: int = 0
    message: str = ""
    seconds: float = 0.0
