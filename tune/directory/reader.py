"""A study directory read back, also while a driver runs.

The journal decides what counts; the trial folders hold what is too big for it.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from trainables.goal import Standing, best_of, violation
from trainables.trials.keeping import read_kept
from trainables.trials.layout import BEST_FOLDER
from tune.directory.agreement import TrialFiles, disagreements, lost_trials, refuse
from tune.directory.arrivals import excess_of
from tune.directory.journal import CANNOT_BE, open_storage
from tune.directory.layout import (
    ELAPSED,
    JOURNAL,
    OUTCOME,
    PARAMS,
    RESOLVED,
    STUDY,
    TAKEOVER,
    latest_attempt,
    read_json,
    read_metrics,
    read_notes,
    trial_dir,
    trial_numbers,
)
from tune.directory.lock import driven_since_ns
from tune.directory.trials import UNFINISHED, State, part_words
from tune.errors import StoreError, StudyError
from tune.study.allowed import validation_problems
from tune.study.file import read_study_file
from tune.study.problems import study_error
from tune.study.study import Study

_ENDED: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}

_ALWAYS_RESOLVED = (
    "study",
    "engine",
    "classes",
    "data",
    "fingerprint",
    "epochs",
    "rungs",
    "trials",
)


_NAMED: Final = 3  # studies that a hint names


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the study directory holds it.

    Attributes:
        number: Number that Optuna gave the trial, from 0 on.
        state: State of the trial when it was read.
        params: Sampled values by key.
        fixed: The other values that the trial trains with, by key.
        seed: Seed of the training.
        stop_reason: Rule that ended the trial, a `tune.stopping.decision.Rule`, or "" where it
            has none; `budget` where it waits for more hours.
        rung: Rung at which ASHA ended the trial, or None.
        cutoff: Cut-off that `value` was compared with, or None.
        value: Value that the rule looked at, or None.
        objective: The objective at the best epoch, or None where nothing was reported.
        best_epoch: The best epoch, 1-based, or None.
        last: The objective at the last epoch, or None.
        epochs: Number of epochs trained.
        seconds: Wall time of all attempts.
        metrics: Metrics by name, one mapping an epoch, in order.
        directory: Folder of the trial, trials/<number>.
        attempt: Folder of the latest attempt, or None.
        warm_start: Index of the warm-start point that the trial came from, or None.
        message: Sentence that says why the trial ended.
        excess: Amount by which each constraint is broken at the best epoch, by metric; at most 0
            where it is kept.
        notes: Remarks of the engine.
        part: The part of a machine that it has, in words; "" for the one that all begin with.
        takeover: Term of the mirror since which its W&B run is another one; 0 for none.
    """

    number: int
    state: State
    params: Mapping[str, Any]
    fixed: Mapping[str, Any]
    seed: int
    stop_reason: str
    rung: int | None
    cutoff: float | None
    value: float | None
    objective: float | None
    best_epoch: int | None
    last: float | None
    epochs: int
    seconds: float
    metrics: tuple[Mapping[str, float], ...]
    directory: Path
    attempt: Path | None
    warm_start: int | None
    message: str
    excess: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    part: str = ""
    takeover: int = 0

    @property
    def violation(self) -> float:
        """Amount by which the best epoch breaks all constraints; 0 where it keeps them."""
        return violation(self.excess.values())

    @cached_property
    def best_metrics(self) -> Mapping[str, float]:
        """Every metric at the best epoch."""
        return next((m for m in self.metrics if m["epoch"] == self.best_epoch), {})

    @property
    def best_model(self) -> Path | None:
        """The model of the best epoch, if it was kept."""
        model = self.attempt / "best" / "model.pt" if self.attempt else None
        return model if model is not None and model.is_file() else None

    @property
    def artifacts(self) -> Path | None:
        """Curves, confusion matrices and tables of the latest attempt."""
        folder = self.attempt / "artifacts" if self.attempt else None
        return folder if folder is not None and folder.is_dir() else None

    @property
    def label(self) -> str:
        """Short name for a table or a chart."""
        start = "" if self.warm_start is None else f" (start {self.warm_start})"
        return f"trial {self.number}{start}"


