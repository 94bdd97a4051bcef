"""The verb about a first study: init."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tune.cli.options import DataFolder, EngineName
from tune.cli.values import new_file


def init(
    data: DataFolder,
    trainable: EngineName = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", parser=new_file("--out"), metavar="FILE", help="The file to write."
        ),
    ] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file.")] = False,
) -> None:
    """Write a commented study file with values fitted to a data set and this machine."""
    from tune.proposal.proposal import write_proposal  # loaded when asked for

    made = write_proposal(data, out, trainable=trainable, force=force)
    typer.echo(f"wrote {out} for {made.engine}: {made.why}")
    typer.echo(f"read it, then: segtune plan {shlex.quote(str(out))}")
