"""The verb `clean`."""

from typing import Annotated

import typer

from tune.cli.options import StudyFolder


def clean(
    study_dir: StudyFolder,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed, and how large it is.")
    ] = False,
) -> None:
    """Remove what neither resume nor export needs: checkpoints of trials that have ended."""
    from tune.directory import leftovers  # slow: Optuna
    from tune.directory.reader import StudyDir  # slow: Optuna

    study = StudyDir.open(study_dir)
    found = leftovers.leftovers(study) if dry_run else leftovers.clean(study)
    for one in found:
        typer.echo(f"{one.size / 1e6:10.1f} MB  {one.path}")
    done = "would be freed" if dry_run else "freed"
    total = sum(one.size for one in found) / 1e6
    noun = "folder" if len(found) == 1 else "folders"
    typer.echo(f"{total:10.1f} MB  {done}, {len(found)} {noun}; best models and artifacts stay")
