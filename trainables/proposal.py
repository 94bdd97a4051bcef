"""Proposals of engines for a data set: values to begin with, each with the facts behind it.

An engine's package may have a third module, `proposal.py`, with two functions; `segtune init` asks
them. Like `params.py` it imports no framework::

    def suits(facts: DataFacts) -> Suits: ...
    def propose(facts: DataFacts, gpus: int) -> Proposal: ...
"""

import importlib
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from trainables.datasets.facts import DataFacts
from trainables.registry import engine_info, engines, packages

MODULE: Final = "proposal"
"""The module of an engine's package."""

_HARDLY_FOUND_PX: Final = 6.0  # a few pixels of a feature map

_HOPELESS_UPSCALING: Final = 2.0  # beyond it a picture holds no more than before


@dataclass(frozen=True)
class Setting:
    """A value of a study file, and what it was derived from.

    Attributes:
        value: As the study file has it.
        why: For the comment above it, without a full stop.
    """

    value: Any
    why: str


@dataclass(frozen=True)
class Suits:
    """Rating of how well an engine fits a data set.

    Attributes:
        rank: The engine with the highest one is proposed; 0 for one that is only there on request.
        why: Facts that speak for it, without a full stop.
    """

    rank: int
    why: str


@dataclass(frozen=True)
class EngineProposal:
    """Hyperparameters and lengths that an engine would begin with on a data set.

    Attributes:
        epochs: Length of a trial that is never stopped.
        fixed: Hyperparameters that are not searched.
        space: The search space: `preset` first, then keys of it that are replaced.
        core_seconds: Estimate of an epoch's time on one CPU core, or None where nobody knows.
    """

    epochs: Setting
    fixed: Mapping[str, Setting] = field(default_factory=dict)
    space: Mapping[str, Setting] = field(default_factory=dict)
    core_seconds: float | None = None


class Proposer(Protocol):
    """An engine's module `proposal`."""

    def suits(self, facts: DataFacts) -> Suits:
        """Rate how well the engine fits a data set."""
        ...

    def propose(self, facts: DataFacts, gpus: int) -> EngineProposal:
        """Values to begin with on a data set, on a machine with that many GPUs."""
        ...


def suited(facts: DataFacts) -> dict[str, Suits]:
    """The engines that say they fit a data set, the best first."""
    found = {name: maker.suits(facts) for name in engines() if (maker := _proposer(name))}
    fitting = [item for item in found.items() if item[1].rank > 0]
    return dict(sorted(fitting, key=lambda item: -item[1].rank))


def proposal(engine: str, facts: DataFacts, gpus: int) -> EngineProposal:
    """The proposal of an engine; of one that makes none, its preset and a short training.

    Raises:
        EngineError: There is no such engine.
    """
    preset = engine_info(engine).preset
    maker = _proposer(engine)
    if maker is not None:
        return maker.propose(facts, gpus)
    why = "this engine says nothing of its trainings; raise it where curves still rise at the end"
    space = {"preset": Setting(preset, "every range is the engine's own preset's")}
    return EngineProposal(Setting(40, why), space=space)


def scale_for(facts: DataFacts, *, small_px: float, most_px: float) -> float:
    """Factor on pictures for training: as small as small objects allow, as large as is affordable.

    Half the pictures' size at least, for the outlines; twice at most.

    Args:
        facts: The data set's.
        small_px: Size that a small object should have in training.
        most_px: Largest longer side that is affordable.
    """
    wanted = max(small_px / facts.small_px, 0.5)
    return min(wanted, _HOPELESS_UPSCALING, most_px / facts.long_px)


def multiple(value: float, of: int, least: int) -> int:
    """The multiple of `of` nearest to a value, `least` at least.

    >>> multiple(389, 32, 64), multiple(10, 32, 64)
    (384, 64)
    """
    return max(least, of * round(value / of))