@dataclass(frozen=True)
class StudyDir:
    """A study directory, read only.

    Attributes:
        path: Absolute path of the directory.
        study: The study as it was resolved when it was started.
        resolved: Facts of that moment: versions, classes, rungs, fingerprint.
    """

    path: Path
    study: Study
    resolved: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a study directory.

        Raises:
            StoreError: `path` is no study directory, or a damaged one.
        """
        path = path.resolve()
        missing = [name for name in (STUDY, RESOLVED, JOURNAL) if not (path / name).is_file()]
        if missing:
            what = f" with {', '.join(missing)}" if path.exists() else ", there is no such folder"
            raise StoreError(
                f"{path}: expected a study directory{what}"
                f"{_near(path) or '; `segtune tune` makes one at <storage>/<study>'}"
            )
        resolved = read_json(path / RESOLVED)
        if lacking := [key for key in _ALWAYS_RESOLVED if key not in resolved]:
            raise StoreError(
                f"{path / RESOLVED}: the study directory cannot be read: expected "
                f"{', '.join(lacking)}, got none"
            )
        try:
            return cls(path, _study(path, resolved), resolved)
        except StudyError as error:
            raise StoreError(f"{path}: the study directory cannot be read: {error}") from error

    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial, by number.

        Raises:
            StoreError: A file is damaged, or journal and trial folders disagree.
        """
        records, found = self._read()
        if found:  # a driver that writes on makes none twice
            before = set(found)
            records, found = self._read()
            refuse(self.path, [one for one in found if one in before])
        return records

    def _read(self) -> tuple[tuple[TrialRecord, ...], list[str]]:
        """Every trial, and where journal and trial folders disagree."""
        numbers = trial_numbers(self.path)  # before the journal, which a driver may write on
        found: list[str] = []
        since = driven_since_ns(self.path)
        records = [self._checked(trial, found, since) for trial in self._journalled()]
        found += lost_trials(self.path, numbers, len(records))
        return tuple(records), found

    def _journalled(self) -> list[FrozenTrial]:
        """The trials in the journal.

        Raises:
            StoreError: It is damaged, or another study's.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = open_storage(self.path / JOURNAL)
        studies = storage.get_all_studies()
        if not studies:
            return []
        name = studies[0].study_name
        if name != self.study.study:
            raise StoreError(
                f"{self.path / JOURNAL}: expected the journal of study {self.study.study}, got "
                f"that of {name}; put a copy from before in its place"
            )
        return storage.get_all_trials(studies[0]._study_id, deepcopy=False)

    def _checked(self, trial: FrozenTrial, found: list[str], since: int | None) -> TrialRecord:
        """A trial, of whose journal an earlier version kept no checksums.

        Raises:
            StoreError: The journal has of it what cannot be.
        """
        try:
            return self._record(trial, found, since)
        except CANNOT_BE as error:
            raise StoreError(
                f"{self.path / JOURNAL}: the study directory cannot be read: trial "
                f"{trial.number} has what no driver writes ({type(error).__name__}: {error}); put "
                "a copy from before in its place"
            ) from error

    def _files(self, trial: FrozenTrial, found: list[str]) -> TrialFiles:
        """A trial's files; adds to `found` where they disagree with the journal."""
        directory = trial_dir(self.path, trial.number)
        files = TrialFiles(
            read_json(directory / PARAMS), read_json(directory / OUTCOME), read_metrics(directory)
        )
        if not files.are_of(trial):
            return TrialFiles({}, {}, ())
        goal, fixed = self.study.objective.goal, self.resolved.get("fixed")
        found += disagreements(trial, files, goal, fixed)
        return files

    def _record(self, trial: FrozenTrial, found: list[str], since: int | None) -> TrialRecord:
        directory = trial_dir(self.path, trial.number)
        files = self._files(trial, found)
        params, outcome = files.params, files.outcome
        values, excess = trial.intermediate_values, excess_of(trial)
        goal = self.study.objective.goal
        best_epoch = _best_epoch(
            {e: goal.standing_of(values[e], excess.get(e, {}).values()) for e in values},
            directory,
            goal.metric,
        )
        last_epoch = max(values, default=0)
        metrics = tuple(m for m in files.metrics if m["epoch"] <= last_epoch)
        ending = trial.user_attrs.get("ending", {}) if trial.state.is_finished() else {}
        if not ending and outcome.get("state") in UNFINISHED:  # it pauses
            ending = outcome
        return TrialRecord(
            number=trial.number,
            state=_ENDED.get(trial.state) or _unfinished(directory, since),
            params=trial.params,
            fixed=params.get("fixed", {}),
            seed=params.get("seed", 0),
            stop_reason=ending.get("stop_reason", ""),
            rung=outcome.get("rung"),
            cutoff=outcome.get("cutoff"),
            value=outcome.get("value"),
            objective=None if best_epoch is None else values[best_epoch],
            best_epoch=best_epoch,
            last=values.get(last_epoch),
            epochs=last_epoch,
            seconds=_seconds(outcome, metrics),
            metrics=metrics,
            directory=directory,
            attempt=latest_attempt(directory),
            warm_start=params.get("warm_start"),
            message=ending.get("message", ""),
            excess=excess.get(best_epoch or 0, {}),
            notes=read_notes(directory),
            part=part_words(trial.user_attrs),
            takeover=params.get(TAKEOVER, 0),
        )


