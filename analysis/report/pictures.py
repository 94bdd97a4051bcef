"""Pictures for a page that must not load anything: small, and written into it."""

import logging
from collections.abc import Iterable
from pathlib import Path

from analysis.pages.pictures import Picture, data_uri
from trainables.datasets.prepared import PreparedDataset
from trainables.trials.layout import FINDS_FILE, FINDS_PLACES
from tune.directory.reader import TrialRecord

log = logging.getLogger(__name__)

_PHASES = {"round-0": "supervised phase"}


def contact_sheets(data: PreparedDataset | None) -> list[Picture]:
    """Pictures of the data set with its annotations drawn, where `prepare` left them."""
    if data is None:
        return []
    return _pictures(
        (
            (
                data.root / f"contact_{split}.png",
                f"Annotations, {split} part",
                f"Contact sheet of the {split} part of {data.name} with its annotations drawn",
            )
            for split in ("train", "val")
        ),
        photo=True,
    )


def confusion_matrices(trial: TrialRecord | None) -> list[Picture]:
    """Confusion matrices that the engine left among a trial's artifacts."""
    if trial is None or trial.artifacts is None:
        return []
    return _pictures(
        (path, f"Trial {trial.number}: {path.stem.replace('_', ' ')}", f"{path.stem} of the trial")
        for path in sorted(trial.artifacts.rglob("*confusion*.png"))
    )


def finds(trial: TrialRecord | None) -> list[Picture]:
    """Finds of the best model in pictures of the validation part, where its engine drew them."""
    if trial is None or trial.artifacts is None or trial.best_epoch is None:
        return []
    found = []
    for place in FINDS_PLACES:
        name = FINDS_FILE.format(epoch=trial.best_epoch, place=place, picture="*")
        begin = len(name) - len("*.png")
        for path in sorted(trial.artifacts.rglob(name)):
            title = (
                f"Trial {trial.number}, epoch {trial.best_epoch}, validation part, {place} F1: "
                f"{path.stem[begin:]}"
            )
            found.append((path, title, f"Annotation and finds in {path.stem[begin:]}"))
    return _pictures(found, photo=True)


def round_figures(trial: TrialRecord | None) -> list[Picture]:
    """Pictures of each phase that an engine that teaches itself has drawn."""
    if trial is None or trial.artifacts is None:
        return []
    return _pictures(
        (
            path,
            f"Trial {trial.number}, {_PHASES.get(path.stem, path.stem.replace('-', ' '))}",
            "A training picture, its labels and what the model gives after this phase",
        )
        for path in sorted(trial.artifacts.rglob("round-*.png"))
    )


def _pictures(wanted: Iterable[tuple[Path, str, str]], *, photo: bool = False) -> list[Picture]:
    found = []
    for path, title, description in wanted:
        if not path.is_file():
            continue
        try:
            found.append(Picture(title, description, data_uri(path, photo=photo)))
        except (OSError, ImportError) as error:  # Ultralytics makes PIL ask for a further package
            log.warning("%s is left out of the report: %s", path, error)
    return found
