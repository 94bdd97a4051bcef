"""What a driver tells those who watch it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tune.stopping import Decision

if TYPE_CHECKING:
    from tune.plan import StudyPlan

State = Literal["waiting", "running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: complete (trained to the end, or converged), pruned (stopped early) or failed;
            running where it only pauses, as the study's hours are used up.
        stop_reason: The rule that ended it, a `tune.stopping.Rule`.
        rung: The rung's epoch where ASHA ended it.
        cutoff: What `value` was compared with.
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


class Observer(Protocol):
    """Someone who is told what happens; must be quick and must not raise."""

    def study_started(self, plan: "StudyPlan", resumed: bool) -> None:
        """Trials are about to start."""
        ...

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        """A trial starts, or goes on in a new attempt."""
        ...

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        """A trial reported an epoch and was told to go on or to stop."""
        ...

    def trial_ended(self, number: int, outcome: Outcome) -> None:
        """A trial has ended for good."""
        ...

    def study_ended(self, reason: str) -> None:
        """No trial is left, the budget is used up, or the user interrupted."""
        ...
