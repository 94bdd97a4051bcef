"""Proposal of YOLO -seg for a data set (see `trainables.proposal`)."""

from typing import Any, Final

from trainables.datasets.facts import DataFacts
from trainables.proposal import (
    EngineProposal,
    Setting,
    Suits,
    batches_for,
    epochs_for,
    multiple,
    room_for,
    scale_for,
    sizes_in_training,
    steps_in_words,
)

_CORE_SECONDS_A_MPX: Final = 4.0
"""Training, validation and metrics of the training part, on one core (docs/performance.md)."""

_TYPICAL_BATCH: Final = 4


def suits(facts: DataFacts) -> Suits:
    """Outlines are what it learns; particles given by their centres it can only take for discs."""
    if facts.boxes:
        return Suits(0, "it learns masks, and the objects are boxes")
    if facts.coordinates:
        return Suits(1, "it takes each particle for a disc and finds them one by one")
    return Suits(3, "the objects have outlines, and this engine is the fastest that learns them")


def propose(facts: DataFacts, gpus: int) -> EngineProposal:
    """Values to begin with: sizes by the objects, lengths by the number of pictures."""
    imgsz = _imgsz(facts, gpus)
    scale = imgsz / facts.long_px
    steps, most = (3000, 300) if gpus else (800, 200)
    n = epochs_for(steps, facts.n_train / _TYPICAL_BATCH, 30, most)
    epochs = Setting(
        n,
        steps_in_words(facts.n_train, _TYPICAL_BATCH, steps),
    )
    mpx = facts.n_train * imgsz**2 * (facts.short_px / facts.long_px) / 1e6
    return EngineProposal(
        epochs,
        fixed=_fixed(facts, gpus, imgsz, scale, n),
        space=_space(facts, gpus),
        core_seconds=_CORE_SECONDS_A_MPX * mpx,
    )


def _imgsz(facts: DataFacts, gpus: int) -> int:
    small, most = (16, 1280) if gpus else (8, 512)
    return multiple(facts.long_px * scale_for(facts, small_px=small, most_px=most), 32, 96)


def _fixed(
    facts: DataFacts, gpus: int, imgsz: int, scale: float, epochs: int
) -> dict[str, Setting]:
    small = facts.small_px * scale
    ratio = next((ratio for ratio in (4, 2) if small / ratio >= 3), 1)
    model = "yolo11s-seg.yaml" if gpus else "yolo11n-seg.yaml"
    fixed = {
        "model": Setting(
            model,
            f"untrained, nothing is downloaded; {'a size for a GPU' if gpus else 'the smallest'}"
            "; a path to local weights (.pt) makes trainings shorter",
        ),
        "imgsz": Setting(
            imgsz,
            f"longer side in training, px: the median picture has {facts.long_px:.0f} px, "
            f"{sizes_in_training(facts, scale)}; its cost grows with its square",
        ),
        "mask_ratio": Setting(
            ratio,
            f"masks are learnt at 1/{ratio} of that size, so small objects are "
            f"{small / ratio:.1f} px across in them",
        ),
        "max_det": Setting(
            room_for(facts.most_objects),
            f"most finds in a picture; the fullest one holds {facts.most_objects} objects",
        ),
    }
    if epochs < 100:
        fixed["close_mosaic"] = Setting(
            max(2, epochs // 10), "last epochs without mosaic: a tenth of so short a training"
        )
    return fixed


def _space(facts: DataFacts, gpus: int) -> dict[str, Setting]:
    batches: dict[str, Any] = {"choice": batches_for(facts.n_train, 32 if gpus else 16)}
    space = {
        "preset": Setting("yolo_seg", "every range that is not below is this preset's"),
        "lr0": Setting(
            {"loguniform": [5e-4, 2e-2]},
            "narrower than the preset's: what learns slower shows nothing within these epochs",
        ),
        "batch": Setting(
            batches, f"a third of the {facts.n_train} training pictures at most: several steps"
        ),
        "nbs": Setting(
            batches, "as the batch: with Ultralytics' own 64 a small set hardly takes a step"
        ),
        "warmup_epochs": Setting({"fixed": 1}, "the preset's up to 4 are long for small sets"),
        "flipud": Setting({"uniform": [0.0, 0.5]}, "a micrograph has no up and down"),
        "perspective": Setting({"fixed": 0.0}, "and is not seen at an angle"),
    }
    if facts.grey:
        why = "the pictures are grey: hue and saturation would change nothing"
        space |= {"hsv_h": Setting(None, why), "hsv_s": Setting(None, "likewise")}
    return space
