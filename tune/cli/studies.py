"""Verbs about studies: plan, tune, resume, status, report, dashboard, clean."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune.cli.options import Overrides, StudyFile, StudyFolder, number_option

if TYPE_CHECKING:
    from tune.driver.driver import StudyResult
    from tune.plan.pace import Pace
    from tune.plan.plan import StudyPlan


def plan(
    study: StudyFile,
    overrides: Overrides = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Estimate the hours by two epochs of trials.")
    ] = False,
) -> None:
    """Show what a study would do; nothing is started."""
    from tune.plan.lines import plan_lines  # slow: numpy
    from tune.plan.past_pace import disk_line  # slow: numpy

    made = planned_study(study, overrides)
    pace = _probe(made) if probe else _known_pace(made)
    for line in [*plan_lines(made, pace), disk_line(made)]:
        typer.echo(line)


def tune(study: StudyFile, overrides: Overrides = None) -> None:
    """Run a study. Ctrl-C is safe: `segtune resume` goes on where it was."""
    from tune.directory.reader import refuse_begun  # slow: Optuna

    made = planned_study(study, overrides)
    refuse_begun(made.directory)
    run_planned(made, resume=False)


def resume(study_dir: StudyFolder, overrides: Overrides = None) -> None:
    """Go on with an interrupted study; --set may raise its budget."""
    from tune.directory.reader import StudyDir  # slow: Optuna
    from tune.plan.resume import plan_resumed  # slow: Optuna

    run_planned(plan_resumed(StudyDir.open(study_dir), overrides or []), resume=True)


def status(study_dir: StudyFolder) -> None:
    """Show a study's trials, running or ended."""
    from tune.directory.reader import StudyDir  # slow: Optuna
    from tune.progress.status import status_lines  # slow: rich

    for line in status_lines(StudyDir.open(study_dir)):
        typer.echo(line)


def report(study_dir: StudyFolder) -> None:
    """Write leaderboard.csv, report.html, report.md and report.json of a study."""
    for path in _write_results(study_dir):
        typer.echo(f"wrote {path}")


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


def clean(
    study_dir: StudyFolder,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed, and how large it is.")
    ] = False,
) -> None:
    """Remove what neither resume nor export needs: checkpoints of trials that have ended."""
    from tune.directory import leftovers  # slow: Optuna
    from tune.directory.reader import StudyDir  # slow: Optuna

    study = StudyDir.open(study_dir)
    found = leftovers.leftovers(study) if dry_run else leftovers.clean(study)
    for one in found:
        typer.echo(f"{one.size / 1e6:10.1f} MB  {one.path}")
    done = "would be freed" if dry_run else "freed"
    total = sum(one.size for one in found) / 1e6
    noun = "folder" if len(found) == 1 else "folders"
    typer.echo(f"{total:10.1f} MB  {done}, {len(found)} {noun}; best models and artifacts stay")


def planned_study(study: Path, overrides: list[str] | None) -> "StudyPlan":
    """Plan the study of a file, with the values of `--set`."""
    from tune.plan.planning import plan_file  # slow: numpy

    return plan_file(study, overrides or [])


def run_planned(plan: "StudyPlan", *, resume: bool) -> None:
    """Run a study to its leaderboard and report, and say what to do next."""
    from tune.progress.status import next_step  # slow: rich
    from tune.progress.terminal import make_progress  # slow: rich
    from tune.tracking.wandb import tracking_line  # for a study that was run

    result = _tuned(plan, [make_progress()], resume=resume)
    if line := tracking_line(plan.study.tracking, plan.directory):
        typer.echo(line)
    typer.echo("writing leaderboard and report")
    for path in _write_results(plan.directory):
        typer.echo(f"wrote {path}")
    step = next_step(plan.study, plan.directory, len(result.outcomes), plan.trials)
    if result.reason == "interrupted":
        typer.echo(f"interrupted; {step}", err=True)
        raise typer.Exit(130)
    if result.reason == "out of time":
        typer.echo(step)
    failed = [n for n, o in result.outcomes.items() if o.state == "failed"]
    if result.outcomes and len(failed) == len(result.outcomes):
        last = result.outcomes[failed[-1]]
        typer.echo(
            f"segtune: all {len(failed)} trials failed; the last: {last.message}; see "
            f"{plan.directory / 'trials' / str(failed[-1]) / 'train.log'}",
            err=True,
        )
        raise typer.Exit(1)


def _tuned(plan: "StudyPlan", observers: Sequence[Any], *, resume: bool) -> "StudyResult":
    from tune.driver.driver import run_study  # slow: Ray

    return run_study(plan, observers, resume=resume)


def _write_results(study_dir: Path) -> list[Path]:
    from tune.directory.reader import StudyDir  # slow: Optuna

    opened = StudyDir.open(study_dir)  # refused before what follows is waited for
    from analysis.report.leaderboard import write_leaderboard  # slow: Optuna
    from analysis.report.report import write_report  # slow: plotly

    trials = opened.trials()
    return [write_leaderboard(opened, trials), write_report(opened, trials)]


def _probe(plan: "StudyPlan") -> "Pace":
    from tune.driver.probe import probe  # slow: Optuna
    from tune.plan.past_pace import keep_probed  # slow: numpy

    pace = probe(plan)
    keep_probed(plan, pace)
    return pace


def _known_pace(plan: "StudyPlan") -> "Pace | None":
    from tune.plan.past_pace import known_pace  # slow: numpy

    return known_pace(plan)
