"""How a run of a study or of a measurement ended, in words for whoever started it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Conclusion:
    """The last words on a run.

    Attributes:
        lines: What is said of it.
        problems: What went wrong, or is left to do after an interruption.
        exit_code: 0; 130 after an interruption; 1 where all trials failed.
    """

    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()
    exit_code: int = 0
