"""The process that holds a worker's W&B runs; `tune.tracking.wandb` starts it and feeds it.

W&B patches `sys.exit`, waits for its uploads at the interpreter's end however long they take and
keeps state for the whole process. In a process of its own it can do neither harm nor delay: the
trial's worker writes lines to it and never waits.

Commands come as JSON lines on standard input (`start`, `log`, `artifact`, `finish`), one run
after another; events go as JSON lines to standard output. When the input ends with a run open,
its trial was killed or interrupted: what was logged is kept and the run stays unfinished.
"""

import atexit
import contextlib
import json
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from trainables.goal import Goal
from tune.directory.layout import CHECK
from tune.directory.trials import UNFINISHED
from tune.tracking.connection import Connection, base_url, connection
from tune.tracking.offline import OfflineRun, load_offline_run
from tune.tracking.summary import EPOCH, best_summary, finds_of, goal_of_plain

INIT_S = 20.0  # for the server to accept a run

FLUSH_S = 0.5  # until a logged epoch is on disk

WRITTEN_S = 10.0  # for a run to be seen on disk; until then the records it supersedes stay

ENDING_S = 20.0  # for this process to end after its worker has


class RunRecorder:
    """Records one run after another with W&B, as it is commanded to.

    Attributes:
        open: Whether a run is being recorded.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        self.open = False
        self._tell = tell
        self._run: Any = None
        self._online = False
        self._warned = False
        self._uploaded: frozenset[int] = frozenset()
        self._epochs: dict[int, Mapping[str, float]] = {}
        self._best: Mapping[str, float] = {}
        self._artifacts: dict[str, tuple[str, list[Path]]] = {}

    def obey(self, command: Mapping[str, Any]) -> None:
        """Carry out one command; W&B's troubles are told once a run and otherwise ignored."""
        arguments = {key: value for key, value in command.items() if key != "do"}
        with self._troubles_told():
            getattr(self, f"_{command['do']}")(**arguments)
        if command["do"] == "finish":
            self.open = False
            self._tell("finished")

    def _start(self, run: Mapping[str, Any], past: Sequence[Mapping[str, float]]) -> None:
        if self.open:
            self._finish({"state": "waiting"})
        self.open, self._warned, self._run = True, False, None
        self._wanted, self._artifacts = run, {}
        self._epochs, self._best = {}, {}
        where = connection(run["mode"])
        if where.mode == "online":
            where = self._begin_online()
        if where.mode == "offline":
            self._run = _begin(run, "offline")
        if self._run is None:
            return
        self._online = where.mode == "online"
        _define_metrics(self._run, goal_of_plain(run["goal"]))
        self._folder = Path(self._run.settings.sync_dir)
        _remove_links(self._folder)
        self._tell("recording", mode=where.mode, reason=where.reason, folder=str(self._folder))
        self._uploaded = frozenset(
            range(self._run.starting_step)
            if self._online
            else synced_steps(self._folders(), run["project"])
        )
        self._tell("there", epochs=len(self._uploaded - {0}))
        for metrics in past:
            self._log(metrics)
        missing = [int(m["epoch"]) for m in past if m["epoch"] not in self._uploaded]
        if not self._online and _seen(
            self._folder, lambda written: [step for step, _ in written.history] == missing
        ):
            self._remove_older()

    def _begin_online(self) -> Connection:
        try:
            self._run = _begin(self._wanted, "online")
        except Exception as error:  # noqa: BLE001  whatever it is, the record is kept offline
            return Connection("offline", f"{base_url()} refused the run ({error})")
        return Connection("online")

    def _log(self, metrics: Mapping[str, float]) -> None:
        epoch = int(metrics["epoch"])
        if self._run is None:
            return
        self._epochs[epoch] = metrics
        if epoch not in self._uploaded:
            self._run.log(dict(metrics), step=epoch, commit=True)
        self._summarise()

    def _summarise(self, best: int | None = None) -> None:
        """Bring the best epoch so far into the run's summary, where it is another than before."""
        found = best_summary(goal_of_plain(self._wanted["goal"]), self._epochs, best)
        if found != self._best:
            self._run.summary.update(found)
            self._best = found

    def _artifact(self, path: str, kind: str, name: str) -> None:
        self._artifacts.setdefault(name, (kind, []))[1].append(Path(path))

    def _finish(self, outcome: Mapping[str, Any], best: int | None = None) -> None:
        if self._run is None:
            return
        self._summarise(best)
        for name, (kind, files) in self._artifacts.items():
            with self._troubles_told():
                self._log_artifact(name, kind, files)
        with self._troubles_told():
            self._show_finds()
        unfinished = outcome.get("state") in UNFINISHED
        study = {"study": self._wanted["group"]}
        said = {key: value for key, value in outcome.items() if key != CHECK}
        self._run.summary.update({**_without_none(said), **study})
        if unfinished:  # with an exit code above 0, W&B shows such a run as preempted
            self._run.mark_preempting()
        self._run.finish(exit_code=int(unfinished or outcome.get("state") == "failed"))
        _remove_links(self._folder)
        if self._online:  # so that `wandb sync` and later attempts know that it is uploaded
            synced_mark(self._folder).touch()
        if _seen(self._folder, lambda written: written.exit_code is not None):
            self._remove_older()

    def _show_finds(self) -> None:
        """Put the pictures of the best epoch's finds into the summary: W&B's table shows them."""
        import wandb  # slow; where it cannot be imported, that is told as any trouble of its

        files = [file for _, kept in self._artifacts.values() for file in kept]
        shown = finds_of(int(self._best.get(EPOCH, 0)), files)
        pictures = {key: wandb.Image(str(file), caption=file.stem) for key, file in shown.items()}
        self._run.summary.update(pictures)

    def _log_artifact(self, name: str, kind: str, files: Sequence[Path]) -> None:
        import wandb  # slow; where it cannot be imported, that is told as any trouble of its

        artifact = wandb.Artifact(name, type=kind)
        for file in files:
            inside = f"best{file.suffix}" if kind == "model" else file.name
            # By reference to the study directory: no second copy there or in W&B's caches.
            artifact.add_file(str(file), name=inside, policy="immutable", skip_cache=True)
        self._run.log_artifact(artifact)

    def _remove_older(self) -> None:
        """Remove what this run supersedes: earlier attempts' records that nobody has uploaded.

        A run that is uploaded supersedes all of them; an offline one has the epochs of the
        offline ones.
        """
        attempt = self._wanted["attempt"]
        older = [f for f in self._folders() if f != self._folder and _attempt(f) <= attempt]
        for folder in older:
            superseded = self._online or folder.name.startswith("offline-")
            if superseded and not synced_mark(folder).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """All folders of this trial's run."""
        return sorted(self._folder.parent.glob(f"*run-*-{self._wanted['run_id']}-*"))

    @contextlib.contextmanager
    def _troubles_told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  no trouble of W&B's may reach the trial
            if not self._warned:
                self._tell("warning", message=f"{type(error).__name__}: {error}")
            self._warned = True


