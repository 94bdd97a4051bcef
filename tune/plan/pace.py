"""How fast trials are: measured by a probe, or seen in past studies on the same data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """What a trial takes while as many run as will.

    Attributes:
        epoch_s: An epoch.
        start_s: A trial's start: its process, framework, data and model.
        measured: Over what, in words.
    """

    epoch_s: float
    start_s: float = 0.0
    measured: str = ""
