"""The verb `dashboard`."""

from pathlib import Path
from typing import Annotated

import typer

from tune.cli.options import number_option


def dashboard(
    studies: Annotated[list[Path], typer.Argument(help="Study directories, <storage>/<study>.")],
    port: Annotated[int, number_option("--port", "Port to listen on; 0: any that is free.")] = 8080,
) -> None:
    """Show studies in optuna-dashboard, on this machine and read only. Ctrl-C ends it."""
    from tune.dashboard.server import HOST, dashboard_server  # slow: Optuna
    from tune.directory.reader import StudyDir  # slow: Optuna

    server = dashboard_server([StudyDir.open(path) for path in studies], port)
    many = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    typer.echo(f"{many}, read only: http://{HOST}:{server.server_port} (Ctrl-C ends it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("ended", err=True)
    finally:
        server.server_close()
