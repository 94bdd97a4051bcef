"""Speed and size of a study's trials as far as known: from a probe, or from past studies like it.

Past studies are looked for beside the study. Only their records and metrics tables are read and
not their journals, so that a plan does not wait for Optuna.
"""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from cluster.machines.sharing import auto_share
from trainables.contract import EngineInfo
from trainables.files.whole import write_json
from trainables.trials.layout import CHECKPOINT_FOLDER, RESUME_FOLDER
from tune.directory.layout import ELAPSED, OUTCOME, RESOLVED, STUDY, read_json, read_metrics
from tune.errors import StoreError, StudyError
from tune.plan.pace import Pace
from tune.plan.plan import StudyPlan
from tune.study.file import read_study_file

PROBE: Final = "probe.json"  # in the study directory

_MEASURED: Final = 50  # trials of a past study whose size is looked at

_EPOCH: Final = "epoch_seconds"  # column of the metrics table


def known_pace(plan: StudyPlan) -> Pace | None:
    """The pace of a study's trials as far as it is known: probed, or of past studies."""
    return probed_pace(plan) or _past_pace(plan)


def keep_probed(plan: StudyPlan, pace: Pace) -> None:
    """Write a probe's result into the study directory, where `tune` finds it."""
    plan.directory.mkdir(parents=True, exist_ok=True)
    write_json(plan.directory / PROBE, {**_conditions(plan), "pace": asdict(pace)})


def probed_pace(plan: StudyPlan) -> Pace | None:
    """The result of a probe of this study, unless the study was changed since."""
    found = read_json(plan.directory / PROBE)
    pace = found.pop("pace", None)
    return Pace(**pace) if pace and found == _conditions(plan) else None


def gpu_share(plan: StudyPlan, n_gpus: int) -> float:
    """The share of a GPU that each trial begins with, where there are so many GPUs; 0 for none.

    With `gpus_per_trial: auto` by the number of trials at once, and by the memory that a probe of
    this study measured.
    """
    share, resources = plan.shares.gpu_fraction, plan.study.resources
    if share is not None:
        return share
    probed = probed_pace(plan)
    usable = min(n_gpus, resources.max_gpus or n_gpus)
    return auto_share(usable, resources.concurrent, probed.memory if probed else 0.0)


def disk_line(plan: StudyPlan) -> str:
    """Room that a study's trials will take, by those of past studies like it, and what is free."""
    place = next(folder for folder in (plan.directory, *plan.directory.parents) if folder.is_dir())
    free = f"{_size_text(shutil.disk_usage(place).free)} free in {place}"
    trials = [trial for folder in _studies_alike(plan) for trial in _ended(folder)]
    if not trials:
        return f"disk        unknown: no past trial of this kind beside it; {free}"
    size = median(map(_kept_size, trials))
    noun = "trial" if len(trials) == 1 else "trials"
    return (
        f"disk        about {_size_text(size * plan.trials)}, {_size_text(size)} a trial that has "
        f"ended, by {len(trials)} {noun} of past studies; while it runs also its checkpoint; {free}"
    )


# --- what a pace depends on
def _conditions(plan: StudyPlan) -> dict[str, Any]:
    """Everything a trial's pace depends on, as far as it is known beforehand."""
    searched = {name: str(parameter.domain) for name, parameter in plan.space.parameters.items()}
    return {
        "engine": plan.info.name,
        "fingerprint": plan.data.fingerprint,
        "sizes": _sizes(plan.info, {**searched, **plan.fixed}),
        "cpus": plan.shares.cpus,
        "gpus": plan.machine.gpus,
        "concurrent": plan.study.resources.concurrent,
    }


def _past_conditions(info: EngineInfo, folder: Path) -> dict[str, Any]:
    """Everything the pace of a past study's trials depended on; empty where no study was begun.

    Args:
        info: The engine of the study that is planned.
        folder: Directory of the past study.

    Raises:
        StoreError: Its record cannot be read.
        StudyError: As for `read_study_file`.
    """
    record = read_json(folder / RESOLVED)
    if not record:
        return {}
    searched = {name: found["domain"] for name, found in record.get("search_space", {}).items()}
    # the records of earlier versions do not hold the study
    written = record.get("written") or read_study_file(folder / STUDY).values
    return {
        "engine": record.get("engine"),
        "fingerprint": record.get("fingerprint"),
        "sizes": _sizes(info, {**searched, **record.get("fixed", {})}),
        "cpus": record.get("cpus_per_trial"),
        "gpus": record.get("gpus", 0),
        "concurrent": written.get("resources", {}).get("concurrent", 1),
    }


def _sizes(info: EngineInfo, values: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters on which the duration of an epoch depends: backbone and sizes."""
    return {key: values.get(key) for key in (info.backbone, *info.sizes) if key}


# --- past studies
def _past_pace(plan: StudyPlan) -> Pace | None:
    """Medians over all trials of studies under like conditions, or None."""
    tables = [table for folder in _studies_alike(plan) for table in _tables(folder)]
    if not tables:
        return None
    epochs = [row[_EPOCH] for table in tables for row in table if _EPOCH in row]
    firsts = [table[0] for table in tables if _EPOCH in table[0]]
    starts = [max(0.0, row.get(ELAPSED, 0.0) - row[_EPOCH]) for row in firsts]
    noun = "trial" if len(tables) == 1 else "trials"
    return Pace(median(epochs), median(starts or [0.0]), f"{len(tables)} {noun} of past studies")


def _studies_alike(plan: StudyPlan) -> list[Path]:
    """Directories of the studies beside a study that were begun under its conditions."""
    wanted = _conditions(plan)
    found = []
    for folder in sorted(plan.directory.parent.glob("*/")):
        with contextlib.suppress(StoreError, StudyError):  # a damaged study tells nothing
            if _past_conditions(plan.info, folder) == wanted:
                found.append(folder)
    return found


def _tables(study: Path) -> list[list[dict[str, float]]]:
    """Metrics tables of a study's trials that have timed epochs; none of a damaged study."""
    tables: list[list[dict[str, float]]] = []
    with contextlib.suppress(StoreError):
        tables = [read_metrics(trial) for trial in sorted(study.glob("trials/*/"))]
    return [table for table in tables if any(_EPOCH in row for row in table)]


def _ended(study: Path) -> list[Path]:
    """Folders of a study's first trials that have ended."""
    ended = [trial for trial in sorted(study.glob("trials/*/")) if (trial / OUTCOME).is_file()]
    return ended[:_MEASURED]


def _kept_size(trial: Path) -> int:
    """Number of bytes that a trial keeps when it has ended: all but its checkpoints."""
    passing = {CHECKPOINT_FOLDER, RESUME_FOLDER}
    files = [path for path in trial.rglob("*") if path.is_file()]
    return sum(file.stat().st_size for file in files if not passing.intersection(file.parts))


def _size_text(n_bytes: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= factor / 10:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes / 1e3:.1f} kB"
