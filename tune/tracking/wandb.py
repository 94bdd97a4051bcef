"""The tracker that keeps a record of each trial with Weights & Biases.

One W&B run a trial, whatever crashes: its id follows from study and trial, a new attempt goes on
with it. A trial never waits for W&B and never fails because of it: the run lives in a process of
its own (`tune.tracking.process`), fed by a thread.
"""

import contextlib
import json
import logging
import os
import queue
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.files.scratch import make_scratch
from tune.tracking.connection import connection
from tune.tracking.summary import plain_goal, run_tags
from tune.tracking.tracker import NullTracker, RunInfo, Tracker, run_name

if TYPE_CHECKING:
    from trainables.contract import ArtifactKind
    from tune.study.study import Tracking, Wandb


log = logging.getLogger(__name__)

FINISH_S = 30.0  # for W&B to take the last of a trial; what it has not by then waits for a sync

END_S = 5.0  # for the recording process to end by itself

RESTARTS = 1  # of the recording process, in one trial

# What of the environment reaches W&B: credentials and addresses. Its other variables would
# rename, regroup or redirect our runs.
_PASSED_ON = frozenset(
    f"WANDB_{name}"
    for name in (
        "API_KEY",
        "APP_URL",
        "BASE_URL",
        "CONFIG_DIR",
        "CREDENTIALS_FILE",
        "IDENTITY_TOKEN_FILE",
        "INSECURE_DISABLE_SSL",
        "MODE",
    )
)


def make_tracker(spec: "Tracking") -> Tracker:
    """The tracker a study asks for."""
    if spec.wandb.mode == "disabled":
        return NullTracker()
    return WandbTracker(spec.wandb)


def sync_command(study_dir: Path) -> str:
    """The command that uploads a study's runs."""
    return f"segtune wandb upload {shlex.quote(str(study_dir))}"


def tracking_line(spec: "Tracking", study_dir: Path) -> str | None:
    """One line for the user where runs are kept offline, saying why and how to upload them.

    Asks the server whether it is there, which takes at most some seconds.
    """
    where = connection(spec.wandb.mode)
    if where.mode != "offline":
        return None
    return f"W&B offline: {where.reason}. Upload later: {sync_command(study_dir)}"


# --- W&B
@dataclass
class _Recording:
    """One trial's record on its way to the recording process.

    Attributes:
        trial: The trial's number.
        commands: All sent so far; sent again should the process die.
        restarts: Number of times the process died under it.
        directory: Folder of the run's files.
        over: Set when the process has closed the run, or cannot.
    """

    trial: int
    directory: Path
    commands: list[Mapping[str, Any]] = field(default_factory=list)
    restarts: int = 0
    over: threading.Event = field(default_factory=threading.Event)


