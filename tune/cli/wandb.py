"""The verbs of `segtune wandb`: upload."""

from pathlib import Path
from typing import Annotated

import typer

from tune.cli.mistakes import Verb, Verbs

wandb_app = typer.Typer(
    cls=Verbs,
    help="Bring studies to Weights & Biases.",
    add_completion=False,
    rich_markup_mode=None,
)


@wandb_app.callback()
def _group() -> None:
    """Bring studies to Weights & Biases."""


@wandb_app.command("upload", cls=Verb)
def wandb_upload(
    studies: Annotated[list[Path], typer.Argument(help="Study directories, <storage>/<study>.")],
    project: Annotated[
        str | None, typer.Option("--project", help="Project to upload to; default: the study's.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", help="User or team of the project; default: yours.")
    ] = None,
) -> None:
    """Upload what W&B lacks of studies: every epoch once, state and artifacts; also twice."""
    from tune.directory.reader import StudyDir  # slow: Optuna
    from tune.tracking.upload import upload  # slow: Optuna

    for study in [StudyDir.open(path) for path in studies]:
        typer.echo(f"{study.path}:")
        done = upload(study, project, entity, lambda one: typer.echo(f"  {one.line()}"))
        typer.echo(f"  {len(done)} {'trial is' if len(done) == 1 else 'trials are'} at W&B")
