"""Asynchronous successive halving over epochs (Li et al. 2020, arXiv:1810.05934)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt

from tune.spec import Spec
from tune.stopping.decision import GO_ON, Decision, Rule

LEAST_GRACE: Final = 3
"""Epochs that trials get by default before they are compared, however short they are."""


class Asha(Spec):
    """Asynchronous successive halving over epochs, stopping variant.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning",
    arXiv:1810.05934.

    Attributes:
        grace_period: Epochs every trial gets before its first comparison (r).
        reduction_factor: One trial in this many passes each rung (eta).
    """

    kind: Literal["asha"] = "asha"
    grace_period: PositiveInt | None = Field(
        None,
        description="epochs before the first rung; default: a tenth of the epochs, 3 at least, and "
        "beyond every warm-up and supervised phase",
    )
    reduction_factor: Annotated[int, Field(ge=2)] = Field(
        2, description="one trial in this many passes a rung"
    )

    def rungs(self, epochs: int, beginning: float = 0) -> tuple[int, ...]:
        """Epochs at which trials are compared, as for `max_t = epochs + 1`.

        Args:
            epochs: Length of a training that is never stopped.
            beginning: Epochs of warm-up, or of a phase before the one that counts; where no grace
                period is given, the first rung lies after them.

        >>> Asha(grace_period=25, reduction_factor=2).rungs(250)
        (25, 50, 100, 200)
        >>> Asha().rungs(40), Asha().rungs(40, beginning=20)
        ((4, 8, 16, 32), (21,))
        """
        rung = self.grace_period or max(LEAST_GRACE, round(epochs / 10), math.floor(beginning) + 1)
        rungs = []
        while rung < epochs + 1:
            rungs.append(rung)
            rung *= self.reduction_factor
        return tuple(rungs)


class NoScheduler(Spec):
    """Every trial trains to its end."""

    kind: Literal["none"] = "none"

    def rungs(self, epochs: int, beginning: float = 0) -> tuple[int, ...]:
        """No comparison is ever made."""
        del epochs, beginning
        return ()


Scheduler = Annotated[Asha | NoScheduler, Field(discriminator="kind")]


@dataclass
class Rungs:
    """ASHA's memory: what was recorded at each rung, in arrival order.

    Attributes:
        epochs: The rungs' epochs, rising.
        reduction_factor: eta.
        recorded: Oriented value by trial, by rung.
    """

    epochs: tuple[int, ...]
    reduction_factor: int = 2
    recorded: dict[int, dict[int, float]] = field(default_factory=dict)

    def cutoff(self, rung: int) -> float | None:
        """The (1 - 1/eta) quantile of what stands at `rung`; None before the first arrival."""
        return cutoff_of(sorted(self.recorded.get(rung, {}).values()), self.reduction_factor)

    def compare(self, epoch: int, value: float) -> Decision:
        """Decide on a trial that reports at `epoch`; nothing is recorded yet."""
        if epoch not in self.epochs:
            return GO_ON
        cutoff = self.cutoff(epoch)
        go_on = cutoff is None or value >= cutoff
        return Decision(go_on, Rule.ASHA, epoch, cutoff, value)

    def record(self, trial: int, epoch: int, value: float) -> None:
        """Remember what a trial reported at a rung; its first report there counts."""
        if epoch in self.epochs:
            self.recorded.setdefault(epoch, {}).setdefault(trial, value)


def cutoff_of(rising: Sequence[float], reduction_factor: int) -> float | None:
    """The (1 - 1/eta) quantile, between two values by a straight line; None of no values.

    It is `np.quantile`'s to the last bit, and much quicker for a few values: a forecast takes
    thousands.

    >>> cutoff_of([0.1, 0.2, 0.4], 2)
    0.2
    """
    if not rising:
        return None
    place = (len(rising) - 1) * (1 - 1 / reduction_factor)
    below = math.floor(place)
    low, high = rising[below], rising[min(below + 1, len(rising) - 1)]
    part, gap = place - below, high - low
    return low + gap * part if part < 0.5 else high - gap * (1 - part)
