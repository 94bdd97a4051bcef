"""Start of a training: at trained weights, at random ones, or at its own checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from search_spaces.names import written
from trainables.contract import TransientError, Trial
from trainables.engines.mask_rcnn.checkpoint import read_model
from trainables.engines.mask_rcnn.network.weights import fetch_zoo
from trainables.engines.mask_rcnn.network.zoo import COCO, UNTRAINED
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.files.whole import finish_replacing
from trainables.trials.layout import HISTORY_FILE

_CLIP: Final[float] = MaskRcnnParams().clip
"""Largest norm of a gradient with which a training from scratch does not diverge at first."""


@dataclass(frozen=True)
class Start:
    """Start of a training: what it trains with, and what it goes on from.

    Attributes:
        params: Hyperparameters that are trained with; they differ from those asked for only where
            `notes` say so.
        configs: Detectron2's configuration, YAML, by backbone, of a training that goes on; its
            weights are in its checkpoint.
        notes: Sentences to tell the user.
    """

    params: MaskRcnnParams
    configs: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_start(trial: Trial, params: MaskRcnnParams) -> Start:
    """Find out where a trial starts.

    With `weights: coco` where the model zoo cannot be reached, nor was before, it starts from
    scratch, and what only trained weights can do with is replaced. A sampled value is never
    replaced. A trial that goes on does so as it began, whether the zoo can be reached now or not.

    Args:
        trial: Trial to start, with its checkpoint if it goes on.
        params: Hyperparameters asked for.

    Raises:
        InfeasibleParams: The checkpoint is not of this engine.
        TransientError: The model zoo cannot be reached, and a sampled value would be replaced.
    """
    if trial.resume_from is not None:
        return _continued(trial.resume_from, params)
    if params.weights != COCO:
        return Start(params)
    try:
        for backbone in params.backbones:
            fetch_zoo(backbone)
    except OSError as error:
        return _without_zoo(trial, params, error)
    return Start(params)


def from_scratch(params: MaskRcnnParams) -> MaskRcnnParams:
    """Change a training to one without trained weights that converges.

    FrozenBN, whose statistics come with trained weights, becomes GN; BN stays. No stage is frozen,
    and gradients are clipped.
    """
    changes: dict[str, Any] = {"weights": UNTRAINED, "freeze_at": 0, "clip": params.clip or _CLIP}
    if params.norm == "FrozenBN":
        changes["norm"] = "GN"
    return params.model_copy(update=changes)


def _continued(folder: Path, params: MaskRcnnParams) -> Start:
    finish_replacing(folder, HISTORY_FILE)
    saved = read_model(folder)
    if params.weights == COCO and saved.params["weights"] == UNTRAINED:
        note = "goes on from scratch, as it began, when the model zoo could not be reached"
        return Start(from_scratch(params), saved.configs, (note,))
    return Start(params, saved.configs)


def _without_zoo(trial: Trial, params: MaskRcnnParams, error: OSError) -> Start:
    instead = from_scratch(params)
    before, after = params.model_dump(), instead.model_dump()
    changed = {key: after[key] for key in before if after[key] != before[key]}
    sampled = sorted(changed.keys() & trial.sampled)
    trouble = f"weights: the model zoo's weights could not be fetched: {error}"
    if sampled:
        raise TransientError(
            f"{trouble}; training from scratch instead would replace what was sampled: "
            f"{', '.join(sampled)}"
        )
    settings = ", ".join(
        f"{key}={written(value)}" for key, value in changed.items() if key != "weights"
    )
    note = f"{trouble}; this trial is trained from scratch instead"
    return Start(instead, notes=(f"{note}, with {settings}" if settings else note,))
