"""A trained configuration as the record of an experiment, `experiment.json`.

Its hyperparameters are in the words that training forms of other programs have
(`search_spaces.tasks`); what those have no words for stands with the augmentations, under the
engine's name, so nothing is lost. A value that the form does not offer is refused, as another in
its place would be another training.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from analysis.errors import ExportError
from analysis.models.experiment import SECTION
from search_spaces.tasks import TRAININGS, Task, TrainingParams
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from trainables.files.whole import write_json
from trainables.metrics.names import PARTICLE_GROUP
from trainables.registry import engine_info
from tune.best.configuration import BestConfig
from tune.study.space import defaults

EXPERIMENT: Final = "experiment.json"

_DROPS: Final = (("first_drop", "second_drop"), ("first_step", "second_step"))
"""Hyperparameters of when the learning rate drops: a part of the training, a part of the rest."""

_SCHEDULES: Final = {"steps": "multistep"}

_NAME, _DESCRIPTION = 80, 280


def write_record(config: BestConfig, folder: Path, data: PreparedDataset | None) -> Path:
    """Write `experiment.json` into a folder; returns its path.

    Args:
        config: A configuration that was trained.
        folder: Folder to write into.
        data: Data set that it was trained on, if at hand.

    Raises:
        ExportError: The form does not offer one of its values.
    """
    write_json(folder / EXPERIMENT, record(config, data))
    return folder / EXPERIMENT


def record(config: BestConfig, data: PreparedDataset | None) -> dict[str, Any]:
    """The record of a training, as plain data; for the arguments see `write_record`."""
    info = engine_info(config.engine)
    params = {**defaults(info.params), **config.params}
    n_train = data.counts()["train"] if data else 1
    form, said = _form(info, params, config.epochs, n_train)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    begins = info.begins_from(config.params) if info.begins_from else ""
    cpu = not config.metrics.get("gpu_memory_gb", 0.0)
    rest = {key: value for key, value in params.items() if key not in said}
    return {
        "id": f"exp-{_digest(config)}",
        "name": re.sub(r"[^A-Za-z0-9 _,-]", "-", str(config.source))[:_NAME],
        "description": f"{config.engine} on {config.data.name}: {config.told}"[:_DESCRIPTION],
        "status": "completed",
        "created_at": now,
        "updated_at": now,
        "split_name": config.data.name,
        "model": {
            "backbone": str(params.get(info.backbone, config.engine)),
            "head": config.engine,
            "pretrained": begins.startswith(("pre-trained", "weights of")),
            "freeze_backbone": params.get("freeze", params.get("freeze_at", 0)) not in (0, "none"),
            "dropout": form.dropout,
        },
        SECTION: form.model_dump(mode="json"),
        "augmentations": {"train": [{"name": config.engine, "params": rest}], "val": []},
        "hardware": {
            "selected_devices": ["cpu"] if cpu else ["cuda:0"],
            "precision": "32" if cpu or not params.get("amp") else "16-mixed",
        },
        "best_epoch": config.objective.epoch,
        "best_metric": config.objective.value,
        "final_metrics": config.metrics,
        "error": None,
        "seed": config.seed,
        "data_fingerprint": config.data.fingerprint,
    }


def task_of(info: EngineInfo) -> Task:
    """The task of an engine, by what it is measured with."""
    if PARTICLE_GROUP in info.metrics:
        return "segmentation"
    return "instance_segmentation" if "seg_metrics" in info.metrics else "detection"


def _form(
    info: EngineInfo, params: Mapping[str, Any], epochs: int, n_train: int
) -> tuple[TrainingParams, set[str]]:
    """The filled form, and the engine's keys that it says.

    Raises:
        ExportError: A value cannot be said in it.
    """
    schema, known = TRAININGS[task_of(info)], info.params.model_fields
    own = {key: key if key in known else info.params.aliases.get(key, "") for key in _form_keys()}
    values = {key: params[name] for key, name in own.items() if params.get(name) is not None}
    values["warmup_epochs"] = round(
        params["warmup_epochs"]
        if "warmup_epochs" in known
        else info.params.beginning(dict(params), epochs, n_train)
    )
    schedule = dict(_schedule(params, epochs))
    values |= {"max_epochs": epochs, **schedule}
    values.setdefault("early_stopping_patience", 0)
    values["optimizer"] = str(values.get("optimizer", "")).lower()
    if "nbs" in known:  # gradients are summed up to a nominal batch
        values["batch_multiplier"] = max(1, round(params["nbs"] / params["batch"]))
    try:
        form = schema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ExportError(f"{key}: {first['msg']}, got {first['input']!r}") from error
    return form, {*own.values(), "scheduler", "schedule", "cos_lr", "nbs", *sum(_DROPS, ())}


def _form_keys() -> Iterator[str]:
    """Keys of the form that are read off an engine's hyperparameter of that name or alias."""
    apart = {"scheduler", "milestones", "warmup_epochs", "max_epochs"}
    return (key for key in TrainingParams.model_fields if key not in apart)


def _schedule(params: Mapping[str, Any], epochs: int) -> Iterator[tuple[str, Any]]:
    """How the learning rate falls, in the form's words."""
    if "cos_lr" in params:  # else a straight line
        yield "scheduler", "cosine" if params["cos_lr"] else "poly"
        yield "poly_power", 1.0
        return
    kind = str(params.get("scheduler", params.get("schedule", "none")))
    yield "scheduler", _SCHEDULES.get(kind, kind)
    if params.get("milestones"):
        yield "milestones", params["milestones"]
    for first, second in _DROPS:
        if first in params and _SCHEDULES.get(kind, kind) == "multistep":
            at = params[first]
            places = (round(at * epochs), round((at + (1 - at) * params[second]) * epochs))
            yield "milestones", tuple(dict.fromkeys(p for p in places if 0 < p < epochs)) or None


def _digest(config: BestConfig) -> str:
    """Eight hexadecimal digits of what was trained."""
    said = json.dumps(
        [str(config.source), config.params, config.seed, config.epochs], sort_keys=True, default=str
    )
    return hashlib.sha256(said.encode()).hexdigest()[:8]
