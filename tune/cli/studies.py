"""Verbs about studies, from init, plan and tune to report, confirm and clean."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.jobs.login import ADDRESS_VARIABLE
from tune.cli.jobs.options import (
    Address,
    AnyVersions,
    Follow,
    Insecure,
    KeepAlive,
    SendData,
    ThereAddress,
    ThereName,
    the_cluster,
)
from tune.cli.jobs.there import (
    There,
    confirm_there,
    refuse_beside_address,
    refuse_without_address,
)
from tune.cli.options import (
    DataGiven,
    EngineName,
    NoDownload,
    NoUpload,
    Overrides,
    StudyFile,
    StudyPlace,
    StudyPlaces,
    number_option,
)
from tune.cli.values import new_file
from tune.errors import StoreError, UsageError
from tune.progress.folding import on_terminal

if TYPE_CHECKING:
    from cluster.jobs.cluster import Cluster
    from tune.driver.driver import StudyResult
    from tune.plan.pace import Pace
    from tune.plan.plan import StudyPlan
    from tune.progress.conclusion import Conclusion


def init(
    data: DataGiven,
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
    from tune.verbs.planning import plan as plan_study  # slow: numpy

    made = plan_study(study, overrides or [])
    pace = _probe(made) if probe else _known_pace(made)
    for line in on_terminal([*plan_lines(made, pace), disk_line(made), *_fetched(made)]):
        typer.echo(line)


def tune(study: StudyFile, overrides: Overrides = None, no_upload: NoUpload = False) -> None:
    """Run a study. Ctrl-C is safe: `segtune resume` goes on where it was."""
    from tune.directory.reader import refuse_begun  # slow: Optuna
    from tune.verbs.planning import plan as plan_study  # slow: numpy

    made = plan_study(study, overrides or [])
    refuse_begun(made.directory)  # before Ray is waited for
    for line in on_terminal(f"note: {note}" for note in made.notes or ()):
        typer.echo(line)
    from tune.progress.terminal import make_progress  # slow: rich
    from tune.verbs.tuning import tune as run  # slow: Ray

    _conclude(made, run(made, observers=[make_progress()], upload=not no_upload))


def resume(
    study_dir: StudyPlace,
    overrides: Overrides = None,
    or_start: Annotated[
        bool,
        typer.Option("--or-start", help="Start a study file's study where it has not begun."),
    ] = False,
    no_download: NoDownload = False,
    no_upload: NoUpload = False,
) -> None:
    """Go on with an interrupted study; --set may raise its budget."""
    from tune.plan.resume import plan_resumed  # slow: Optuna
    from tune.verbs.opening import has_begun, open_to_resume  # slow: Optuna

    if or_start and not has_begun(study_dir):
        tune(Path(study_dir), overrides, no_upload)
        return
    opened, moved = open_to_resume(study_dir, download=not no_download)
    made = plan_resumed(opened, [*moved, *(overrides or [])])  # before Ray is waited for
    from tune.progress.terminal import make_progress  # slow: rich
    from tune.verbs.tuning import resume as go_on  # slow: Ray

    _conclude(made, go_on(made, observers=[make_progress()], upload=not no_upload))


def move(
    study_dir: Annotated[
        str,
        typer.Argument(
            metavar="STUDY_DIR",
            help="A study directory, its study file, gs://BUCKET/FOLDER/STUDY, or with --address "
            "a job.",
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="PLACE",
            help="URL of the cluster, or the folder of this machine, to go on in; or "
            "gs://BUCKET/FOLDER to ship to from now on.",
        ),
    ],
    overrides: Overrides = None,
    through: Annotated[
        str,
        typer.Option(
            "--through",
            metavar="PLACE",
            help="To a cluster: gs://BUCKET/FOLDER, or a folder that it sees, for a study that is "
            "shipped nowhere yet.",
        ),
    ] = "",
    address: Address = None,
    keep_alive: KeepAlive = 0,
    any_versions: AnyVersions = False,
    send_data: SendData = False,
    insecure: Insecure = False,
) -> None:
    """Go on elsewhere with a study that runs: on a cluster, here, or with a bucket; loses nothing.

    The options after --set are for clusters: --address is the one that the study runs on as a job.
    """
    from tune.verbs.moving import interruption_told, paused_at, plan_move  # slow: Optuna

    with interruption_told(lambda: "nobody was asked to pause, and the study is as it was"):
        if address is not None:
            study_dir = _mirror_of_job(study_dir, the_cluster(address, insecure))
        if to.startswith(("http://", "https://")):
            wishes = (keep_alive, any_versions, send_data)
            _move_to_cluster(study_dir, the_cluster(to, insecure), wishes, overrides or [], through)
            return
        _refuse_clusters_own(through, keep_alive, any_versions, send_data)
        made = plan_move(study_dir, to, overrides or [], _note)
    with interruption_told(lambda: paused_at(made.directory)):
        from tune.progress.terminal import make_progress  # slow: rich
        from tune.verbs.tuning import resume as go_on  # slow: Ray

        _conclude(made, go_on(made, observers=[make_progress()]))


def _mirror_of_job(name: str, cluster: "Cluster") -> str:
    from tune.remote.moving import mirror_of_job  # slow: requests

    return mirror_of_job(cluster, name)


def _move_to_cluster(
    place: str,
    cluster: "Cluster",
    wishes: tuple[int, bool, bool],
    overrides: list[str],
    through: str,
) -> None:
    from tune.remote.moving import move_to_cluster, waiting_told  # slow: numpy
    from tune.remote.submitting import Wanted, wait_until_begun  # as the other

    wanted = Wanted(None, *wishes)
    job, mirror = move_to_cluster(place, cluster, wanted, overrides, _note, through)
    with waiting_told(cluster, job.name, mirror, _note):
        job = wait_until_begun(cluster, job, _note)
    at = shlex.quote(cluster.login.address)
    typer.echo(f"segtune logs {job.name} --address {at} --follow")


def _refuse_clusters_own(through: str, *given: object) -> None:
    """Refuse options that say how a study goes on on a cluster, where it goes on elsewhere."""
    if through or any(given):
        raise UsageError(
            "--through, --keep-alive, --any-versions and --send-data: expected with the URL of a "
            "cluster alone, such as --to http://localhost:8265"
        )


def status(
    study_dir: StudyPlace,
    every: Annotated[
        bool, typer.Option("--all", help="Show every trial, not the 100 best.")
    ] = False,
    no_download: NoDownload = False,
    address: Address = None,
    insecure: Insecure = False,
) -> None:
    """Show a study's trials, running or ended, best first; with --address those of a job."""
    if address is not None:
        from tune.remote.overseeing import remote_status  # slow: requests

        cluster = the_cluster(address, insecure)
        typer.echo(remote_status(cluster, str(study_dir), _note, every=every))
        return
    from tune.progress.status import STATUS_ROWS, status_lines  # slow: rich
    from tune.verbs.opening import open_study  # slow: Optuna

    try:
        opened = open_study(study_dir, download=not no_download)
    except StoreError as error:
        if ADDRESS_VARIABLE not in os.environ or Path(str(study_dir)).exists():
            raise
        raise StoreError(f"{error}. A job is shown with --address ${ADDRESS_VARIABLE}") from error
    lines = status_lines(opened, rows=None if every else STATUS_ROWS)
    for line in on_terminal(lines):
        typer.echo(line)