class WandbTracker:
    """One W&B run a trial, recorded by a process that outlives trials but not its owner.

    Args:
        spec: The study's W&B settings.
        finish_s: Seconds that `finish` waits at most.
    """

    def __init__(self, spec: "Wandb", finish_s: float = FINISH_S) -> None:
        self._spec = spec
        self._finish_s = finish_s
        self._mode = spec.mode
        self._recording: _Recording | None = None
        self._process: _Process | None = None
        self._inbox: queue.SimpleQueue[tuple[_Recording, Mapping[str, Any]] | _Process] = (
            queue.SimpleQueue()
        )
        self._feeder = threading.Thread(target=self._feed, name="wandb-feeder", daemon=True)
        self._feeder.start()

    def start(self, run: RunInfo) -> None:
        """Begin the trial's run, or go on with it."""
        self._recording = _Recording(run.trial, run.directory.absolute())
        wanted = {
            "mode": self._mode,
            "project": self._spec.project or "segtune",
            "entity": self._spec.entity,
            "run_id": run.run_id,
            "name": run_name(run.trial, run.takeover),
            "group": run.study,
            "config": dict(run.config),
            "tags": run_tags(run.config),
            "goal": plain_goal(run.goal),
            "directory": str(self._recording.directory),
            "attempt": run.attempt,
        }
        self._put({"do": "start", "run": wanted, "past": [dict(m) for m in run.past]})

    def log(self, metrics: Mapping[str, float]) -> None:
        """Record one epoch under its own number."""
        self._put({"do": "log", "metrics": dict(metrics)})

    def artifact(self, path: Path, kind: "ArtifactKind", name: str) -> None:
        """Keep a file with the run when it ends: the model as `best`, all else under its name."""
        kind_in_wandb = "model" if kind == "model" else "curves"
        path = path.absolute()
        self._put({"do": "artifact", "path": str(path), "kind": kind_in_wandb, "name": name})

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Close the run with its state; what W&B has not taken in time waits for a sync."""
        recording = self._recording
        if recording is None:
            return
        self._put({"do": "finish", "outcome": dict(outcome)})
        if not recording.over.wait(self._finish_s):
            self._give_up(recording)
        self._recording = None

    def close(self) -> None:
        """End the recording process; an open run stays unfinished."""
        if self._recording is not None:
            self._recording.over.set()
        if self._process is not None:
            self._process.end()

    def _put(self, command: Mapping[str, Any]) -> None:
        if self._recording is not None:
            self._inbox.put((self._recording, command))

    def _give_up(self, recording: _Recording) -> None:
        """W&B hangs: leave the run to a later sync, and keep the next ones on this machine."""
        recording.over.set()
        log.warning(
            "trial %d: W&B has not taken it in %.0f s and goes on in the background; should that "
            "be cut short, upload it with: %s. Further trials of this worker are recorded offline.",
            *(recording.trial, self._finish_s, sync_command(recording.directory.parents[2])),
        )
        self._mode = "offline"
        process, self._process = self._process, None
        if process is not None:
            process.leave_behind()

    # --- the feeder's thread; it alone starts and feeds the process

    def _feed(self) -> None:
        while True:
            item = self._inbox.get()
            if isinstance(item, _Process):
                self._died(item)
            else:
                recording, command = item
                recording.commands.append(command)
                self._send(recording, [command])

    def _send(self, recording: _Recording, commands: Sequence[Mapping[str, Any]]) -> None:
        if recording.over.is_set():
            return
        if self._process is None:
            try:
                self._process = _Process(self._inbox.put)
            except OSError as error:
                log.warning("trial %d: W&B cannot be started: %s", recording.trial, error)
                recording.over.set()
                return
        self._process.send(recording, commands)

    def _died(self, process: "_Process") -> None:
        recording = process.recording
        if process is self._process:
            self._process = None
        if recording is None or recording.over.is_set():
            return
        recording.restarts += 1
        if recording.restarts > RESTARTS:
            log.warning("trial %d: W&B has failed: %s", recording.trial, process.last_words)
            recording.over.set()
            return
        self._send(recording, list(recording.commands))


class _Process:
    """The recording process; every word from it arrives in a thread of its own.

    Args:
        died: Told, with this object, when the process has ended.

    Attributes:
        recording: Whose commands it was last sent.
        last_words: The last line it complained with, once it has ended.
    """

    def __init__(self, died: "Callable[[_Process], None]") -> None:
        self.recording: _Recording | None = None
        self.last_words = ""
        self._left_behind = False
        self._died = died
        self._folder = make_scratch("wandb")
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  the process outlives this
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tune.tracking.process", self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
            cwd=self._folder,
            env=recording_environment(self._folder),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        threading.Thread(target=self._listen, name="wandb-listener", daemon=True).start()

    def send(self, recording: _Recording, commands: Sequence[Mapping[str, Any]]) -> None:
        """Send commands of one recording; that the process is dead its listener finds out."""
        self.recording = recording
        with contextlib.suppress(OSError, ValueError):  # its input is closed
            for command in commands:
                self._stdin.write(json.dumps(command, default=_plain) + "\n")

    def end(self) -> None:
        """Let it end; kill it where it does not."""
        self._close_input()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def leave_behind(self) -> None:
        """Let it end what it has been sent, unwatched; it dies with this process."""
        self._left_behind = True
        if self.recording is None:
            self._process.kill()

    def _listen(self) -> None:
        with self._stdout as lines:
            for line in lines:
                if line.endswith("\n") and self.recording is not None:
                    self._hear(self.recording, json.loads(line))
        self._process.wait()
        with self._errors as errors:
            errors.seek(0)
            self.last_words = (errors.read().strip().splitlines() or ["no message"])[-1]
        self._close_input()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._died(self)

    def _hear(self, recording: _Recording, event: Mapping[str, Any]) -> None:
        if event["event"] == "recording":
            where = f"{event['mode']} {event['reason']}".strip()
            log.info("trial %d: W&B %s, in %s", recording.trial, where, event["folder"])
        elif event["event"] == "warning":
            log.warning("trial %d: W&B: %s", recording.trial, event["message"])
        elif event["event"] == "finished":
            recording.over.set()
            if self._left_behind:
                log.info("trial %d: W&B has taken it after all", recording.trial)
                self._close_input()

    def _close_input(self) -> None:
        with contextlib.suppress(OSError):  # what was not sent is lost, and its reader gone
            self._stdin.close()


def recording_environment(folder: Path) -> dict[str, str]:
    """The recording process's environment: W&B keeps its caches in `folder` and reports nothing."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB") or k in _PASSED_ON}
    paths = [str(Path(path).absolute()) for path in sys.path if path]
    return kept | {
        "PYTHONPATH": os.pathsep.join(paths),
        "WANDB_ARTIFACT_DIR": str(folder),
        "WANDB_CACHE_DIR": str(folder),
        "WANDB_DATA_DIR": str(folder),
        "WANDB_ERROR_REPORTING": "false",
    }


def _plain(value: Any) -> Any:
    """A value JSON does not know: a number as a number, all else as its text."""
    item = getattr(value, "item", None)  # numpy's scalars
    return item() if callable(item) else str(value)
