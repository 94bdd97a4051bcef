"""Verbs about this machine: schema, doctor."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tune.cli.jobs.options import Address, Insecure, the_cluster
from tune.cli.values import new_file, one_of
from tune.progress.folding import on_terminal


class Described(StrEnum):
    """Files that have a schema."""

    STUDY = "study"
    MEASURE = "measure"


def schema(
    what: Annotated[
        Described,
        typer.Argument(
            parser=one_of("schema", Described),
            metavar="[study|measure]",
            help="Of a study file, or of a measurement's settings.",
        ),
    ] = Described.STUDY,
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
    """Print the JSON schema of a study file or of a measurement's settings, for editors."""
    from trainables.files.whole import write_text  # slow to import; `segtune --help` need not wait

    text = json.dumps(_schema_of(what), indent=2)
    if out is None:
        typer.echo(text)
    else:
        write_text(out, text + "\n")


def _schema_of(what: Described) -> dict[str, Any]:
    if what is Described.MEASURE:
        from analysis.measure.settings import MeasureSettings  # loaded when asked for

        return MeasureSettings.model_json_schema()
    from tune.study.study import study_schema  # loaded when asked for

    return study_schema()


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Also import the frameworks.")] = False,
    address: Address = None,
    insecure: Insecure = False,
) -> None:
    """Check this machine: packages, libraries, GPUs, W&B, disk; or each node of a cluster."""
    if address is not None:
        from tune.remote.overseeing import remote_doctor  # slow: requests

        lines, well = remote_doctor(
            the_cluster(address, insecure), lambda line: typer.echo(line, err=True)
        )
        for line in on_terminal(lines):
            typer.echo(line)
        raise typer.Exit(0 if well else 1)
    from tune.doctor.doctor import check_all  # slow to import; `segtune --help` need not wait

    checks = check_all(deep=deep)
    for line in on_terminal(check.line() for check in checks):
        typer.echo(line)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