def _unfinished(directory: Path, since: int | None) -> State:
    """State of a trial that has not ended.

    Args:
        directory: The trial's folder, whose parameters are written when an attempt begins, and
            whose outcome is removed then.
        since: Moment at which the study's driver took its lock; None where none runs.
    """
    try:
        begun = (directory / PARAMS).stat().st_mtime_ns
    except FileNotFoundError:
        return "waiting"
    paused = (directory / OUTCOME).exists()
    return "waiting" if since is None or paused or begun < since else "running"


def _seconds(outcome: Mapping[str, Any], metrics: Sequence[Mapping[str, float]]) -> float:
    """Wall time of a trial: to its end or pause, else to its last epoch."""
    elapsed = metrics[-1].get(ELAPSED, 0.0) if metrics else 0.0
    return float(outcome.get("seconds") or elapsed)


def _best_epoch(standings: Mapping[int, Standing], directory: Path, metric: str) -> int | None:
    """The best epoch of a trial: of equal ones that of the kept model, else the last.

    Earlier versions kept the first of equal ones.

    Args:
        standings: Standing of each epoch.
        directory: The trial's folder.
        metric: The objective.
    """
    best = best_of(sorted(standings, reverse=True), standings.__getitem__)
    equal = [e for e in standings if best is not None and standings[e] == standings[best]]
    attempt = latest_attempt(directory) if len(equal) > 1 else None
    kept = None if attempt is None else read_kept(attempt / BEST_FOLDER, metric)
    return kept.epoch if kept is not None and kept.epoch in equal else best


def _study(path: Path, resolved: Mapping[str, Any]) -> Study:
    """The study as it was resolved; nothing of it is held against today's engine, data or machine.

    Raises:
        StudyError: The values are no study's.
    """
    values = resolved.get("written")  # earlier versions did not keep it
    if values is None:
        values = read_study_file(path / STUDY, ()).values
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise study_error(RESOLVED, validation_problems(error, Study)) from error


def _near(path: Path) -> str:
    """Hint at the studies that may be meant: those below, the one around, or the nearest beside."""
    near = [p for p in (*path.glob("*"), *path.glob("studies/*"), *path.parents[:3]) if _is_one(p)]
    if not near and path.parent.is_dir():
        places = (*path.parent.glob("*"), *path.parent.glob("studies/*"))
        beside = {str(p): p for p in sorted(places) if _is_one(p)}
        alike = difflib.get_close_matches(path.name, [p.name for p in beside.values()], _NAMED)
        near = [p for name in alike for p in beside.values() if p.name == name]
        if not near and beside:
            return f"; there: {', '.join(list(beside)[:_NAMED])}"
    names = " or ".join(str(p) for p in sorted(near)[:_NAMED])
    return f"; did you mean {names}?" if near else ""


def _is_one(path: Path) -> bool:
    """Whether a folder is a study directory."""
    return (path / STUDY).is_file() and (path / JOURNAL).is_file()


def refuse_begun(directory: Path) -> None:
    """Refuse to begin a study where there is one.

    Raises:
        StoreError: The directory holds a study, or the trials of one.
    """
    if (directory / JOURNAL).exists():
        raise StoreError(
            f"{directory}: expected a new study, found one; `segtune resume {directory}` goes on "
            "with it, another `study:` name begins another"
        )
    if any((trial_dir(directory, n) / PARAMS).is_file() for n in trial_numbers(directory)):
        raise StoreError(
            f"{directory}: expected a new study, found the trial folders of one that has lost its "
            f"{JOURNAL}; put a copy of it in its place and resume, or move {directory / 'trials'} "
            "away"
        )
