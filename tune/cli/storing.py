"""Verbs about places where folders are kept: sync, archive."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tune.cli.tickers import Ticker

Force = Annotated[bool, typer.Option("--force", help="Write over what has changed at the target.")]


def sync(
    source: Annotated[
        str,
        typer.Argument(metavar="FROM", help="A folder, a copy at gs://BUCKET/FOLDER, or a ZIP."),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="The copy to make, or the folder to bring here.")
    ],
    force: Force = False,
) -> None:
    """Copy a study, a data set or results to a bucket or a disk, or back; only what differs."""
    from tune.verbs.storing import sync as copy  # slow: Optuna

    done = copy(source, target, force=force, tick=_megabytes())
    sent = "1 file" if done.sent == 1 else f"{done.sent} files"
    typer.echo(f"{target}: {sent} came, {done.size / 1e6:.1f} MB; {done.equal} were there already")


def archive(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A study, a data set, or results.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE.zip", help="File, or gs://BUCKET/NAME.zip to make."
        ),
    ] = None,
) -> None:
    """Pack a folder into one ZIP file, checked; a study without what it no longer needs."""
    from tune.verbs.storing import archive as pack  # slow: Optuna

    target = f"{folder.absolute().name}.zip" if out is None else out
    files = pack(folder, target, tick=_megabytes())
    many = "1 file" if files == 1 else f"{files} files"
    typer.echo(f"wrote {target} with {many}, each read again and equal")
    typer.echo(f"to unpack it: segtune sync {shlex.quote(target)} FOLDER")


def _megabytes() -> Callable[[int, int], None]:
    ticker = Ticker("megabytes")
    return lambda done, total: ticker(done // 1_000_000, total // 1_000_000)
