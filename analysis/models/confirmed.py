"""`confirm.json`: what a race between a study's best said, in the directory of the race's study."""

import json
import math
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from trainables.files.whole import write_json
from trainables.files.words import counted
from tune.best.configuration import BEST_FOLDER, BEST_YAML, Confirmed
from tune.directory.layout import CHECK, STUDY, outcome_check, read_json
from tune.errors import StoreError
from tune.spec import Spec

CONFIRM_JSON: Final = "confirm.json"

SUFFIXES: Final = ("-confirm", "-confirm-resplit")
"""What the name of a race's study adds to that of the study it confirms."""


class Contender(Spec):
    """A configuration in a race, and what became of it.

    Attributes:
        name: "trial 12", or "the default".
        number: Number of its trial in the search; None for the default.
        searched: Objective that the search found; None for the default.
        is_default: Whether it is the engine's defaults with what the study fixed.
        params: Every hyperparameter that is set.
        refused: Reason why it could not be trained at all; "" where it was.
        trials: Numbers of its trainings in the race's study.
        values: Objective of each training that has ended; None for one that failed.
        failures: A sentence for each training that failed.
        mean: Mean objective, failed trainings counted as such; None before any has ended.
        half_width: Half the width of the interval of the mean, at 95 %; None where not known.
        seconds: Duration of a training, by its median epoch, s; None where none was measured.
        dropped_p: Probability by which it dropped out; None where it did not.
    """

    name: str
    number: int | None = None
    searched: float | None = None
    is_default: bool = False
    params: dict[str, Any]
    refused: str = ""
    trials: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()
    failures: tuple[str, ...] = ()
    mean: float | None = None
    half_width: float | None = None
    seconds: float | None = None
    dropped_p: float | None = None

    @property
    def next_half_width(self) -> float | None:
        """Half the width of the interval of a single further training, at 95 %.

        It is a prediction interval (Hahn and Meeker 1991, section 4.7): wider than that of the mean
        of n trainings by the root of n + 1, as the further one differs from the mean, too.

        >>> Contender(name="trial 1", params={}, values=(0.1, 0.2), half_width=0.1).next_half_width
        0.17320508075688773
        """
        return (
            None if self.half_width is None else self.half_width * math.sqrt(len(self.values) + 1)
        )


class TestFigures(Spec):
    """What the test part said, once, of the recommended configuration and of the default.

    Attributes:
        recommended: Metrics of the recommended one's model; None where they could not be taken.
        default: The default's; None where it is the same one, or could not be taken.
        note: On what they were taken, or why they were not.
    """

    recommended: dict[str, float] | None = None
    default: dict[str, float] | None = None
    note: str = ""


class Verdict(Spec):
    """A race: what it was to decide, and what it said so far.

    Attributes:
        study: Name of the study whose best are confirmed.
        metric: Objective.
        mode: Its better direction.
        fingerprint: Fingerprint of the data set that the race trains on.
        resplit: Whether its validation part was drawn anew.
        budget: Number of trainings that it may take.
        level: Level of each comparison with the leader.
        contenders: The configurations, those that are trained first.
        spread: Standard deviation of single trainings, pooled; None where it is not known.
        degrees: Degrees of freedom of the spread.
        alive: Indices of those that cannot be told apart, the leader first.
        over: Whether the race is over.
        recommended: Index of the cheapest of them, of several as cheap the best; None while it
            runs, or where nothing trained.
        trial: Number of the recommended one's training whose model is exported: its median one.
        gain: Mean of the recommended one less that of the default; None where there is none.
        gain_half_width: Half the width of the interval of the gain, at 95 %.
        test: Figures of the test part; None until they were taken, after the choice.
    """

    format: Literal[1] = 1
    study: str
    metric: str
    mode: Literal["max", "min"]
    fingerprint: str
    resplit: bool = False
    budget: int = Field(gt=0)
    level: float
    contenders: tuple[Contender, ...]
    spread: float | None = None
    degrees: int = 0
    alive: tuple[int, ...] = ()
    over: bool = False
    recommended: int | None = None
    trial: int | None = None
    gain: float | None = None
    gain_half_width: float | None = None
    test: TestFigures | None = None

    @property
    def winner(self) -> Contender | None:
        """The recommended configuration."""
        return None if self.recommended is None else self.contenders[self.recommended]

    @property
    def default(self) -> Contender | None:
        """The default, trained or not."""
        return next((c for c in self.contenders if c.is_default), None)

    @property
    def confirmed(self) -> Confirmed | None:
        """What a best configuration remembers of it; None while nothing is recommended."""
        winner = self.winner
        if winner is None or winner.mean is None:
            return None
        spread = 0.0 if self.spread is None else self.spread
        n = len(self.alive)
        return Confirmed(mean=winner.mean, spread=spread, seeds=len(winner.values), alike=n)


def single_words(verdict: Verdict) -> str:
    """What the best value of a race's study is, beside what the race itself says, in words."""
    winner = verdict.winner
    single = "best is that of a single training of the race"
    if winner is None or winner.mean is None:
        return f"{single}, which has recommended nothing{'' if verdict.over else ' so far'}"
    seeds = counted(len(winner.values), "seed")
    return f"{single}; {winner.name}, which it recommends, has {winner.mean:.4f} over {seeds}"


def write_verdict(race: Path, verdict: Verdict) -> Path:
    """Write the file into the directory of a race's study; returns its path."""
    content = verdict.model_dump(mode="json")
    write_json(race / CONFIRM_JSON, {**content, CHECK: outcome_check(content)})
    return race / CONFIRM_JSON


def read_verdict(race: Path) -> Verdict | None:
    """The verdict in the directory of a race's study; None where there is none.

    Raises:
        StoreError: The file is not as it was written.
    """
    content = read_json(race / CONFIRM_JSON)
    if not content:
        return None
    if content.get(CHECK) != outcome_check(content):
        raise StoreError(
            f"{race / CONFIRM_JSON}: it is not as it was written: it has another checksum; put a "
            "copy from before in its place, or remove it and run `segtune confirm` again"
        )
    plain = {key: value for key, value in content.items() if key != CHECK}
    try:
        return Verdict.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        problem = f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
        raise StoreError(f"{race / CONFIRM_JSON}: the file cannot be read: {problem}") from error


def confirmed_first(source: Path) -> Path:
    """The confirmed winner of a study where there is one, else `source` itself.

    Args:
        source: A study directory; anything else is returned as it is.
    """
    if not (source / STUDY).is_file():
        return source
    place = source.absolute()
    races = [place.with_name(f"{place.name}{suffix}") for suffix in SUFFIXES]
    done = [race for race in races if (v := read_verdict(race)) is not None and v.confirmed]
    found = [race for race in done if (race / BEST_FOLDER / BEST_YAML).is_file()]
    return found[0] if found else source