def report(study_dir: StudyPlace, no_download: NoDownload = False) -> None:
    """Write leaderboard.csv, report.html, report.md and report.json of a study."""
    from tune.mirror.opening import results  # slow: Optuna
    from tune.verbs.opening import open_study  # slow: Optuna

    opened = open_study(study_dir, results, download=not no_download)
    from tune.verbs.reporting import report as write_results  # slow: plotly

    for path in write_results(opened.path):
        typer.echo(f"wrote {path}")


def confirm(
    study_dir: StudyPlace,
    top: Annotated[
        int | None, number_option("--top", "Number of the best that race; default: 5.", 1)
    ] = None,
    trainings: Annotated[
        int | None,
        number_option("--trainings", "Most trainings that the race may take; default: 25.", 4),
    ] = None,
    concurrent: Annotated[
        int | None,
        number_option("--concurrent", "Trainings at once; default: as in the study.", 1),
    ] = None,
    resplit: Annotated[
        bool, typer.Option("--resplit", help="Draw train and val anew; test stays.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be trained, and how long.")
    ] = False,
    address: ThereAddress = None,
    name: ThereName = None,
    follow: Follow = False,
    insecure: Insecure = False,
) -> None:
    """Race a study's best and the default with fresh seeds; killed, the same command goes on.

    With --address it is a job of a cluster, and STUDY_DIR the name of a study's job there.
    """
    race_options: dict[str, Any] = {"top": top, "trainings": trainings, "concurrent": concurrent}
    if address is not None:
        refuse_beside_address("confirm", {"--dry-run": dry_run or None})
        there = There(address, insecure, name, follow)
        confirm_there(study_dir, {**race_options, "resplit": resplit}, there)
        return
    refuse_without_address("confirm", {"--name": name, "--follow": follow or None})
    from analysis.confirm.planning import plan_race  # slow: numpy
    from analysis.confirm.words import race_lines  # loaded with it
    from tune.verbs.opening import open_study  # slow: Optuna

    made = plan_race(open_study(study_dir), **race_options, new_parts=resplit)
    for line in on_terminal(race_lines(made)):
        typer.echo(line)
    if dry_run:
        return
    from tune.progress.terminal import make_progress  # slow: rich
    from tune.verbs.confirming import conclude_race  # slow: Ray
    from tune.verbs.confirming import confirm as race  # slow: Ray

    _tell(conclude_race(race(made, observers=[make_progress()])))


