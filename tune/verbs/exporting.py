"""A study's best model taken out of it."""

from pathlib import Path

from analysis.models.export import export_best
from tune.verbs.opening import open_study


def export(study_dir: Path | str, to: Path | str | None = None) -> Path:
    """Write the best trial's model and configuration in every form.

    Args:
        study_dir: A study directory or study file, of a study that runs or has ended.
        to: Folder to write; default: `best/` in the study directory.

    Returns:
        The folder.

    Raises:
        StoreError: The study directory cannot be read.
        ExportError: There is no model yet, or `to` holds something else than an export.
        DatasetError: The folder cannot be written, or another process is writing it.
    """
    return export_best(open_study(study_dir), None if to is None else Path(to))
