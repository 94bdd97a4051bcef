"""The verbs of `segtune wandb`: upload."""

from typing import Annotated

import typer

from tune.cli.mistakes import Verb, Verbs
from tune.cli.options import StudyPlaces

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
    studies: StudyPlaces,
    project: Annotated[
        str | None,
        typer.Option(
            "--project", metavar="NAME", help="Project to upload to; default: the study's."
        ),
    ] = None,
    entity: Annotated[
        str | None,
        typer.Option(
            "--entity", metavar="NAME", help="User or team of the project; default: yours."
        ),
    ] = None,
) -> None:
    """Upload what W&B lacks of studies: epochs, states, artifacts; doing it twice does no harm."""
    from tune.tracking.upload import upload  # slow: Optuna
    from tune.verbs.opening import open_study  # slow: Optuna

    for study in [open_study(place) for place in studies]:
        typer.echo(f"{study.path}:")
        done = upload(study, project, entity, lambda one: typer.echo(f"  {one.line()}"))
        typer.echo(f"  {len(done)} {'trial is' if len(done) == 1 else 'trials are'} at W&B")
