"""Proposal of Mask R-CNN for a data set (see `trainables.proposal`)."""

import math
from collections.abc import Mapping
from typing import Any, Final

from trainables.contract import Circumstances
from trainables.datasets.facts import DataFacts
from trainables.datasets.prepared import PreparedDataset
from trainables.engines.mask_rcnn.network.zoo import (
    COCO,
    COMBO,
    UNTRAINED,
    fetched,
    reachable,
)
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

FINE_TUNING, SCRATCH = "mask_rcnn", "mask_rcnn_scratch"
"""Presets for training from trained weights, and without them."""

_CORE_SECONDS_A_MPX: Final = 7.0
"""Training and validation with R18-FPN, on one core (docs/performance.md)."""

_TYPICAL_BATCH: Final = 2

_NARROW: Final = {
    "fpn_channels": 128,
    "box_head_dim": 256,
    "mask_head_dim": 64,
    "mask_head_convs": 2,
}


def suits(facts: DataFacts) -> Suits:
    """Outlines are what it learns, more slowly than others."""
    if facts.boxes:
        return Suits(0, "it learns masks, and the objects are boxes")
    if facts.coordinates:
        return Suits(0, "it learns outlines, and particles given by their centres have none")
    return Suits(2, "the objects have outlines; slower, and at its best with few large objects")


def propose(facts: DataFacts, gpus: int) -> EngineProposal:
    """Values to begin with, for training without weights."""
    small, most_px = (16, 1280) if gpus else (8, 512)
    scale = scale_for(facts, small_px=small, most_px=most_px)
    min_size = multiple(facts.short_px * scale, 32, 96)
    scale = min_size / facts.short_px
    steps, most = (3000, 100) if gpus else (420, 60)
    epochs = Setting(
        epochs_for(steps, facts.n_train / _TYPICAL_BATCH, 10, most),
        steps_in_words(facts.n_train, _TYPICAL_BATCH, steps),
    )
    mpx = facts.train_mpx * scale**2
    return EngineProposal(
        epochs,
        fixed=_fixed(facts, gpus, min_size),
        space=_space(facts, scale),
        core_seconds=_CORE_SECONDS_A_MPX * mpx,
    )


def default_space(
    given: Mapping[str, Any], there: Circumstances | None
) -> tuple[str, Mapping[str, Any]]:
    """The preset for what a training begins from, fitted to data and machine.

    Without trained weights it is the one for training from scratch, with a network and pictures
    that few data and a CPU allow. With them its warm-up, counted in steps, becomes a fraction of
    the training where it would take most of it.
    """
    untrained = given.get("weights", UNTRAINED) == UNTRAINED
    if there is None:
        return (SCRATCH if untrained else FINE_TUNING), {}
    if not untrained:
        return FINE_TUNING, _shorter_warmup(there)
    return SCRATCH, as_domains(propose(there.data, there.gpus), given)


def _shorter_warmup(there: Circumstances) -> dict[str, Any]:
    longest, largest_batch = 2000, 8  # of the preset
    n_steps = there.epochs * math.ceil(there.data.n_train / largest_batch)
    if n_steps > 2 * longest:
        return {}
    return {"warmup_iters": None, "warmup_fraction": {"uniform": [0.02, 0.1]}}


def remarks(possible: Mapping[str, Any], data: PreparedDataset) -> list[str]:
    """Sentences on weights that cannot be had."""
    del data
    weights, backbone = possible.get("weights"), possible.get("backbone", "r50")
    if weights != COCO or not possible.get("download") or not isinstance(backbone, str):
        return []
    if all(fetched(name) for name in (COMBO if backbone == "combo" else (backbone,))):
        return []
    answers = reachable()
    if answers:
        return []
    where = "" if answers is None else ", which does not answer,"
    return [
        f"weights {COCO} were not fetched before; without the model zoo{where} {backbone} is "
        f"trained from scratch, with values for trained weights: weights: {UNTRAINED} takes "
        "the preset for training from scratch, with a network that fits data and machine"
    ]


def _fixed(facts: DataFacts, gpus: int, min_size: int) -> dict[str, Setting]:
    fixed = {
        "backbone": Setting(
            "r50" if gpus else "r18",
            "trained from random weights; "
            + ("a GPU affords it" if gpus else "the smallest, for CPU cores"),
        ),
        **side_settings(facts, min_size),
    }
    if not gpus:
        why = "layers narrower than Detectron2's, for CPU cores and few pictures"
        fixed |= {key: Setting(value, "likewise") for key, value in _NARROW.items()}
        fixed["fpn_channels"] = Setting(_NARROW["fpn_channels"], why)
    return fixed


def _space(facts: DataFacts, scale: float) -> dict[str, Setting]:
    small = facts.small_px * scale
    anchor = next((px for px in (32.0, 16.0, 8.0) if px <= small), 4.0)
    batches = [size for size in (1, 2, 4) if size <= max(1, facts.n_train // 3)]
    return {
        "preset": Setting(SCRATCH, "for training without weights; other ranges are this preset's"),
        "anchor_px": Setting(
            {"fixed": anchor}, f"smallest anchor: small objects are {small:.0f} px in training"
        ),
        "ims_per_batch": Setting(
            {"choice": batches}, f"more would be too few steps of {facts.n_train} pictures"
        ),
    }
