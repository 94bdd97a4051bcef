"""Verbs about several studies, and about what people keep with one: compare, diff, note, list."""

from typing import Annotated

import typer

from tune.cli.options import NoDownload, StudyPlace, StudyPlaces, TagsAdded, TagsTaken
from tune.cli.tickers import stage_tickers
from tune.cli.values import new_place
from tune.progress.folding import on_terminal


def compare(
    studies: StudyPlaces,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            parser=new_place("--out"),
            metavar="FOLDER",
            help="Folder for compare.html; default: no page, the table alone.",
        ),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option("--pictures/--no-pictures", help="Ask the best models about some pictures."),
    ] = True,
    no_download: NoDownload = False,
) -> None:
    """Compare studies of any engines and data sets: a table, and with --out a page."""
    from tune.verbs.comparing import compare as run  # slow: plotly

    done = run(studies, out, pictures=pictures, download=not no_download, progress=stage_tickers())
    for line in on_terminal(done.lines):
        typer.echo(line)
    if done.page is not None:
        typer.echo(f"wrote {done.page}")


def diff(study_a: StudyPlace, study_b: StudyPlace) -> None:
    """Show what two studies differ in: configuration, data, versions, and what came of it."""
    from analysis.compare.differing import difference_lines  # slow: Optuna
    from tune.verbs.differing import diff as run  # loaded with it

    for line in on_terminal(difference_lines(run(study_a, study_b), (study_a, study_b))):
        typer.echo(line)


def note(
    study_dir: StudyPlace,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="The note; without any, all are shown.")
    ] = "",
    tags: TagsAdded = None,
    untag: TagsTaken = None,
) -> None:
    """Keep a note or tags with a study; status, list and compare show them."""
    from tune.verbs.noting import note as keep  # slow: Optuna

    diary = keep(study_dir, text, tags=tags or [], untag=untag or [])
    for line in on_terminal(diary.lines or ["no notes and no tags"]):
        typer.echo(line)


def list(  # noqa: A001  the verb's name, and last here
    storage: Annotated[
        str,
        typer.Argument(
            metavar="STORAGE", help="Folder with studies in it, or gs://BUCKET/FOLDER of mirrors."
        ),
    ] = "studies",
) -> None:
    """Show all studies in a place: state, best value, size, tags and last note."""
    from tune.verbs.listing import list_lines, list_studies  # slow: Optuna

    for line in on_terminal(list_lines(storage, list_studies(storage))):
        typer.echo(line)
