"""Pictures that end the process that works on them: found, and left out with a reason.

Ray begins a batch again whose process died, as often as it dies. So each batch is noted when it is
begun; where it had been begun before, its pictures are worked on one by one, each noted, and one on
which the process died too often is left out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

_MOST: Final = 2
"""Deaths of a process at work on one picture alone; it died once before, in the batch."""


class Begun:
    """How often pictures were begun, for all processes of a job; itself an actor of Ray."""

    def __init__(self) -> None:
        self._often: Counter[tuple[str, int]] = Counter()

    def again(self, what: str, numbers: Sequence[int]) -> int:
        """Note that pictures are begun; returns how often one of them had been, at most.

        Args:
            what: What is done with them.
            numbers: Their numbers.
        """
        before = max((self._often[what, number] for number in numbers), default=0)
        self._often.update((what, number) for number in numbers)
        return before


class Deaths:
    """The deaths of processes that do one thing with pictures.

    Args:
        begun: Handle of the job's `Begun`.
        what: What they do, in a word.
    """

    def __init__(self, begun: Any, what: str) -> None:
        self._begun, self._what = begun, what

    def had_one(self, numbers: Sequence[int]) -> bool:
        """Whether a batch, which is begun now, had been begun before."""
        return self._again(self._what, numbers) > 0

    def why_not(self, number: int) -> str:
        """Why a picture is not begun alone once more; "" where it is."""
        died = self._again(f"{self._what} alone", [number])
        if died < _MOST:
            return ""
        return (
            f"the process that was {self._what} it died {died + 1} times: a damaged file, or more "
            "memory than there is"
        )

    def _again(self, what: str, numbers: Sequence[int]) -> int:
        import ray  # put off: slow to import

        return int(ray.get(self._begun.again.remote(what, [int(number) for number in numbers])))
