"""A decision on a trial at one of its reports, and the rules that decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Rule(StrEnum):
    """A rule that ends trials, by its name in the journal, in files and in W&B."""

    EPOCHS = "epochs"
    ASHA = "asha"
    PLATEAU = "plateau"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"
    BUDGET = "budget"
    ERROR = "error"
    PATIENCE = "patience"
    MOVED = "moved"


ENDINGS: Final[Mapping[str, str]] = {
    Rule.EPOCHS: "trained to its end",
    Rule.ASHA: "stopped by ASHA",
    Rule.PLATEAU: "converged",
    Rule.COLLAPSED: "collapsed",
    Rule.DIVERGED: "diverged",
    Rule.BUDGET: "out of time",
    Rule.ERROR: "failed",
    Rule.PATIENCE: "ended by its engine's patience",
    Rule.MOVED: "moves",
}
"""The end of a trial in words, by the rule that ended it."""


@dataclass(frozen=True)
class Decision:
    """The decision on a trial after one report.

    Attributes:
        go_on: Whether the trial trains another epoch.
        rule: Rule that ended it, or (where it goes on) `asha` at a rung it passed, or None.
        rung: Epoch of the rung where ASHA compared, else None.
        cutoff: Limit that `value` was held against, as the metric is reported; None where there
            was nothing to compare with.
        value: The value that was compared, as the metric is reported.
    """

    go_on: bool
    rule: Rule | None = None
    rung: int | None = None
    cutoff: float | None = None
    value: float | None = None


GO_ON = Decision(go_on=True)
