"""Trials of a group's studies of one engine, pooled: their hyperparameters are the same ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from analysis.compare.entries import Entry
from analysis.report.importance import Importance, common_epochs, importance_at
from analysis.report.summary import Summary
from tune.directory.reader import TrialRecord

COLOURS: Final = (
    *("#2f80d0", "#b8761c", "#199271", "#9a68c9", "#d1493d"),
    *("#0f8b9d", "#b3558f", "#7f8791", "#6b8e23", "#8b6b4a"),
)
"""Colours of the studies in turn, each readable on a light and on a dark ground."""

SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "x", "cross", "pentagon", "star")


@dataclass(frozen=True)
class Member:
    """A study in the page.

    Attributes:
        place: Its place among all that are compared, which its colour follows from.
        first: Number of the page's trials before its own.
        entry: The study.
    """

    place: int
    first: int
    entry: Entry

    @property
    def colour(self) -> str:
        """Its colour in every chart."""
        return COLOURS[self.place % len(COLOURS)]

    @property
    def symbol(self) -> str:
        """Its mark in every chart."""
        return SYMBOLS[self.place % len(SYMBOLS)]

    def rows(self) -> Iterator[tuple[int, TrialRecord]]:
        """Its trials, best first, each with its number among all trials of the page."""
        yield from enumerate(self.entry.summary.trials, start=self.first)


def members(entries: Sequence[Entry]) -> list[Member]:
    """The studies with their places, and their trials numbered through."""
    found: list[Member] = []
    first = 0
    for place, entry in enumerate(entries):
        found.append(Member(place, first, entry))
        first += len(entry.summary.trials)
    return found


@dataclass(frozen=True)
class Panel:
    """Studies of one engine and one setting, and their trials as if they were one study's.

    Attributes:
        name: What tells it apart from other panels of the page, for ids.
        members: The studies.
        pooled: Results of all their trials together, at the epochs that the studies share.
        epoch: Epoch at which the trials are compared; 0 where they share none.
        importances: Importance at that epoch in each study, in the order of the members.
    """

    name: str
    members: tuple[Member, ...]
    pooled: Summary
    epoch: int
    importances: tuple[Importance, ...]

    @property
    def without_shares(self) -> list[tuple[Member, Importance]]:
        """Studies of whose hyperparameters no share can be told, with the reason."""
        each = zip(self.members, self.importances, strict=True)
        return [(member, found) for member, found in each if not found.shares]

    def rows(self) -> Iterator[tuple[Member, int, TrialRecord]]:
        """Every trial with its study and its number among all trials of the page."""
        for member in self.members:
            for number, trial in member.rows():
                yield member, number, trial


def panel_of(name: str, of: Sequence[Member]) -> Panel:
    """A panel of studies that have engine and setting in common."""
    summaries = [member.entry.summary for member in of]
    first = summaries[0]
    trials = tuple(trial for summary in summaries for trial in summary.trials)
    log_keys = frozenset[str]().union(*(summary.log_keys for summary in summaries))
    epochs = _shared_epochs(summaries)
    pooled = replace(
        first,
        trials=trials,
        rungs=tuple(epochs),
        log_keys=log_keys,
        domains={key: words for s in reversed(summaries) for key, words in s.domains.items()},
    )
    epoch = pooled.slice_epoch or (epochs[0] if epochs else 0)
    each = [importance_at(s.trials, first.metric, first.mode, epoch, s.log_keys) for s in summaries]
    together = (
        each[0]
        if len(each) == 1
        else importance_at(trials, first.metric, first.mode, epoch, log_keys)
    )
    return Panel(
        name=name,
        members=tuple(of),
        pooled=replace(pooled, importances=(together,)),
        epoch=epoch,
        importances=tuple(each),
    )


def _shared_epochs(summaries: Sequence[Summary]) -> list[int]:
    """Epochs at which trials of all the studies can be compared: rungs in common, else one."""
    each = [common_epochs(summary.trials, summary.rungs) for summary in summaries]
    if shared := sorted(set(each[0]).intersection(*each[1:])):
        return shared
    firsts = [epochs[0] for epochs in each if epochs]
    return [min(firsts)] if firsts else []
