"""What is kept of a training besides its model: curves, tables, the labels, the settings."""

from collections.abc import Mapping, Sequence

from trainables.contract import ArtifactKind, EpochMetrics, Trial
from trainables.keeping import write_table
from trainables.metrics import Evaluation
from trainables.plots import plot_all
from trainables.yolo_seg.trainer import YoloSegRun


def keep_artifacts(
    trial: Trial,
    run: YoloSegRun,
    history: Sequence[EpochMetrics],
    evaluations: Mapping[str, Evaluation],
) -> None:
    """Draw and write everything from the epochs trained, and hand it to the trial.

    Args:
        trial: Who keeps it.
        run: The training.
        history: Of all epochs.
        evaluations: Of the last one's validation, by metric group.
    """
    to = trial.directory / "artifacts"
    to.mkdir(parents=True, exist_ok=True)
    by_epoch = {entry.epoch: entry.values for entry in history}
    for picture in plot_all(evaluations, by_epoch, to):
        trial.artifact(picture, ArtifactKind.CURVES)
    rows = [{**entry.values, "epoch": entry.epoch} for entry in history]
    trial.artifact(write_table(rows, to / "results.csv"), ArtifactKind.TABLE)
    classes = [
        {"group": group, **line.as_row()}
        for group, evaluation in evaluations.items()
        for line in evaluation.per_class
    ]
    trial.artifact(write_table(classes, to / "classes.csv"), ArtifactKind.TABLE)
    run.plot_training_labels()
    for name, kind in (("labels.jpg", ArtifactKind.PICTURE), ("args.yaml", ArtifactKind.CONFIG)):
        made = run.save_dir / name
        if made.is_file():  # Ultralytics draws no labels where there are none
            trial.artifact(made.replace(to / name), kind)
