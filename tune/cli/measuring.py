"""Verbs about the sizes of what pictures show: scale."""

from pathlib import Path
from typing import Annotated

import typer

from tune.cli.tickers import Ticker
from tune.cli.values import new_file, new_place
from tune.progress.folding import on_terminal

Table = Annotated[
    Path,
    typer.Option("--out", "-o", parser=new_file("--out"), metavar="FILE", help="CSV to write."),
]

SourceName = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SOURCE",
        help="The only source that counts: given, table, metadata or bar; default: auto, all of "
        "them, in this order, and none where they contradict each other.",
    ),
]

GivenSize = Annotated[
    str | None,
    typer.Option(
        "--pixel-size", metavar="LENGTH", help="Side of a pixel of every picture: 4.5nm, 1.77A."
    ),
]

KnownSizes = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE", help="CSV of pixel sizes: file, um_per_px."),
]

BarRegion = Annotated[
    str | None,
    typer.Option(
        "--roi",
        metavar="X,Y,W,H",
        help="Where the scale bar is looked for, in pixels or in fractions of the picture; "
        "default: everywhere.",
    ),
]

DebugFolder = Annotated[
    Path | None,
    typer.Option(
        "--debug",
        parser=new_place("--debug"),
        metavar="FOLDER",
        help="Also draw what was looked at in each picture.",
    ),
]


def scale(
    pictures: Annotated[
        list[str], typer.Argument(help="Files, folders and patterns: TIFF, PNG, JPEG, MRC.")
    ],
    out: Table,
    source: SourceName = None,
    pixel_size: GivenSize = None,
    table: KnownSizes = None,
    roi: BarRegion = None,
    debug: DebugFolder = None,
) -> None:
    """Tell what a pixel measures: given, from a table, metadata or the burnt-in scale bar.

    Exit code 1: some pictures could not be read; their rows say why.
    """
    from tune.verbs.scaling import scale as read_scales  # loaded when asked for

    result = read_scales(
        pictures,
        out,
        source=source,
        pixel_size=pixel_size,
        table=table,
        roi=roi,
        debug=debug,
        progress=Ticker("scale"),
    )
    for line in on_terminal(result.lines()):
        typer.echo(line)
    for line in result.warnings():
        typer.echo(line, err=True)
    if result.failed:
        raise typer.Exit(1)
