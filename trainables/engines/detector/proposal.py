"""Proposal of the detectors for a data set (see `trainables.proposal`)."""

from collections.abc import Mapping
from typing import Any, Final

from trainables.contract import Circumstances
from trainables.datasets.facts import DataFacts
from trainables.engines.detector.network.names import UNTRAINED
from trainables.proposal import (
    EngineProposal,
    Setting,
    Suits,
    as_domains,
    epochs_for,
    multiple,
    scale_for,
    side_settings,
    steps_in_words,
)

FINE_TUNING, SCRATCH = "detector", "detector_scratch"
"""Presets for training from trained weights, and without them."""

_TYPICAL_BATCH: Final = 4


def suits(facts: DataFacts) -> Suits:
    """Boxes are what it learns; where there are masks, others learn more."""
    if facts.boxes:
        return Suits(4, "the objects are boxes, which is what this engine learns")
    return Suits(0, "it learns boxes alone, and more is known of the objects")


def propose(facts: DataFacts, gpus: int) -> EngineProposal:
    """Values to begin with, for training without weights."""
    small, most_px = (24, 1280) if gpus else (12, 416)
    scale = scale_for(facts, small_px=small, most_px=most_px)
    min_size = multiple(facts.short_px * scale, 32, 96)
    steps, most = (3000, 150) if gpus else (600, 60)
    return EngineProposal(
        Setting(
            epochs_for(steps, facts.n_train / _TYPICAL_BATCH, 15, most),
            steps_in_words(facts.n_train, _TYPICAL_BATCH, steps),
        ),
        fixed=_fixed(facts, gpus, min_size),
        space=_space(facts),
    )


def default_space(
    given: Mapping[str, Any], there: Circumstances | None
) -> tuple[str, Mapping[str, Any]]:
    """The preset for what a study begins from; without weights, with a network that fits."""
    untrained = given.get("weights", UNTRAINED) == UNTRAINED
    if not untrained:
        return FINE_TUNING, {}
    if there is None:
        return SCRATCH, {}
    return SCRATCH, as_domains(propose(there.data, there.gpus), given)


def _fixed(facts: DataFacts, gpus: int, min_size: int) -> dict[str, Setting]:
    model = "efficientnet_b0_fpn" if gpus else "small_fpn"
    return {
        "model": Setting(
            model,
            "trained from random weights; "
            + ("a GPU affords it" if gpus else "the smallest, for CPU cores"),
        ),
        **side_settings(facts, min_size),
    }


def _space(facts: DataFacts) -> dict[str, Setting]:
    batches = [size for size in (2, 4, 8) if size <= max(2, facts.n_train // 3)]
    space = {
        "preset": Setting(SCRATCH, "for training without weights; other ranges are this preset's"),
        "batch_size": Setting(
            {"choice": batches}, f"more would be too few steps of {facts.n_train} pictures"
        ),
    }
    if facts.grey:
        space["saturation"] = Setting(None, "the pictures are grey: it would change nothing")
    return space