def sizes_in_training(facts: DataFacts, scale: float) -> str:
    """The sizes of small and large objects in training, in words.

    Args:
        facts: The data set's.
        scale: Factor on pictures for training.
    """
    small = facts.small_px * scale
    words = (
        f"small objects of {facts.small_px:.0f} px are {small:.0f} px then, the largest of "
        f"{facts.large_px:.0f} px is {facts.large_px * scale:.0f} px"
    )
    if small >= _HARDLY_FOUND_PX:
        return words
    return (
        f"{words}; below some {_HARDLY_FOUND_PX:g} px hardly any is found, so raise it where there "
        "is a GPU, or prepare the pictures cut into tiles"
    )


def steps_in_words(n_train: int, batch: int, steps: int) -> str:
    """Why a training has its length.

    >>> steps_in_words(42, 4, 800)
    '42 training pictures in batches of 4: steps an epoch 11; about 800 show what one can do'
    """
    an_epoch = max(1, math.ceil(n_train / batch))
    return (
        f"{n_train} training pictures in batches of {batch}: steps an epoch {an_epoch}; about "
        f"{steps} show what one can do"
    )


def room_for(most_objects: int, least: int = 300) -> int:
    """Most instances to find in a picture: a quarter more than any holds, in hundreds.

    >>> room_for(106), room_for(839)
    (300, 1100)
    """
    return max(least, 100 * math.ceil(1.25 * most_objects / 100))


def epochs_for(steps: float, steps_an_epoch: float, least: int, most: int) -> int:
    """Epochs with about that many steps, in tens.

    >>> epochs_for(800, 10.5, 30, 200), epochs_for(800, 3, 30, 200), epochs_for(800, 1000, 30, 200)
    (80, 200, 30)
    """
    return max(least, min(most, 10 * round(steps / max(steps_an_epoch, 1) / 10)))


def side_settings(facts: DataFacts, min_size: int) -> dict[str, Setting]:
    """The sides of training pictures, and room for their finds, of engines that scale to a side.

    Args:
        facts: The data set's.
        min_size: Shorter side in training, px.
    """
    return {
        "min_size": Setting(
            min_size,
            f"shorter side in training, px: the median picture has {facts.short_px:.0f} px, "
            f"{sizes_in_training(facts, min_size / facts.short_px)}",
        ),
        "max_size": Setting(
            multiple(2 * min_size, 32, 96), "longer side at most: twice the shorter one"
        ),
        "max_det": Setting(
            room_for(facts.most_objects),
            f"most finds in a picture; the fullest one holds {facts.most_objects} objects",
        ),
    }


def as_domains(proposed: EngineProposal, given: Mapping[str, Any]) -> dict[str, Any]:
    """A proposal as domains that replace those of the preset it names.

    Args:
        proposed: The proposal.
        given: What the study gives itself; `max_size` is left to it beside a `min_size` of its own.
    """
    fixed = {key: {"fixed": setting.value} for key, setting in proposed.fixed.items()}
    if "min_size" in given:  # the longer side is proposed beside another one
        del fixed["max_size"]
    space = {key: setting.value for key, setting in proposed.space.items() if key != "preset"}
    return {**fixed, **space}


def batches_for(n_train: int, most: int) -> list[int]:
    """Batches worth trying: a third of the training pictures at most, so that an epoch has steps.

    >>> batches_for(42, 16), batches_for(3, 16)
    ([2, 4, 8], [2])
    """
    limit = min(most, n_train // 3)
    return [size for size in (2, 4, 8, 16, 32, 64) if size <= limit] or [min(2, n_train)]


def _proposer(engine: str) -> Proposer | None:
    """The engine's module `proposal`, or None where it has none."""
    name = f"{packages()[engine]}.{MODULE}" if engine in packages() else ""
    try:
        there = bool(name) and importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package that an entry point names is gone
        return None
    return cast(Proposer, importlib.import_module(name)) if there else None
