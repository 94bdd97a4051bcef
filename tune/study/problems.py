"""Problems of a study, each with the key the user wrote, and one message for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tune.errors import StudyError


@dataclass(frozen=True)
class Problem:
    """A mistake in a study.

    Attributes:
        key: The key as the user would write it for `--set`: "budget.trials"; "" for the whole.
        message: The expected, the value that was got, and the nearest valid one if there is any.
    """

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


def study_error(
    name: str, problems: Sequence[Problem], places: Mapping[str, str] | None = None
) -> StudyError:
    """One error for all problems, a line each.

    Args:
        name: The study file as the user named it, or the study.
        problems: At least one.
        places: Place of each key in the file: "line 4" or "--set".
    """
    found = [(_place(problem.key, places or {}), problem) for problem in problems]
    found.sort(key=lambda item: _order(item[0]))
    lines = [f"  {place}: {problem}" if place else f"  {problem}" for place, problem in found]
    noun = "problem" if len(problems) == 1 else "problems"
    return StudyError("\n".join([f"{name}: {len(problems)} {noun}", *dict.fromkeys(lines)]))


def _place(key: str, places: Mapping[str, str]) -> str:
    """The place of `key`, or else of the key it is a part of."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        place = places.get(".".join(parts[:length]))
        if place is not None:
            return place
    return ""


def _order(place: str) -> tuple[bool, int]:
    number = place.removeprefix("line ")
    return (True, int(number)) if number.isdigit() else (False, 0)
