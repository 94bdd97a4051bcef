"""Keeping the model of a trial's best epoch, whatever interrupts it."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.files.whole import finish_replacing, replace_folder, write_text, write_whole
from trainables.goal import Goal
from trainables.trials.layout import ARTIFACT_FOLDER, BEST_FOLDER, METRICS_FILE, MODEL_FILE


@dataclass(frozen=True)
class KeptEpoch:
    """The epoch whose model is kept.

    Attributes:
        epoch: 1-based.
        value: The objective there, as the metric is reported.
        values: Every finite metric of that epoch.
    """

    epoch: int
    value: float
    values: Mapping[str, float]


class BestKeeper:
    """Keeps the model of the best epoch (`trainables.goal`) in `directory`/best.

    The folder holds `model.pt` and `metrics.json`, always of the same epoch: a new pair is made
    beside it and renamed into place. A keeper made on a folder that an earlier process used goes
    on where that one was, also if it was killed between the two renames.

    Attributes:
        goal: Says which of two epochs is better.
        best: The epoch kept so far, or None.
    """

    def __init__(self, directory: Path, goal: Goal) -> None:
        self.goal = goal
        self._folder = directory / BEST_FOLDER
        finish_replacing(self._folder, METRICS_FILE)
        self.best = read_kept(self._folder, goal.metric)

    def offer(self, epoch: int, values: Mapping[str, float], checkpoint: Path | None) -> bool:
        """Keep the model of an epoch if it is the best so far.

        A missing or non-finite objective never wins; of equal epochs the earlier one stays.

        Args:
            epoch: 1-based.
            values: The metrics of that epoch.
            checkpoint: Folder with `model.pt`; None if there is nothing to keep.

        Returns:
            Whether the model was kept.

        Raises:
            FileNotFoundError: The checkpoint holds no `model.pt`.
        """
        if checkpoint is None or not self.improves(values):
            return False
        model = checkpoint / MODEL_FILE
        if not model.is_file():
            raise FileNotFoundError(
                f"expected the checkpoint of epoch {epoch} to hold {MODEL_FILE}, got none in "
                f"{checkpoint}; an engine writes the model it can load under that name"
            )
        new = self._folder.with_name(BEST_FOLDER + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        shutil.copyfile(model, new / MODEL_FILE)
        kept = KeptEpoch(epoch, float(values[self.goal.metric]), _finite(values))
        _write_kept(new, kept, self.goal)
        replace_folder(new, self._folder)
        self.best = kept
        return True

    def improves(self, values: Mapping[str, float]) -> bool:
        """Whether these metrics are better than the epoch kept so far."""
        return self.goal.improves(values, None if self.best is None else self.best.values)


def read_kept(folder: Path, metric: str) -> KeptEpoch | None:
    """The epoch whose model lies in `folder`; None if there is none with a value of `metric`."""
    try:
        content: dict[str, Any] = json.loads((folder / METRICS_FILE).read_text("utf-8"))
        values = {str(key): float(value) for key, value in content["values"].items()}
        return KeptEpoch(int(content["epoch"]), values[metric], values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep_artifact(path: Path, directory: Path) -> Path:
    """Copy a finished file into `directory`/artifacts, atomically; returns the copy."""
    kept = directory / ARTIFACT_FOLDER / path.name
    kept.parent.mkdir(exist_ok=True)
    if path.resolve() != kept.resolve():
        write_whole(kept, lambda temporary: shutil.copyfile(path, temporary))
    return kept


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if math.isfinite(value)}


def _write_kept(folder: Path, kept: KeptEpoch, goal: Goal) -> None:
    content = {
        "epoch": kept.epoch,
        "metric": goal.metric,
        "mode": goal.mode,
        "values": dict(kept.values),
    }
    text = json.dumps(content, indent=1)
    write_text(folder / METRICS_FILE, text, on_disk=False)  # the folder is brought there whole
