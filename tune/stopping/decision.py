"""What is decided of a trial at a report, and by which rule."""

from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """What ended a trial."""

    EPOCHS = "epochs"
    ASHA = "asha"
    PLATEAU = "plateau"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"
    BUDGET = "budget"
    ERROR = "error"
    PATIENCE = "patience"


@dataclass(frozen=True)
class Decision:
    """What happens to a trial after one report.

    Attributes:
        go_on: Whether the trial trains another epoch.
        rule: What ended it, or (where it goes on) `asha` at a rung it passed, or None.
        rung: The rung's epoch where ASHA compared, else None.
        cutoff: What `value` was compared with, as the metric is reported; None where nothing was
            there to compare with.
        value: The value that was compared, as the metric is reported.
    """

    go_on: bool
    rule: Rule | None = None
    rung: int | None = None
    cutoff: float | None = None
    value: float | None = None


GO_ON = Decision(go_on=True)
