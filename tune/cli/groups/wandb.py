"""The verbs of `segtune wandb`: upload, workspace."""

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


Project = Annotated[
    str | None,
    typer.Option("--project", metavar="NAME", help="W&B project; default: the study's."),
]

Entity = Annotated[
    str | None,
    typer.Option("--entity", metavar="NAME", help="User or team of the project; default: yours."),
]


@wandb_app.callback()
def _group() -> None:
    """Bring studies to Weights & Biases."""


@wandb_app.command("upload", cls=Verb)
def wandb_upload(
    studies: StudyPlaces,
    project: Project = None,
    entity: Entity = None,
) -> None:
    """Upload what W&B lacks of studies: epochs, states, artifacts; doing it twice does no harm."""
    from tune.mirror.opening import results  # slow: Optuna
    from tune.tracking.upload import upload  # slow: Optuna
    from tune.verbs.opening import open_study  # slow: Optuna

    for study in [open_study(place, results) for place in studies]:
        typer.echo(f"{study.path}:")
        done = upload(study, project, entity, lambda one: typer.echo(f"  {one.line()}"))
        typer.echo(f"  {len(done)} {'trial is' if len(done) == 1 else 'trials are'} at W&B")


@wandb_app.command("workspace", cls=Verb)
def wandb_workspace(
    studies: StudyPlaces,
    project: Project = None,
    entity: Entity = None,
) -> None:
    """Make a ready workspace and report of studies at W&B; again, those there are changed."""
    from tune.tracking.workspace import make_workspace  # slow: W&B
    from tune.verbs.opening import open_study  # slow: Optuna

    opened = [open_study(place) for place in studies]
    made = make_workspace(opened, project, entity, typer.echo)
    for line in (*(f"wrote {file}" for file in made.files), *made.urls):
        typer.echo(line)
    if made.reason:
        typer.echo(f"not sent to W&B: {made.reason}; the same command sends it, where it is there")
