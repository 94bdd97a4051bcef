"""The files that every training leaves besides its model: lines of epochs, curves, tables."""

from collections.abc import Sequence
from pathlib import Path

from trainables.contract import ArtifactKind, EpochMetrics, Trial
from trainables.files.whole import write_table
from trainables.loop.best_epoch import EvaluatedEpoch
from trainables.loop.finds import keep_finds
from trainables.metrics.plots import plot_all
from trainables.trials.layout import ARTIFACT_FOLDER


def keep_epochs(trial: Trial, history: Sequence[EpochMetrics]) -> Path:
    """Hand `results.csv`, the metrics of all epochs, to the trial.

    Returns:
        The folder for the trial's artifacts.
    """
    to = trial.directory / ARTIFACT_FOLDER
    to.mkdir(parents=True, exist_ok=True)
    rows = [{**entry.values, "epoch": entry.epoch} for entry in history]
    trial.artifact(write_table(rows, to / "results.csv"), ArtifactKind.TABLE)
    return to


def keep_evaluations(trial: Trial, history: Sequence[EpochMetrics], best: EvaluatedEpoch) -> Path:
    """Hand all epochs' metrics, and one epoch's curves, figures and finds, to the trial.

    Args:
        trial: Trial that keeps them.
        history: Metrics of all epochs.
        best: Evaluation of the epoch that is drawn.

    Returns:
        The folder for the trial's artifacts.
    """
    to = keep_epochs(trial, history)
    epochs = {entry.epoch: entry.values for entry in history}
    for picture in plot_all(best.evaluations, epochs, to, f"validation part, epoch {best.epoch}"):
        trial.artifact(picture, ArtifactKind.CURVES)
    classes = [
        {"epoch": best.epoch, "group": group, **line.as_row()}
        for group, evaluation in best.evaluations.items()
        for line in evaluation.per_class
    ]
    trial.artifact(write_table(classes, to / "classes.csv"), ArtifactKind.TABLE)
    keep_finds(trial, best.epoch, best.finds)
    return to
