"""The observer of a driver, such as the terminal, and the events it is told of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tune.directory.trials import TrialOutcome
from tune.stopping.decision import Decision

if TYPE_CHECKING:
    from tune.plan.plan import StudyPlan


class Observer(Protocol):
    """Someone who is told what happens; must be quick and must not raise."""

    def study_started(self, plan: "StudyPlan", resumed: bool) -> None:
        """Trials are about to start."""
        ...

    def trial_placed(self, number: int, part: str) -> None:
        """A trial is about to start with a part of the machine, where parts grow; in words."""
        ...

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        """A trial starts, or goes on in a new attempt."""
        ...

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        """A trial reported an epoch and was told to go on or to stop."""
        ...

    def trial_ended(self, number: int, outcome: TrialOutcome) -> None:
        """A trial has ended for good."""
        ...

    def study_ended(self, reason: str) -> None:
        """No trial is left, the budget is used up, or the user interrupted."""
        ...
