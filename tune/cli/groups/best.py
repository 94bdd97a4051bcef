"""The verbs of `segtune best`: show, set, clear."""

from pathlib import Path
from typing import Annotated

import typer

from tune.cli.mistakes import Verb, Verbs
from tune.cli.options import Backbone, EngineName, Store, options_given
from tune.errors import UsageError
from tune.progress.folding import on_terminal

best_app = typer.Typer(
    cls=Verbs,
    help="Keep, show and clear the best configurations of each engine and data set.",
    add_completion=False,
    rich_markup_mode=None,
)


@best_app.command("show", cls=Verb)
def best_show(
    trainable: EngineName = None,
    backbone: Backbone = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="A prepared data set: folder, gs://... or name."),
    ] = None,
    store: Store = None,
) -> None:
    """Show what is recorded; with --trainable the configuration that would be used."""
    from tune.best.store import BestStore, store_place  # loaded when asked for
    from tune.best.table import refuse_damaged, table_lines, used_lines  # loaded when asked for

    opened = BestStore(store_place(store))
    if trainable is not None:
        for line in on_terminal(used_lines(opened, trainable, backbone, data)):
            typer.echo(line)
        return
    if given := options_given({"--backbone": backbone, "--data": data}):
        raise UsageError(f"best show: expected --trainable beside {given[0]}, got none")
    entries = opened.entries()
    for line in on_terminal(table_lines(entries, opened.place)):
        typer.echo(line)
    refuse_damaged(entries)


@best_app.command("set", cls=Verb)
def best_set(
    source: Annotated[
        str,
        typer.Argument(
            metavar="BEST.yaml",
            help="best.yaml, an exported study's directory, or gs://BUCKET/FOLDER/STUDY.",
        ),
    ],
    everywhere: Annotated[
        bool,
        typer.Option("--global", help="Record it for data sets that have no best of their own."),
    ] = False,
    store: Store = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace whatever is recorded, a better one too.")
    ] = False,
) -> None:
    """Record an exported best configuration as that of its data set, or of all others."""
    from analysis.models.confirmed import confirmed_first  # loaded when asked for
    from analysis.models.stored import to_stored  # loaded when asked for
    from tune.best.file import load_best  # loaded when asked for
    from tune.best.store import BestStore, store_place  # loaded when asked for
    from tune.best.table import recorded_line  # loaded when asked for
    from tune.mirror.opening import is_mirror  # slow: Optuna

    folder = _exported(source) if is_mirror(source) else Path(source)
    beside = (folder / "study.yaml").is_file() and not is_mirror(source)
    opened = BestStore(store_place(store, folder.absolute().parent if beside else Path("studies")))
    recorded = to_stored(load_best(confirmed_first(folder)))
    replaced = opened.put(recorded, everywhere=everywhere, force=force)
    typer.echo(recorded_line(recorded, replaced, opened.place, everywhere=everywhere))


@best_app.command("clear", cls=Verb)
def best_clear(
    trainable: EngineName = None,
    backbone: Backbone = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Of this data set: folder, gs://... or name.")
    ] = None,
    everywhere: Annotated[bool, typer.Option("--global", help="The global ones.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of the store.")] = False,
    store: Store = None,
) -> None:
    """Remove what is recorded, as far as the options narrow it down."""
    if not (trainable or backbone or data or everywhere or everything):
        raise UsageError(
            "best clear: expected what to clear, by --trainable, --backbone, --data, --global or "
            "--all, got none of them"
        )
    from tune.best.store import BestStore, store_place  # loaded when asked for
    from tune.best.table import cleared_lines  # loaded when asked for

    opened = BestStore(store_place(store))
    for line in on_terminal(
        cleared_lines(opened, trainable, backbone, data, everywhere=everywhere)
    ):
        typer.echo(line)


def _exported(address: str) -> Path:
    """The best trial of a mirrored study, exported into the study's copy on this machine."""
    from tune.verbs.models.exporting import export  # loaded when asked for

    return export(address)
