"""The files that every training leaves besides its model: lines of epochs, curves, tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trainables.contract import ArtifactKind, EpochMetrics, Trial
from trainables.files.whole import write_table
from trainables.metrics.instances import Evaluation
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


def keep_evaluations(
    trial: Trial, history: Sequence[EpochMetrics], evaluations: Mapping[str, Evaluation]
) -> Path:
    """Hand the metrics of all epochs, the curves and the figures of each class to the trial.

    Args:
        trial: Trial that keeps them.
        history: Metrics of all epochs.
        evaluations: Results of the last epoch's validation, by metric group.

    Returns:
        The folder for the trial's artifacts.
    """
    to = keep_epochs(trial, history)
    for picture in plot_all(evaluations, {entry.epoch: entry.values for entry in history}, to):
        trial.artifact(picture, ArtifactKind.CURVES)
    classes = [
        {"group": group, **line.as_row()}
        for group, evaluation in evaluations.items()
        for line in evaluation.per_class
    ]
    trial.artifact(write_table(classes, to / "classes.csv"), ArtifactKind.TABLE)
    return to
