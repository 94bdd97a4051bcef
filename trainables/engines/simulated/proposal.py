"""Proposal of the simulated engine for a data set (see `trainables.proposal`)."""

from trainables.datasets.facts import DataFacts
from trainables.proposal import EngineProposal, Setting, Suits


def suits(facts: DataFacts) -> Suits:
    """Never proposed: it learns nothing."""
    del facts
    return Suits(0, "it learns nothing, and rehearses a study in seconds")


def propose(facts: DataFacts, gpus: int) -> EngineProposal:
    """A study that shows every part of a study in seconds."""
    del facts, gpus
    return EngineProposal(
        Setting(40, "nothing is learnt: curves are drawn by a formula"),
        space={"preset": Setting("simulated", "every range is this preset's")},
        core_seconds=0.01,
    )
