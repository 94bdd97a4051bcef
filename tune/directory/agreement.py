"""Journal and trial folders held against each other: what both say of a trial must be the same.

A flipped byte, a line that stands there twice or another study's journal would otherwise show the
values of one trial as those of another.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from trainables.goal import Goal
from trainables.trials.layout import METRICS
from tune.directory.arrivals import excess_of, reported_of, stop_of
from tune.directory.journal import ENDING, SEED, SYNC_EVERY_S, WARM_START
from tune.directory.layout import (
    CHECK,
    ELAPSED,
    JOURNAL,
    OUTCOME,
    PARAMS,
    outcome_check,
    read_metrics,
    trial_dir,
)
from tune.directory.trials import UNFINISHED
from tune.errors import StoreError
from tune.stopping.decision import Decision, Rule

_SHOWN: Final = 5  # disagreements that a message lists

_STATES: Final = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class TrialFiles:
    """The small files of a trial's folder.

    Attributes:
        params: Content of its `params.json`; empty where there is none.
        outcome: Content of its `outcome.json`; empty where there is none.
        metrics: Lines of its `metrics.jsonl`.
    """

    params: Mapping[str, Any]
    outcome: Mapping[str, Any]
    metrics: Sequence[Mapping[str, float]]

    def are_of(self, trial: FrozenTrial) -> bool:
        """Whether the folder is this trial's: one that has not begun may find an earlier one's.

        The journal's last lines may have been lost with the power; the next attempt moves such a
        folder away.
        """
        begun = trial.state.is_finished() or bool(trial.intermediate_values)
        return begun or not self.params or _same(self.params.get("sampled"), trial.params)


def disagreements(
    trial: FrozenTrial, files: TrialFiles, goal: Goal, fixed: Mapping[str, Any] | None
) -> Iterator[str]:
    """Every difference between the journal's trial and its folder, in words.

    Args:
        trial: The trial in the journal.
        files: The content of its folder.
        goal: The study's objective and limits.
        fixed: Hyperparameters with one value in all trials; None where the study does not say.
    """
    yield from _of_params(trial, files.params, fixed)
    yield from _of_beginning(trial, files.params)
    yield from list(_of_end(trial, files.outcome)) or _of_writing(trial, files.outcome)
    yield from _of_values(trial, files, goal)


def refuse(study: Path, found: Sequence[str]) -> None:
    """Refuse a study directory whose files disagree.

    Raises:
        StoreError: There are disagreements.
    """
    if not found:
        return
    shown = [*found[:_SHOWN], *([f"and {len(found) - _SHOWN} more"] if found[_SHOWN:] else [])]
    lines = "".join(f"\n  {line}" for line in shown)
    raise StoreError(
        f"{study}: the study directory cannot be read: expected {JOURNAL} and the trials' folders "
        f"to agree, got {len(found)} {'difference' if len(found) == 1 else 'differences'}:{lines}\n"
        "One of the files was damaged, or is another study's. Put a copy from before in its place; "
        "nothing was changed."
    )


def lost_trials(study: Path, numbers: Iterable[int], n_known: int) -> Iterator[str]:
    """Trials that are not in the journal and must have been, as their folders show, in words.

    Args:
        study: The study directory.
        numbers: Numbers of the trial folders, read before the journal was.
        n_known: Number of trials in the journal.
    """
    for number in sorted(n for n in numbers if n >= n_known):
        folder = trial_dir(study, number)
        began = {ELAPSED: 0.0}
        if (folder / OUTCOME).is_file():
            yield f"trial {number}: trials/{number} has its outcome, {JOURNAL} has no such trial"
        elif _was_on_disk([began, *read_metrics(folder)]):
            yield f"trial {number}: trials/{number}/{METRICS} has epochs, {JOURNAL} no such trial"


def _was_on_disk(rows: Sequence[Mapping[str, float]]) -> bool:
    """Whether the journal's line of the first row had reached the disk.

    That of a row is written before the next row is, and with the first one that is written a second
    after the last that was brought to the disk, all before it are brought there.

    Args:
        rows: Rows of a metrics table in order.
    """
    return len(rows) > 2 and rows[-2].get(ELAPSED, 0) - rows[0].get(ELAPSED, 0) > SYNC_EVERY_S


def _of_params(
    trial: FrozenTrial, params: Mapping[str, Any], fixed: Mapping[str, Any] | None
) -> Iterator[str]:
    if not params:
        return
    place = f"trial {trial.number}: trials/{trial.number}/{PARAMS}"
    sampled = params.get("sampled", {})
    if not _same(sampled, trial.params):
        said, journalled = _first_difference(sampled, _plain(trial.params))
        yield f"{place} has {said}, {JOURNAL} {journalled}"
    if fixed is not None and params.get("fixed", {}) != fixed:
        said, resolved = _first_difference(params.get("fixed", {}), fixed)
        yield f"{place} has {said}, the study {resolved}"


def _of_beginning(trial: FrozenTrial, params: Mapping[str, Any]) -> Iterator[str]:
    """Seed and warm-start point; earlier versions did not journal the seed."""
    if not params:
        return
    place = f"trial {trial.number}: trials/{trial.number}/{PARAMS}"
    journalled = trial.user_attrs.get(SEED)
    if journalled not in (None, params.get("seed")):
        yield f"{place} has seed {params.get('seed')}, {JOURNAL} {journalled}"
    point = params.get("warm_start")
    if point is not None and WARM_START not in trial.user_attrs:
        yield f"{place} has warm_start {point}, {JOURNAL} none"


def _of_end(trial: FrozenTrial, outcome: Mapping[str, Any]) -> Iterator[str]:
    """An end is journalled before it is written into the folder."""
    state = outcome.get("state")
    if not outcome or state in UNFINISHED:  # no end, or a pause
        return
    place = f"trial {trial.number}: trials/{trial.number}/{OUTCOME}"
    journalled = _STATES.get(trial.state, "no end of it")
    if state != journalled:
        yield f"{place} has state {state}, {JOURNAL} {journalled}"
        return
    ending = trial.user_attrs.get(ENDING, {})
    for key in ("stop_reason", "message"):
        if outcome.get(key, "") != ending.get(key, ""):
            yield f"{place} has {key} {outcome.get(key)!r}, {JOURNAL} {ending.get(key)!r}"
    stop = stop_of(trial) or Decision(False)
    known = {"cutoff": stop.cutoff, "value": stop.value}
    known["rung"] = stop.rung if outcome.get("stop_reason") == Rule.ASHA else None
    for key, value in known.items():
        if repr(outcome.get(key)) != repr(value):  # of two values that are no number, too
            yield f"{place} has {key} {outcome.get(key)}, {JOURNAL} {value}"


def _of_writing(trial: FrozenTrial, outcome: Mapping[str, Any]) -> Iterator[str]:
    """What the journal has nothing to hold against, such as the time that a trial took."""
    if outcome.get(CHECK) not in (None, outcome_check(outcome)):
        place = f"trial {trial.number}: trials/{trial.number}/{OUTCOME}"
        yield f"{place} is not as it was written: it has another checksum"


def _of_values(trial: FrozenTrial, files: TrialFiles, goal: Goal) -> Iterator[str]:
    values = trial.intermediate_values
    epochs = [int(line["epoch"]) for line in files.metrics]
    table_at = f"trials/{trial.number}/{METRICS}"
    gaps = [*_gaps(JOURNAL, sorted(values)), *_gaps(table_at, epochs)]
    yield from (f"trial {trial.number}: {gap}" for gap in gaps)
    if gaps:
        return
    if not trial.state.is_finished() and _was_on_disk(files.metrics[len(values) :]):
        yield f"trial {trial.number}: {table_at} has {len(epochs)} epochs, {JOURNAL} {len(values)}"
    if trial.state.is_finished():
        yield from _of_length(trial, len(epochs) if files.params else len(values))
    table = {epoch: line for epoch, line in enumerate(files.metrics, start=1) if epoch in values}
    decided = reported_of(trial)
    for epoch, line in table.items():
        said, value = line.get(goal.metric), values[epoch]
        if said != value:
            yield (
                f"trial {trial.number}: {table_at} has {goal.metric} {said} at epoch {epoch}, "
                f"{JOURNAL} {value}"
            )
        elif decided.get(epoch, value) != value:
            yield (
                f"trial {trial.number}: {JOURNAL} has {goal.metric} {value} at epoch {epoch} and "
                f"decided on {decided[epoch]}"
            )
    if goal.limits:
        yield from _of_limits(trial, table, goal)


def _gaps(place: str, epochs: Sequence[int]) -> Iterator[str]:
    """Epochs that do not count from 1 on."""
    if list(epochs) != list(range(1, len(epochs) + 1)):
        shown = _shortened(epochs)
        yield f"{place} has epochs {shown}, expected 1 to {len(epochs)}, each once"


def _of_length(trial: FrozenTrial, n_epochs: int) -> Iterator[str]:
    """Epochs that an ended trial's table or journal lacks."""
    values = trial.intermediate_values
    if n_epochs < len(values):
        place = f"trials/{trial.number}/{METRICS}"
        yield f"trial {trial.number}: {place} has {n_epochs} epochs, {JOURNAL} {len(values)}"
    if untold := _untold(reported_of(trial), values):
        yield f"trial {trial.number}: {JOURNAL} decided on epoch {untold[0]} and has no value of it"


