"""Journal and trial folders held against each other: what both say of a trial must be the same.

A flipped byte, a line that stands there twice or another study's journal would otherwise show the
values of one trial as those of another.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from trainables.goal import Goal
from trainables.trials.layout import METRICS
from tune.directory.journal import excess_of, reported_of
from tune.directory.layout import JOURNAL, OUTCOME, PARAMS
from tune.errors import StoreError

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
    yield from _of_state(trial, files.outcome)
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
    """Trials that have ended in their folders and are not in the journal, in words.

    Args:
        study: The study directory.
        numbers: Numbers of the trial folders, read before the journal was.
        n_known: Number of trials in the journal.
    """
    for number in sorted(n for n in numbers if n >= n_known):
        if (study / "trials" / str(number) / OUTCOME).is_file():
            yield f"trial {number}: trials/{number} has its outcome, {JOURNAL} has no such trial"


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


def _of_state(trial: FrozenTrial, outcome: Mapping[str, Any]) -> Iterator[str]:
    state, journalled = outcome.get("state"), _STATES.get(trial.state)
    if journalled is not None and state in _STATES.values() and state != journalled:
        yield (
            f"trial {trial.number}: trials/{trial.number}/{OUTCOME} has state {state}, {JOURNAL} "
            f"{journalled}"
        )


def _of_values(trial: FrozenTrial, files: TrialFiles, goal: Goal) -> Iterator[str]:
    values = trial.intermediate_values
    place = f"trial {trial.number}: trials/{trial.number}/{METRICS}"
    epochs = [line.get("epoch") for line in files.metrics]
    if epochs != list(range(1, len(epochs) + 1)):
        yield f"{place} has epochs {_shortened(epochs)}, expected 1 to {len(epochs)}, each once"
        return
    if files.params and trial.state.is_finished() and len(epochs) < len(values):
        yield f"{place} has {len(epochs)} epochs, {JOURNAL} {len(values)}"
    table = {epoch: line for epoch, line in enumerate(files.metrics, start=1) if epoch in values}
    decided = reported_of(trial)
    for epoch, line in table.items():
        said, value = line.get(goal.metric), values[epoch]
        if said != value:
            yield f"{place} has {goal.metric} {said} at epoch {epoch}, {JOURNAL} {value}"
        elif decided.get(epoch, value) != value:
            yield (
                f"trial {trial.number}: {JOURNAL} has {goal.metric} {value} at epoch {epoch} and "
                f"decided on {decided[epoch]}"
            )
    if goal.limits:
        yield from _of_limits(trial, table, goal)


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
