"""Studies that are compared, each with its trials, its results and what it has spent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.errors import CompareError
from analysis.models.confirmed import SUFFIXES, Verdict, read_verdict, single_words
from analysis.report.summary import Summary, summarise
from tune.directory.diary import Diary, read_diary
from tune.directory.reader import StudyDir, TrialRecord
from tune.directory.running import StudyState, study_state
from tune.plan.cost import cost_so_far


@dataclass(frozen=True)
class Entry:
    """A study among those that are compared.

    Attributes:
        study: The study directory.
        name: Its name, with its folder where two have the same.
        summary: Its results.
        state: What it does just now.
        diary: Its notes and tags.
        verdict: What a race between its best said; None where there was none.
        race: What it says itself where it is a race; None where it is a search.
    """

    study: StudyDir
    name: str
    summary: Summary
    state: StudyState
    diary: Diary
    verdict: Verdict | None
    race: Verdict | None = None

    @property
    def lines(self) -> list[str]:
        """What stands below its row: what a race's best value is, its tags and its notes."""
        return [*([single_words(self.race)] if self.race is not None else []), *self.diary.lines]

    @property
    def engine(self) -> str:
        """Name of its engine."""
        return self.summary.engine

    @property
    def data_name(self) -> str:
        """Name of its data set."""
        return str(self.study.resolved.get("data_name") or self.study.resolved["data"])

    @property
    def best(self) -> TrialRecord | None:
        """Its leader, or None where no trial has a value."""
        return self.summary.best

    @property
    def hours(self) -> float:
        """Hours of training, over all trials."""
        return self.summary.seconds / 3600

    @property
    def f1(self) -> float | None:
        """F1 at the best epoch of its leader, by the objective's own matching; None without."""
        name = self.summary.f1_metric
        return self.best.best_metrics.get(name) if self.best is not None and name else None

    @property
    def hours_per_f1(self) -> float | None:
        """Hours of training for each unit of F1; None where there is no F1 above 0."""
        return self.hours / self.f1 if self.f1 else None

    @property
    def seeds(self) -> int:
        """Number of seeds that the best configuration was trained with, its race's included."""
        if self.best is None:
            return 0
        raced = self.verdict.contenders if self.verdict is not None else ()
        own = (len(one.values) for one in raced if one.number == self.best.number)
        return next(own, 0) or 1

    def cost(self, share: float = 1.0) -> str:
        """Its price so far, or that divided by a number; "" where its file states none.

        Args:
            share: Divides the price, as an F1 does for the price of each unit of it.
        """
        cost = cost_so_far(self.study)
        return replace(cost, hours=cost.hours / share).words if cost is not None and share else ""


def read_entries(studies: Sequence[StudyDir]) -> list[Entry]:
    """The studies with their trials, each read once, in the order they were named.

    Raises:
        CompareError: A study is named twice.
        StoreError: A study cannot be read.
    """
    paths = [study.path for study in studies]
    if twice := sorted(path for path in paths if paths.count(path) > 1):
        raise CompareError(f"{twice[0]}: expected each study once, got it {len(twice)} times")
    names = [str(study.resolved["study"]) for study in studies]
    return [
        _entry(study, name if names.count(name) == 1 else _with_folder(study))
        for study, name in zip(studies, names, strict=True)
    ]


def _with_folder(study: StudyDir) -> str:
    return f"{study.path.parent.name}/{study.path.name}"


def _entry(study: StudyDir, name: str) -> Entry:
    races = [study.path.with_name(f"{study.path.name}{suffix}") for suffix in SUFFIXES]
    summary = summarise(study)
    return Entry(
        study=study,
        name=name,
        summary=summary,
        state=study_state(study, summary.trials),
        diary=read_diary(study.path),
        verdict=next(filter(None, map(read_verdict, races)), None),
        race=read_verdict(study.path),
    )