def dashboard(
    studies: StudyPlaces,
    port: Annotated[
        int, number_option("--port", "Port to listen on; 0: any that is free.", most=65535)
    ] = 8080,
) -> None:
    """Show studies in optuna-dashboard, on this machine and read only. Ctrl-C ends it."""
    from tune.dashboard.server import HOST, dashboard_server  # slow: Optuna
    from tune.verbs.opening import open_study  # slow: Optuna

    server = dashboard_server([open_study(place) for place in studies], port)
    many = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    typer.echo(f"{many}, read only: http://{HOST}:{server.server_port} (Ctrl-C ends it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("ended", err=True)
    finally:
        server.server_close()


def clean(
    study_dir: StudyPlace,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed, and how large it is.")
    ] = False,
) -> None:
    """Remove what neither resume nor export needs: checkpoints of trials that have ended."""
    from tune.directory import leftovers  # slow: Optuna
    from tune.verbs.opening import open_study  # slow: Optuna

    study = open_study(study_dir)
    found = leftovers.leftovers(study) if dry_run else leftovers.clean(study)
    for one in found:
        typer.echo(f"{one.size / 1e6:10.1f} MB  {one.path}")
    done = "would be freed" if dry_run else "freed"
    total = sum(one.size for one in found) / 1e6
    noun = "folder" if len(found) == 1 else "folders"
    typer.echo(f"{total:10.1f} MB  {done}, {len(found)} {noun}; best models and artifacts stay")


def _conclude(plan: "StudyPlan", result: "StudyResult") -> None:
    """Say where the results of a run are and what to do next."""
    from tune.verbs.concluding import conclude  # loaded already

    _tell(conclude(plan, result))


def _tell(said: "Conclusion") -> None:
    """Say how a run has ended, and end with its exit code."""
    for line in on_terminal(said.lines):
        typer.echo(line)
    problems = [line for text in said.problems for line in text.split("\n")]
    for line in on_terminal(problems, sys.stderr):
        typer.echo(line, err=True)
    if said.exit_code:
        raise typer.Exit(said.exit_code)


def _note(line: str) -> None:
    typer.echo(line, err=True)


def _probe(plan: "StudyPlan") -> "Pace":
    from tune.driver.probe import probe  # slow: Optuna
    from tune.plan.past_pace import keep_probed  # slow: numpy

    pace = probe(plan)
    keep_probed(plan, pace)
    return pace


def _fetched(plan: "StudyPlan") -> list[str]:
    """A line on the pictures of a data set in a bucket."""
    from tune.datasets.copies import fetch_line  # slow: numpy
    from tune.datasets.opening import in_bucket  # slow: numpy

    place = plan.study.data
    return [fetch_line(plan.data, str(place))] if in_bucket(place) else []


def _known_pace(plan: "StudyPlan") -> "Pace | None":
    from tune.plan.past_pace import known_pace  # slow: numpy

    return known_pace(plan)
