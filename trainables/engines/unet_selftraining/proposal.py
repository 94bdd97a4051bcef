"""Proposal of the self-training U-Net for a data set (see `trainables.proposal`)."""

import math
from typing import Final

from trainables.datasets.facts import DataFacts
from trainables.proposal import EngineProposal, Setting, Suits, multiple

_CORE_SECONDS_A_MPX: Final = 4.5
"""Training of tiles, validation included, on one core (docs/performance.md)."""

_CORE_TILES: Final = 96
"""Tiles an epoch that one core trains in less than a minute."""

_DEEP_FROM_PX: Final = 24.0
"""Radius from which on three halvings see too little around a particle."""


def suits(facts: DataFacts) -> Suits:
    """Centres are what it learns; of outlines it gives places alone."""
    if facts.coordinates:
        return Suits(3, "the particles are given by their centres, and this engine picks particles")
    if facts.boxes:
        return Suits(1, "the objects are boxes, of which it learns the centres, all classes as one")
    return Suits(1, "it learns where objects are, and gives places instead of outlines")


def propose(facts: DataFacts, gpus: int) -> EngineProposal:
    """Values to begin with: tiles by the particles' radius, their number by the pictures."""
    tile = _tile(facts)
    cover = max(1, math.ceil(facts.train_mpx * 1e6 / tile**2))
    tiles = cover if gpus else min(cover, _CORE_TILES)
    epochs, steps = (60, "") if gpus else (20, " on CPU cores")
    smallest, largest = min(sizes := _batches(tiles)), max(sizes)
    steps_there = f"{max(1, tiles // largest)}"
    if smallest < largest:
        steps_there += f" to {max(1, tiles // smallest)}"
    return EngineProposal(
        Setting(
            epochs,
            f"{tiles} tiles an epoch are {steps_there} steps{steps}; half of the epochs are "
            "supervised, rounds share the rest",
        ),
        fixed=_fixed(facts, tile, tiles, cover),
        space=_space(facts, tiles, gpus),
        core_seconds=_CORE_SECONDS_A_MPX * tiles * tile**2 / 1e6,
    )


def _batches(tiles: int) -> list[int]:
    """Sizes of batches to search: eight steps an epoch at least, where there are tiles for it."""
    return [size for size in (4, 8, 16) if size <= max(4, tiles // 8)]


def _tile(facts: DataFacts) -> int:
    most = min(256, 32 * math.floor(facts.short_px / 32))
    return max(32, min(multiple(5 * facts.median_px, 32, 64), most))


def _fixed(facts: DataFacts, tile: int, tiles: int, cover: int) -> dict[str, Setting]:
    radius = facts.median_px / 2
    fixed = {
        "depth": Setting(
            4 if radius >= _DEEP_FROM_PX and tile >= 128 else 3,
            f"halvings of the resolution: the median particle has a radius of {radius:.1f} px",
        ),
        "tile_px": Setting(
            tile,
            f"side of the training tiles: about ten radii, in pictures of {facts.pictures} px",
        ),
        "tiles": Setting(
            tiles,
            f"tiles an epoch, cut anew each time; {cover} would cover the {facts.n_train} "
            "training pictures once",
        ),
    }
    if not (facts.coordinates or facts.boxes):
        fixed["target"] = Setting("mask", "the objects have outlines, so these are learnt")
    return fixed


def _space(facts: DataFacts, tiles: int, gpus: int) -> dict[str, Setting]:
    rounds = [0, 1, 2, 3] if gpus else [0, 1, 2]
    unlabelled = (
        f"{facts.n_unlabelled} unlabelled micrographs feed the rounds"
        if facts.n_unlabelled
        else "without unlabelled micrographs rounds gain little: 0 is among them"
    )
    space = {
        "preset": Setting("unet_selftraining", "every range that is not below is this preset's"),
        "learning_rate": Setting(
            {"loguniform": [1e-3, 6e-3]}, "narrower than the preset's: the training is short"
        ),
        "batch_size": Setting(
            {"choice": _batches(tiles)},
            f"an epoch is {tiles} tiles; eight steps at least",
        ),
        "rounds": Setting({"choice": rounds}, f"of self-training; {unlabelled}"),
    }
    if not gpus:
        space["width"] = Setting(
            {"choice": [8, 12, 16]}, "channels at full resolution, for CPU cores"
        )
        space["threshold_decay"] = Setting(
            {"uniform": [0.0, 0.05], "when": {"rounds": [2]}},
            "only from the second round on there is something to relax",
        )
    return space
