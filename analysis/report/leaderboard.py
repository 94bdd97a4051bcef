"""The leaderboard: a study's trials, best first, as one CSV file."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.report.pareto import Front, fronts_of, pareto_fronts
from trainables.files.cells import csv_row
from trainables.files.whole import write_text
from trainables.metrics.names import GROUPS, MEASURE, PARTICLE_GROUP, PIXEL_GROUP, names_in
from trainables.metrics.scores import overfit_gap
from tune.directory.ranking import ranked
from tune.directory.reader import StudyDir, TrialRecord

LEADERBOARD = "leaderboard.csv"

FIRST_COLUMNS = ("trial", "state", "stop_reason", "objective", "best_epoch", "epochs", "seconds")

PARETO = "pareto"
"""Name of the column with the measurement errors on whose front with F1 a trial is."""

LAST_COLUMNS = ("violation", "last", "rung", "cutoff", "value", "warm_start", "seed", "message")

_NO_METRIC = frozenset({"epoch", "elapsed_s"})

_MATCHED = (*GROUPS, PARTICLE_GROUP, PIXEL_GROUP)

_GROUPS = (*GROUPS, MEASURE, PARTICLE_GROUP, PIXEL_GROUP, *(f"train_{name}" for name in _MATCHED))

_GAP = ("overfit_gap", "overfit_level")


def gap_level(metrics: Mapping[str, float]) -> str:
    """Level of the overfit gap of an epoch: normal, warning or severe; "" where it has none.

    As far below zero as a warning is above it, it is `negative`: most often because many objects of
    the training pictures are not marked, and then it says nothing about overfitting.
    """
    gap = metrics.get("overfit_gap")
    if gap is None:
        return ""
    return "negative" if overfit_gap(-gap, 0.0)[1] != "normal" else overfit_gap(gap, 0.0)[1]


def write_leaderboard(study: StudyDir, read: Sequence[TrialRecord] | None = None) -> Path:
    """Write `leaderboard.csv` into the study directory; returns the file.

    Columns: `FIRST_COLUMNS`, `params/<key>` of every key that differs between trials, the metrics
    at the best epoch, `PARETO`, then `LAST_COLUMNS`. An empty cell means that there is no value.

    Args:
        study: The study directory.
        read: Its trials where they have been read before.
    """
    trials = ranked(study.trials() if read is None else read, study.study.objective.goal)
    keys = varied_keys(trials)
    metrics = metric_names(trials)
    sampled = [f"params/{key}" for key in keys]
    columns = [*FIRST_COLUMNS, *sampled, *metrics, PARETO, *LAST_COLUMNS]
    fronts = pareto_fronts(trials)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writerow(csv_row({name: name for name in columns}))
    writer.writerows(csv_row(_row(trial, keys, metrics, fronts)) for trial in trials)
    path = study.path / LEADERBOARD
    write_text(path, text.getvalue())
    return path


def varied_keys(trials: Sequence[TrialRecord]) -> list[str]:
    """Sampled keys, and fixed ones that a resumed study changed on the way."""
    sampled = {key: None for trial in trials for key in trial.params}
    values: dict[str, set[str]] = {}
    for trial in trials:
        for key, value in trial.fixed.items():
            values.setdefault(key, set()).add(json.dumps(value, sort_keys=True, default=str))
    changed = [key for key, found in values.items() if len(found) > 1 and key not in sampled]
    return [*sampled, *changed]


def metric_names(trials: Iterable[TrialRecord]) -> list[str]:
    """Metrics that any trial has at its best epoch, in the leaderboard's order."""
    found = {name for trial in trials for name in trial.best_metrics} - _NO_METRIC
    if "overfit_gap" in found:
        found.add("overfit_level")
    return sorted(found, key=_metric_place)


def _metric_place(name: str) -> tuple[int, int, str]:
    """Place of a metric's column: by group, and in it as the group is documented."""
    group = name.partition("/")[0]
    if group in _GROUPS:
        names = names_in(group)
        place = names.index(name) if name in names else len(names)
        return _GROUPS.index(group), place, name
    return (len(_GROUPS) if name in _GAP else len(_GROUPS) + 1), 0, name


def _row(
    trial: TrialRecord, keys: Sequence[str], metrics: Sequence[str], fronts: Sequence[Front]
) -> dict[str, Any]:
    values = {**trial.fixed, **trial.params}
    best = {**trial.best_metrics, "overfit_level": gap_level(trial.best_metrics)}
    first_and_last = {name: getattr(trial, name) for name in (*FIRST_COLUMNS[1:], *LAST_COLUMNS)}
    return {
        "trial": trial.number,
        **first_and_last,
        **{f"params/{key}": values.get(key) for key in keys},
        **{name: best.get(name) for name in metrics},
        PARETO: " ".join(fronts_of(trial, fronts)),
    }
