"""The report of a study: one self-contained page for people, `report.json` and `report.md`."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.offline
from jinja2 import Environment

from analysis.pages.environment import markdown, page_environment
from analysis.pages.packing import pack
from analysis.pages.pictures import Picture
from analysis.pages.words import duration, metric, metric_words, short
from analysis.report.curves import round_starts
from analysis.report.figures import charts
from analysis.report.keys import (
    MOST_AXES,
    MOST_SLICES,
    left_out,
    parallel_keys,
    sliced_keys,
)
from analysis.report.leaderboard import gap_level
from analysis.report.pareto import fronts_of
from analysis.report.pictures import confusion_matrices, contact_sheets, finds, round_figures
from analysis.report.summary import Summary, end_of, first_of, summarise
from trainables.datasets.prepared import PreparedDataset
from trainables.files.cells import markdown_text
from trainables.files.whole import write_json, write_text
from tune.datasets.opening import data_here
from tune.directory.layout import STUDY
from tune.directory.reader import StudyDir, TrialRecord

REPORT_HTML, REPORT_JSON, REPORT_MD = "report.html", "report.json", "report.md"

_SPARK_WIDTH, _SPARK_HEIGHT = 96, 26


def write_report(study: StudyDir, read: Sequence[TrialRecord] | None = None) -> Path:
    """Write `report.html`, `report.json` and `report.md` into the study directory.

    Works on a study that has not ended, and on one of which every trial failed.

    Args:
        study: The study directory.
        read: Its trials where they have been read before.

    Returns:
        The page.
    """
    summary = summarise(study, read)
    data = _data_of(study)
    write_json(study.path / REPORT_JSON, report_values(summary))
    write_text(study.path / REPORT_MD, markdown(_environment(), REPORT_MD, s=summary))
    write_text(study.path / REPORT_HTML, _page(study, summary, data))
    return study.path / REPORT_HTML


def report_values(summary: Summary) -> dict[str, Any]:
    """Content of `report.json`: ranking, importances, what stopped whom, failures."""
    return {
        "study": summary.name,
        "engine": summary.engine,
        "objective": {
            "metric": summary.metric,
            "mode": summary.mode,
            "constraints": [str(limit) for limit in summary.limits],
        },
        "best": _entry(summary.best) if summary.best else None,
        "trials": dict(summary.states),
        "epochs": {
            "trained": summary.epochs_trained,
            "without_stopping": summary.epochs_full,
            "saved_fraction": summary.saving,
        },
        "seconds": summary.seconds,
        "cost": summary.cost and summary.cost.values,
        "hints": list(summary.hints),
        "ranking": [_entry(trial) for trial in summary.trials],
        "importance": [
            {
                "epoch": found.epoch,
                "compared": found.compared,
                "left_out": found.left_out,
                "shares": dict(found.shares),
                "explained": found.explained,
                "meaningful": found.meaningful,
                "not_assessed": list(found.not_assessed),
                "reason": found.reason,
            }
            for found in summary.importances
        ],
        "importance_not_compared": list(summary.not_compared),
        "pareto": {front.error: [t.number for t in front.trials] for front in summary.fronts},
        "stopped": [_stop(trial) for trial in summary.stopped],
        "failures": [
            {"trial": trial.number, "epoch": trial.epochs, "reason": trial.message}
            for trial in summary.failures
        ],
    }


def _environment() -> Environment:
    environment = page_environment()
    environment.filters |= {
        "short": short,
        "metric": metric,
        "duration": duration,
        "metric_words": metric_words,
        "gap_level": gap_level,
        "md": markdown_text,
    }
    environment.globals |= {
        "end_of": end_of,
        "spark": _spark,
        "fronts_of": fronts_of,
        "first_of": first_of,
        "not_sliced": lambda s: left_out(s, sliced_keys(s), MOST_SLICES),
        "not_parallel": lambda s: left_out(s, parallel_keys(s), MOST_AXES),
    }
    return environment


def _page(study: StudyDir, summary: Summary, data: PreparedDataset | None) -> str:
    drawn = charts(summary)
    return (
        _environment()
        .get_template(REPORT_HTML)
        .render(
            s=summary,
            charts=drawn,
            packed_charts=_packed(drawn),
            packed_plotly=pack(plotly.offline.get_plotlyjs()) if drawn else "",
            in_rounds=any(map(round_starts, summary.trials)),
            finds=finds(summary.best),
            pictures=_pictures(summary, data),
            data=data,
            resolved=study.resolved,
            study_yaml=(study.path / STUDY).read_text("utf-8"),
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


def _packed(drawn: Mapping[str, str]) -> str:
    """All charts as one packed JSON object, by name."""
    return pack("{" + ",".join(f'"{name}":{chart}' for name, chart in drawn.items()) + "}")


def _data_of(study: StudyDir) -> PreparedDataset | None:
    """The study's data set, or None where it is no longer there, or another one by now."""
    known = study.resolved
    return data_here(known["data"], known.get("data_name", ""), known["fingerprint"])


def _pictures(summary: Summary, data: PreparedDataset | None) -> list[Picture]:
    best = summary.best
    return [*confusion_matrices(best), *round_figures(best), *contact_sheets(data)]


def _entry(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state,
        "stop_reason": trial.stop_reason,
        "objective": trial.objective,
        "violation": trial.violation,
        "best_epoch": trial.best_epoch,
        "last": trial.last,
        "epochs": trial.epochs,
        "seconds": trial.seconds,
        "overfit": gap_level(trial.best_metrics),
        "params": dict(trial.params),
    }


def _stop(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "epoch": trial.epochs,
        "rule": trial.stop_reason,
        "rung": trial.rung,
        "cutoff": trial.cutoff,
        "value": trial.value,
        "message": trial.message,
    }


def _spark(trial: TrialRecord, summary: Summary) -> Mapping[str, str]:
    """Points of two small lines, validation and training, for an SVG polyline."""
    metric = summary.f1_metric or summary.metric
    names = {"val": metric, "train": f"train_{metric}"}
    rows = {
        which: [(row["epoch"], row[name]) for row in trial.metrics if name in row]
        for which, name in names.items()
    }
    values = [value for points in rows.values() for _, value in points if math.isfinite(value)]
    top = 1.0 if metric.endswith("/F1") else max(values, default=1.0)
    low = 0.0 if metric.endswith("/F1") else min(values, default=0.0)
    return {which: _polyline(points, summary.epochs, low, top) for which, points in rows.items()}


def _polyline(points: Sequence[tuple[float, float]], epochs: int, low: float, top: float) -> str:
    height = (top - low) or 1.0
    return " ".join(
        f"{_SPARK_WIDTH * epoch / epochs:.1f},"
        f"{_SPARK_HEIGHT - 1 - (_SPARK_HEIGHT - 2) * (value - low) / height:.1f}"
        for epoch, value in points
        if math.isfinite(value)
    )
