"""An evaluation that was asked for, checked before anything is computed or written."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from analysis.errors import EvaluateError
from analysis.evaluation.classes import match_classes
from analysis.models.device import chosen_device
from analysis.models.find import TrainedModel, find_model
from search_spaces.names import nearest_name
from trainables.contract import Device
from trainables.datasets.prepared import SPLITS, PreparedDataset, check_pictures
from trainables.datasets.records import ImageRecord, Split
from trainables.metrics.names import GROUPS, PARTICLE_GROUP, needs_masks
from trainables.registry import engine_info
from trainables.trials.layout import METRICS_FILE
from tune.datasets.opening import whole_data

Part = Literal["train", "val", "test", "all"]

PARTS: Final[tuple[Part, ...]] = (*SPLITS, "all")

FOLDER: Final = "evaluations"

N_OVERLAYS: Final = 6

AT_ONCE: Final = 4
"""Pictures a call of the predictor: few, as whole micrographs may be large."""

AS_ASKED: Final = "as asked for"

CHOSEN_BY: Final = "the best on the validation part that the model was chosen by"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wishes:
    """The options of an evaluation beside model, data and folder.

    Attributes:
        split: train, val, test or all; None for test where it has pictures, else val.
        trainable: Engine of the model, needed where nothing beside its file says so.
        device: As torch names it; None for the first GPU where there is one.
        confidence: Confidence at which to take P, R and F1; None for the validation part's.
        max_det: At most so many predictions of a class in a picture count; None for all.
        other_classes: Measure the common classes alone where model and data have others, too.
        match_radius: Largest distance of a pick from its particle, in particle radii; None for the
            one that the model was tuned with.
        at_once: Number of pictures that go through the model together.
        overlays: Number of pictures to draw, of the best and of the worst each.
        progress: Told of a stage, and how many of how many pictures are done.
    """

    split: str | None = None
    trainable: str | None = None
    device: str | Device | None = None
    confidence: float | None = None
    max_det: int | None = None
    other_classes: bool = False
    match_radius: float | None = None
    at_once: int = AT_ONCE
    overlays: int = N_OVERLAYS
    progress: Progress = lambda stage, done, total: None


@dataclass(frozen=True)
class EvaluationPlan:
    """The plan of an evaluation: everything is checked, nothing computed.

    Attributes:
        model: Model to measure.
        data: Data set to measure it on.
        part: Part of the data set.
        part_words: Reason for that part, for a reader; "" where it was asked for.
        images: Pictures of the part, all there.
        out: Folder to write, absolute.
        device: Device to predict on.
        groups: The metric groups of instances that the engine fills, the most important one first;
            empty for an engine that picks particles.
        wishes: The other options.
    """

    model: TrainedModel
    data: PreparedDataset
    part: Part
    part_words: str
    images: Sequence[ImageRecord]
    out: Path
    device: Device
    groups: Sequence[str]
    wishes: Wishes

    @property
    def identity(self) -> dict[str, str]:
        """Values that must be equal for an evaluation to take the place of an earlier one."""
        return {"model": str(self.model.path), "data": self.data.fingerprint, "part": self.part}

    @property
    def chosen_on(self) -> int | None:
        """Number of objects on which the model's confidence was chosen; None where unknown."""
        if self.model.fingerprint == self.data.fingerprint:
            return self.data.n_objects("val")
        return self.model.val_objects

    @property
    def part_told(self) -> str:
        """The part that is measured, for a reader."""
        part = "all parts" if self.part == "all" else f"the {self.part} part"
        return f"{part}{self.part_words}"


def plan_evaluation(
    model: Path, data: Path | str, out: Path | None, wishes: Wishes
) -> EvaluationPlan:
    """Check the options of an evaluation, and find model and data.

    Args:
        model: As `find_model` takes it.
        data: A prepared data set: its folder, or gs://BUCKET/FOLDER, of which a copy is made here.
        out: Folder to write; None for one below `evaluations/`.
        wishes: The other options.

    Raises:
        AnalysisError: There is no such model, or model, data and folder do not belong together.
        DatasetError: The data set is none, or its annotations or measured pictures were changed.
        EngineError: There is no such engine.
        TuneError: The study cannot be read.
    """
    trained = find_model(model, wishes.trainable)
    prepared = whole_data(data, partial(wishes.progress, "bytes of the data set"))
    if trained.classes:
        match_classes(
            trained.classes, prepared.classes, prepared.root, other_classes=wishes.other_classes
        )
    part, words = _part(prepared, wishes.split)
    plan = EvaluationPlan(
        model=trained,
        data=prepared,
        part=part,
        part_words=words,
        images=_images(prepared, part),
        out=(out or Path(FOLDER) / _name(trained, prepared, part)).absolute(),
        device=chosen_device(wishes.device),
        groups=_groups(trained, wishes, prepared),
        wishes=wishes,
    )
    check_out(plan)
    check_pictures(prepared, plan.images)
    return plan


