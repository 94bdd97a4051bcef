"""segtune: one verb, one function.

A mistake of the user ends in one message on stderr and exit code 2; an interrupted study in exit
code 130; a bug of ours keeps its traceback and ends in exit code 1.
"""

import errno
import importlib.metadata
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from trainables.files.errors import UserError
from tune.cli.comparing import compare, diff, note
from tune.cli.comparing import list as list_studies
from tune.cli.data import prepare, simulate
from tune.cli.demo import demo
from tune.cli.groups.best import best_app
from tune.cli.groups.cluster import cluster_app
from tune.cli.groups.wandb import wandb_app
from tune.cli.jobs.verbs import jobs, logs, stop, submit
from tune.cli.machine import doctor, schema
from tune.cli.measuring import measure, predict, scale
from tune.cli.mistakes import Mistyped, Verb, Verbs, usage_message
from tune.cli.models import evaluate, export, pick, retrain
from tune.cli.storing import archive, sync
from tune.cli.studies import (
    clean,
    confirm,
    dashboard,
    init,
    move,
    plan,
    report,
    resume,
    status,
    tune,
)
from tune.progress.folding import on_terminal

app = typer.Typer(
    name="segtune",
    cls=Verbs,
    help="Tune segmentation models on micrographs: one study file, one command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
VERBS: Final = (
    prepare,
    simulate,
    init,
    plan,
    tune,
    resume,
    move,
    status,
    report,
    confirm,
    compare,
    diff,
    note,
    list_studies,
    dashboard,
    clean,
    sync,
    archive,
    submit,
    jobs,
    logs,
    stop,
    export,
    retrain,
    evaluate,
    pick,
    predict,
    scale,
    measure,
    schema,
    doctor,
    demo,
)
"""Verbs of the command line, in the order of `--help`."""

for _verb in VERBS:
    app.command(cls=Verb)(_verb)
app.add_typer(best_app, name="best")
app.add_typer(wandb_app, name="wandb")
app.add_typer(cluster_app, name="cluster")


_COMPLETING: Final = "_SEGTUNE_COMPLETE"
"""Set by the shell while a command line is being completed."""

_STATE_OF_THE_DISK: Final = frozenset(
    (
        errno.EACCES,
        errno.EDQUOT,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    )
)
"""Numbers of `OSError` that the user can mend, whoever ran into them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("ray", "wandb", "optuna", "matplotlib", "PIL", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if _COMPLETING in os.environ:  # the shell asks, and typer answers and ends
        typer.main.get_command(app).main(prog_name="segtune")
    sys.exit(_exit_code(sys.argv[1:] if arguments is None else list(arguments)))


def _exit_code(arguments: list[str]) -> int:
    try:
        return _run_verb(arguments)
    except KeyboardInterrupt as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # pressed once more, it is ending already
        words = f"interrupted; {error}" if error.args else "interrupted"
        for line in on_terminal([words], sys.stderr):
            typer.echo(line, err=True)
        return 130
    except BrokenPipeError:  # `segtune status ... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        message = _message(error, arguments)
        if not message:
            raise
        for line in on_terminal(message.split("\n"), sys.stderr):
            typer.echo(line, err=True)
        return 2


def _run_verb(arguments: list[str]) -> int:
    """Run a verb without typer's own handling of errors, which speaks in other words."""
    try:
        with typer.main.get_command(app).make_context("segtune", list(arguments)) as context:
            context.command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def _message(error: Exception, arguments: Sequence[str]) -> str:
    """Message that the user should see of an exception, or "" for a bug of ours."""
    if isinstance(error, Mistyped):
        if not arguments:  # it is the help
            return str(error)
        return f"segtune: {usage_message(error, arguments, _verbs())}"
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
        error = error.__context__  # so pathlib tells of links that lead in a circle
    if isinstance(error, OSError) and (
        error.errno in _STATE_OF_THE_DISK or _is_the_users(error.filename)
    ):
        full = error.errno in _STATE_OF_THE_DISK
        place = (error.filename2 if full else None) or error.filename  # of a copy, where it goes
        return f"segtune: {place or 'writing'}: {error.strerror}"
    return f"segtune: {error}" if isinstance(error, UserError) else ""


def _is_the_users(name: object) -> bool:
    """Whether an error's file is one that the user chose, and not a part of what is installed."""
    if not isinstance(name, str) or not name:
        return False
    place = Path(name).absolute()
    installed = (Path(sys.prefix), Path(sys.base_prefix, "lib"), Path(__file__).parents[1])
    return place.suffix != ".py" and not any(place.is_relative_to(folder) for folder in installed)


def _verbs() -> list[str]:
    callbacks = (command.callback for command in app.registered_commands)
    groups = (group.name for group in app.registered_groups)
    own = [callback.__name__ for callback in callbacks if callback is not None]
    return [*own, *(name for name in groups if name)]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"segtune {importlib.metadata.version('segtune')}")
        raise typer.Exit