def _begin(wanted: Mapping[str, Any], mode: Literal["online", "offline"]) -> Any:
    import wandb  # slow; where it cannot be imported, that is told as any trouble of its

    settings = wandb.Settings(
        console="off",
        disable_git=True,
        disable_job_creation=True,
        init_timeout=INIT_S,
        label_disable=True,
        program="segtune",
        reinit="create_new",
        root_dir=str(Path(wanted["directory"]).parent),
        save_code=False,
        silent=True,
        stop_fn=lambda: None,  # stopping a trial is the study's business, not the web page's
        symlink=False,
        use_dot_wandb=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
        x_sync_dir_suffix=f"{wanted['attempt']}.{os.getpid()}.{time.monotonic_ns()}",
        x_transaction_log_flush_interval=FLUSH_S,
    )
    return wandb.init(
        project=wanted["project"],
        entity=wanted["entity"],
        id=wanted["run_id"],
        name=wanted["name"],
        group=wanted["group"],
        tags=wanted["tags"],
        config=wanted["config"],
        resume="allow",
        mode=mode,
        settings=settings,
    )


def _define_metrics(run: Any, goal: Goal) -> None:
    """Let a run's table show the best epoch's values, and never the last one's in their place.

    W&B shows a metric's last value where nothing else is said. An extreme of the objective is that
    of the best epoch only where there are no limits, which the epoch of the extreme might break.
    """
    run.define_metric("epoch", summary="max")
    run.define_metric("*", step_metric="epoch", summary="none")
    summary = "none" if goal.limits else goal.mode
    if goal.metric != "epoch":
        run.define_metric(goal.metric, step_metric="epoch", summary=summary)


def _attempt(folder: Path) -> int:
    """The attempt that wrote a run's folder, from its suffix; 0 where it has none of ours."""
    number = folder.name.rpartition("-")[2].partition(".")[0]
    return int(number) if number.isdigit() else 0


def synced_mark(folder: Path) -> Path:
    """The empty file with which `wandb sync` marks a run's folder as uploaded."""
    file = next(folder.glob("run-*.wandb"), folder / "run.wandb")
    return file.with_suffix(".wandb.synced")


def synced_steps(folders: Sequence[Path], project: str) -> set[int]:
    """Steps in the folders that have been uploaded to a project.

    A mark counts for what was logged before it was set, and for the project that the run was of.
    """
    found: set[int] = set()
    for folder in folders:
        mark = synced_mark(folder)
        if not mark.exists():
            continue
        run = OfflineRun()  # nothing is known of what a damaged file says was uploaded
        with contextlib.suppress(OSError, ValueError):
            run = load_offline_run(folder)
        if run.project == project:
            found |= {step for step, at in run.logged_at.items() if at <= mark.stat().st_mtime}
    return found


def _seen(folder: Path, condition: Callable[[OfflineRun], bool]) -> bool:
    """Whether the run's file fulfils a condition; W&B writes it some time after it says so."""
    deadline = time.monotonic() + WRITTEN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if condition(load_offline_run(folder)):
                return True
        time.sleep(FLUSH_S / 10)
    return False


def _remove_links(folder: Path) -> None:
    for path in (folder / "logs").glob("*"):
        if path.is_symlink():
            path.unlink()


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


# --- the process
def main(scratch: Path) -> None:
    """Obey the lines on standard input until it ends.

    Args:
        scratch: W&B's caches; removed at the end.
    """
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)  # before W&B's, so run after it
    lines, events = _own_streams()
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_feed, args=(lines, commands, scratch), daemon=True).start()
    recorder = RunRecorder(lambda event, **values: _write(events, {"event": event, **values}))
    for line in iter(commands.get, ""):
        recorder.obey(json.loads(line))
    if recorder.open:  # its worker is gone: leave the run as it is, without W&B's own ending
        time.sleep(2 * FLUSH_S)
        _end_at_once(scratch)


def _own_streams() -> tuple[IO[str], IO[str]]:
    """Take standard input and output; what else reads or prints here gets nothing or stderr."""
    lines, events = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return lines, events


def _feed(lines: IO[str], commands: "queue.SimpleQueue[str]", scratch: Path) -> None:
    for line in lines:
        if line.endswith("\n"):  # else its writer was killed in the middle of it
            commands.put(line)
    commands.put("")
    time.sleep(ENDING_S)
    _end_at_once(scratch)


def _end_at_once(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _write(events: IO[str], event: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        events.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