def _part(data: PreparedDataset, asked: str | None) -> tuple[Part, str]:
    """The part to measure, and the reason in words.

    Raises:
        EvaluateError: There is no such part, or it has no pictures.
    """
    counts = data.counts()
    there = ", ".join(f"{split} {n}" for split, n in counts.items())
    if asked is None:
        if counts["test"]:
            return "test", ""
        if counts["val"]:
            return "val", " (there is no test part)"
        raise EvaluateError(
            f"{data.root}: expected pictures in test or val, got {there}; --split names a part"
        )
    known = {str(part): part for part in PARTS}
    if asked not in known:
        raise EvaluateError(
            f"--split: expected one of {', '.join(PARTS)}, got "
            f"{asked!r}{nearest_name(asked, PARTS)}"
        )
    if not sum(n for split, n in counts.items() if asked in (split, "all")):
        raise EvaluateError(
            f"--split: expected a part of {data.root} with pictures ({there}), got {asked}"
        )
    return known[asked], ""


def _images(data: PreparedDataset, part: Part) -> list[ImageRecord]:
    """The pictures of a part, in order of their ids.

    Raises:
        EvaluateError: Some are no longer there: no other may take their place.
    """
    splits: Sequence[Split] = SPLITS if part == "all" else (part,)
    images = sorted((i for split in splits for i in data.images(split)), key=lambda i: i.id)
    missing = [image.path.name for image in images if not image.path.is_file()]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise EvaluateError(
            f"{data.root}: expected {len(images)} pictures in the part {part}, {len(missing)} "
            f"missing: {named}. Prepare the data set again: segtune prepare RAW --out FOLDER "
            "--force"
        )
    return images


def _name(model: TrainedModel, data: PreparedDataset, part: Part) -> str:
    return re.sub(r"[^\w.-]+", "_", f"{model.name}-on-{data.name}-{part}")


def _groups(model: TrainedModel, wishes: Wishes, data: PreparedDataset) -> list[str]:
    """The groups of instances that a model is measured by; none for one that picks particles.

    Raises:
        EvaluateError: It does neither, or something is asked for that is of the other kind; or it
            is measured by masks alone, and the data are boxes.
    """
    filled = engine_info(model.engine).metrics
    groups = [group for group in GROUPS if group in filled]
    if not groups and PARTICLE_GROUP not in filled:
        raise EvaluateError(
            f"{model.path}: expected a model that finds instances or particles, got one of the "
            f"engine {model.engine}, which is measured by {', '.join(filled) or 'nothing'}"
        )
    if groups and data.boxes_only:
        groups = [group for group in groups if not needs_masks(group)]
        if not groups:
            raise EvaluateError(
                f"{data.root}: expected objects with masks, by which {model.engine} is measured, "
                "got boxes alone"
            )
    if groups and wishes.match_radius is not None:
        raise EvaluateError(
            f"--match-radius: expected none with {model.engine}, whose instances are matched by "
            f"their overlap, got {wishes.match_radius:g}"
        )
    if not groups and wishes.max_det is not None:
        raise EvaluateError(
            f"--max-det: expected none with {model.engine}, whose picks all count, got "
            f"{wishes.max_det}"
        )
    return groups


def check_out(plan: EvaluationPlan) -> None:
    """Refuse a folder that holds something else than an earlier evaluation of the same.

    Raises:
        EvaluateError: It does.
    """
    if not plan.out.exists() or (plan.out.is_dir() and not any(plan.out.iterdir())):
        return
    try:
        before = dict(json.loads((plan.out / METRICS_FILE).read_text("utf-8"))["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        raise EvaluateError(
            f"{plan.out}: expected a new folder or an earlier evaluation, got something else; "
            "choose another with --out"
        ) from None
    if before != plan.identity:
        differs = [key for key, value in plan.identity.items() if before.get(key) != value]
        raise EvaluateError(
            f"{plan.out}: expected an earlier evaluation of the same, got one that differs in "
            f"{', '.join(differs)} ({before.get('model')}); choose another with --out"
        )