def _untold(decided: Mapping[int, float | None], values: Mapping[int, float]) -> list[int]:
    """Epochs that were decided on, with a usable value, and whose value is missing."""
    usable = (e for e, value in decided.items() if value is not None and math.isfinite(value))
    return sorted(epoch for epoch in usable if epoch not in values)


def _of_limits(
    trial: FrozenTrial, table: Mapping[int, Mapping[str, float]], goal: Goal
) -> Iterator[str]:
    for epoch, excess in excess_of(trial).items():
        for limit in goal.limits:
            broken = excess.get(limit.metric)
            line = table.get(epoch, {})
            if limit.metric in line and broken is not None and broken != limit.excess(line):
                yield (
                    f"trial {trial.number}: trials/{trial.number}/{METRICS} has {limit.metric} "
                    f"{line[limit.metric]} at epoch {epoch}, {JOURNAL} {broken} above its limit"
                )


def _same(written: Any, params: Mapping[str, Any]) -> bool:
    return bool(written == params) or bool(written == _plain(params))


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(params)))
    return plain


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, str]:
    keys = [key for key in [*one, *other] if one.get(key) != other.get(key)]
    key = keys[0] if keys else ""
    return (
        f"{key} {one[key]!r}" if key in one else f"no {key}",
        f"{other[key]!r}" if key in other else "none",
    )


def _shortened(epochs: Sequence[Any]) -> str:
    """The epochs around the first that is out of its place."""
    first = next(i for i, epoch in enumerate(epochs) if epoch != i + 1)
    shown = ", ".join(str(epoch) for epoch in epochs[max(0, first - 2) : first + 3])
    return f"..., {shown}, ..." if len(epochs) > 5 else shown
