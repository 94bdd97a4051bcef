"""Verbs about this machine: schema, doctor."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tune.cli.values import new_file
from tune.progress.folding import on_terminal


def schema(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            parser=new_file("--out"),
            metavar="FILE",
            help="Write it to a file.",
        ),
    ] = None,
) -> None:
    """Print the JSON schema of a study file, for editors."""
    from trainables.files.whole import write_text  # as late as the next
    from tune.study.study import study_schema  # slow to import; `segtune --help` need not wait

    text = json.dumps(study_schema(), indent=2)
    if out is None:
        typer.echo(text)
    else:
        write_text(out, text + "\n")


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also import the frameworks.")] = False,
) -> None:
    """Check this machine: packages, libraries, GPUs, W&B, disk."""
    from tune.doctor.doctor import check_all  # slow to import; `segtune --help` need not wait

    checks = check_all(deep=deep)
    for line in on_terminal(check.line() for check in checks):
        typer.echo(line)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
