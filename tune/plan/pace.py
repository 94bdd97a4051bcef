"""Speed of trials: measured by a probe, or seen in past studies on the same data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Time a trial takes while as many run as will.

    Attributes:
        epoch_s: Duration of an epoch.
        start_s: Duration of a trial's start: its process, framework, data and model.
        measured: Words for the trials or epochs it was measured over.
        memory: Largest part of a GPU's memory that a probed trial reserved; 0 where that was not
            measured.
    """

    epoch_s: float
    start_s: float = 0.0
    measured: str = ""
    memory: float = 0.0
