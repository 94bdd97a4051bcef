"""A study's trials brought to Weights & Biases from what its folders hold, whenever that is asked.

What a run lacks there is taken from the study directory and not from W&B's own files: epochs from
the metrics table, state and reason from the outcome, artifacts from the latest attempt. The server
says which epochs of a run it has, so that each arrives once and in order, however often, from
whatever attempt and to whichever project it is uploaded.
"""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.files.scratch import make_scratch
from tune.directory.layout import ELAPSED, OUTCOME, read_json
from tune.directory.lock import is_driven
from tune.directory.reader import StudyDir, TrialRecord
from tune.directory.trials import UNFINISHED
from tune.errors import TrackingError
from tune.tracking.connection import connection
from tune.tracking.summary import plain_goal, run_tags
from tune.tracking.tracker import run_config, run_id, run_name
from tune.tracking.wandb import recording_environment


@dataclass(frozen=True)
class Uploaded:
    """A trial that was brought to W&B.

    Attributes:
        trial: Number of the trial.
        state: State that the run has there.
        epochs: Number of epochs of the trial.
        there: Number of them that the run had before.
    """

    trial: int
    state: str
    epochs: int
    there: int

    def line(self) -> str:
        """One line for the user."""
        before = f", {self.there} of them there before" if self.there else ""
        return f"trial {self.trial}: {self.state}, {self.epochs} epochs{before}"


def upload(
    study: StudyDir,
    project: str | None = None,
    entity: str | None = None,
    told: Callable[[Uploaded], None] = lambda _: None,
) -> list[Uploaded]:
    """Bring a study's trials to W&B, in order; what is there stays as it is.

    Args:
        study: The study, running or ended.
        project: Project to upload to; the study's own if None.
        entity: User or team that the project is of; the study's own if None.
        told: Told of each trial.

    Raises:
        TrackingError: W&B cannot be reached, or does not take a run.
        StoreError: The study's files cannot be read, or disagree.
    """
    trials = [trial for trial in study.trials() if not _is_recorded_online(study, trial)]
    _refuse_unreachable()
    own = study.study.tracking.wandb
    where = {"project": project or own.project or "segtune", "entity": entity or own.entity}
    done = []
    with _recording_process() as recorder:
        for trial in trials:
            if trial.epochs or trial.state not in UNFINISHED:
                done.append(recorder.record(study, trial, where))
                told(done[-1])
    return done


def _refuse_unreachable() -> None:
    found = connection("online")
    if found.mode != "online":
        raise TrackingError(f"W&B: expected a server that takes runs, got none: {found.reason}")


def _is_recorded_online(study: StudyDir, trial: TrialRecord) -> bool:
    """Whether a running driver is sending the trial's epochs to W&B itself just now."""
    if trial.state not in UNFINISHED or not is_driven(study.path):
        return False
    folders = sorted((trial.directory / "wandb").glob("*run-*"), key=lambda f: f.stat().st_mtime)
    return bool(folders) and folders[-1].name.startswith("run-")


class _Recorder:
    """The process that holds the runs, sent one trial after another.

    Args:
        process: `tune.tracking.process`, with pipes to and from it.
        folder: Where W&B's own files may lie; nothing is written into the study.
    """

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._folder = folder

    def record(self, study: StudyDir, trial: TrialRecord, where: Mapping[str, Any]) -> Uploaded:
        """Bring one trial to W&B, and wait until it is there.

        Raises:
            TrackingError: W&B does not take it.
        """
        outcome = read_json(trial.directory / OUTCOME) if trial.state not in UNFINISHED else {}
        ended = {**outcome, "state": trial.state}
        self._send(
            {"do": "start", "run": _run(study, trial, where, self._folder), "past": _past(trial)}
        )
        for path, kind, name in _artifacts(trial) if trial.state not in UNFINISHED else ():
            self._send({"do": "artifact", "path": str(path), "kind": kind, "name": name})
        self._send({"do": "finish", "outcome": ended, "best": trial.best_epoch})
        there = self._wait(trial.number)
        return Uploaded(
            trial.number, trial.state, len(trial.metrics), min(there, len(trial.metrics))
        )

    def _send(self, command: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # that it is dead is found out by the one who listens
            self._process.stdin.write(json.dumps(command, default=str) + "\n")
            self._process.stdin.flush()

    def _wait(self, number: int) -> int:
        """Wait for a run to be taken; returns the number of epochs that it had before."""
        assert self._process.stdout is not None
        there, trouble = 0, ""
        for line in self._process.stdout:
            event = json.loads(line)
            match event["event"]:
                case "recording" if event["mode"] != "online":
                    raise TrackingError(f"trial {number}: W&B does not take it: {event['reason']}")
                case "there":
                    there = event["epochs"]
                case "warning":
                    trouble = trouble or event["message"]
                case "finished" if trouble:
                    raise TrackingError(f"trial {number}: W&B does not take all of it: {trouble}")
                case "finished":
                    return there
        raise TrackingError(f"trial {number}: W&B's process ended; upload again to go on")


@contextlib.contextmanager
def _recording_process() -> Iterator[_Recorder]:
    folder = Path(make_scratch("wandb"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tune.tracking.process", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env=recording_environment(folder),
        start_new_session=True,  # Ctrl-C is ours to answer
    )
    try:
        yield _Recorder(process, folder)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    study: StudyDir, trial: TrialRecord, where: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """The run as the recording process is asked for it; one id a trial, whoever uploads it."""
    resolved = study.resolved
    directory = folder / str(trial.number) / "wandb"
    directory.mkdir(parents=True)
    config = run_config(
        params={**trial.fixed, **trial.params},
        study=study.study.study,
        goal=study.study.objective.goal,
        engine=resolved["engine"],
        data=(
            resolved.get("data_name", Path(resolved["data"]).name),
            resolved["fingerprint"],
        ),
        epochs=resolved["epochs"],
        seed=trial.seed,
        trial=trial.number,
    )
    return {
        "mode": "online",
        **where,
        "run_id": run_id(study.study.study, resolved["created"], trial.number, trial.takeover),
        "name": run_name(trial.number, trial.takeover),
        "group": study.study.study,
        "config": config,
        "tags": run_tags(config),
        "goal": plain_goal(study.study.objective.goal),
        "directory": str(directory),
        "attempt": 1,
    }


def _past(trial: TrialRecord) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != ELAPSED} for line in trial.metrics]


def _artifacts(trial: TrialRecord) -> Iterator[tuple[Path, str, str]]:
    """File, kind and name of each artifact of an ended trial, as its tracker was given them."""
    if trial.best_model is not None:
        yield trial.best_model.absolute(), "model", f"best_model_trial_{trial.number}"
    kept: Sequence[Path] = sorted(trial.artifacts.rglob("*")) if trial.artifacts else ()
    for path in kept:
        if path.is_file():
            yield path.absolute(), "curves", f"training_curves_trial_{trial.number}"
