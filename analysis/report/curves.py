"""Charts of trials over time: the study's history, learning curves, training and validation."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.pages.words import metric_words
from analysis.report.chart import Chart
from analysis.report.looks import (
    COLOURS,
    SYMBOLS,
    by_reason,
    epochs_axis,
    reason_of,
    reason_words,
)
from analysis.report.summary import Summary
from trainables.goal import Mode, standing
from tune.directory.reader import TrialRecord

TRAIN_COLOUR, VALIDATION_COLOUR = "#b8761c", "#2f80d0"

GAP_LEVELS: Mapping[str, float] = {"normal": 0.03, "warning": 0.15, "severe": 0.35}

_GAP_COLOURS: Mapping[str, str] = {"normal": "#199271", "warning": "#b8761c", "severe": "#d1493d"}


def history(summary: Summary) -> Chart:
    """Best epoch of every trial in the order of the trials, with the best so far."""
    trials = sorted(
        (t for t in summary.trials if t.objective is not None), key=lambda trial: trial.number
    )
    counted = [t for t in trials if t.state != "failed"]
    best_so_far = {
        "type": "scatter",
        "x": [t.number for t in counted],
        "y": _running_best(counted, summary.mode),
        "mode": "lines",
        "name": "best so far",
        "line": {"shape": "hv", "width": 2, "color": "#7f8791"},
        "hovertemplate": "best so far: %{y:.4f}",
    }
    last = max((t.number for t in trials), default=0)
    figure = go.Figure()
    figure.update_xaxes(title="trial", dtick=max(1, round(last / 12)), range=[-0.5, last + 0.5])
    figure.update_yaxes(title=f"{metric_words(summary.metric)}, best epoch")
    marks = [_best_epochs(reason, group) for reason, group in by_reason(trials).items()]
    return Chart([*marks, best_so_far], figure)


def _best_epochs(reason: str, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """Marks of the trials that one rule ended; those that break a constraint are pale."""
    return {
        "type": "scatter",
        "x": [t.number for t in trials],
        "y": [t.objective for t in trials],
        "mode": "markers",
        "name": reason_words(reason),
        "marker": {
            "color": COLOURS[reason],
            "symbol": SYMBOLS[reason],
            "size": 9,
            "opacity": [0.4 if t.violation else 1.0 for t in trials],
        },
        "customdata": [[t.best_epoch, t.epochs, _broken(t)] for t in trials],
        "hovertemplate": "trial %{x}: %{y:.4f} at epoch %{customdata[0]} of %{customdata[1]}"
        "%{customdata[2]}",
    }


def curves(summary: Summary) -> Chart:
    """Learning curves: the objective of the drawn trials over the epochs, with the rungs."""
    figure = go.Figure()
    reached = max((trial.epochs for trial in summary.trials), default=0)
    for rung in (rung for rung in summary.rungs if rung <= min(reached, summary.epochs - 1)):
        figure.add_vline(x=rung, line={"dash": "dot", "width": 1, "color": "#7f8791"})
        figure.add_annotation(
            x=rung, y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"rung {rung}"
        )
    figure.update_xaxes(epochs_axis(reached))
    figure.update_yaxes(title=f"{metric_words(summary.metric)}, validation")
    return Chart(_curves(summary), figure)


def _curves(summary: Summary) -> list[dict[str, Any]]:
    """A line a trial, the best one last and so on top; each reason has one entry in the legend."""
    leader = summary.best.number if summary.best else None
    lines: list[dict[str, Any]] = []
    named: set[str] = set()
    for trial in reversed(summary.with_curve.trials):
        reason = reason_of(trial)
        lines.append(_curve(trial, summary.metric, trial.number == leader, reason not in named))
        named.add(reason)
    return lines


def _curve(trial: TrialRecord, metric: str, leads: bool, named: bool) -> dict[str, Any]:
    reason = reason_of(trial)
    return {
        "type": "scatter",
        "x": [row["epoch"] for row in trial.metrics],
        "y": [row.get(metric) for row in trial.metrics],
        "mode": "lines" if len(trial.metrics) > 1 else "markers",
        "name": reason_words(reason),
        "legendgroup": reason,
        "showlegend": named,
        "opacity": 1.0 if leads else 0.55,
        "line": {"color": COLOURS[reason], "width": 3.5 if leads else 1.3},
        "hovertemplate": f"{trial.label}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
    }


def train_and_validation(summary: Summary) -> Chart | None:
    """F1 of both splits above their gap; one trial's three lines are shown at a time.

    The traces come in threes (validation, training, gap), in the order of `Summary.with_f1`; the
    page chooses which three are visible.
    """
    trials, metric = summary.with_f1.trials, summary.f1_metric
    if metric is None or not trials:
        return None
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.07)
    for level, value in GAP_LEVELS.items():
        figure.add_hline(
            y=value,
            row=2,
            col=1,
            exclude_empty_subplots=False,
            line={"dash": "dash", "width": 1.5, "color": _GAP_COLOURS[level]},
            annotation={"text": f"{level} {value:g}", "xanchor": "right", "yanchor": "bottom"},
        )
    figure.update_yaxes(title="F1", range=[0, 1.02], row=1, col=1)
    figure.update_yaxes(
        title="training - validation", row=2, col=1, range=_gap_range(trials, metric)
    )
    figure.update_xaxes(epochs_axis(max(trial.epochs for trial in trials)), row=2, col=1)
    lines = [
        line
        for place, trial in enumerate(trials)
        for line in _three_lines(trial, metric, visible=place == 0)
    ]
    return Chart(lines, figure)


def _three_lines(trial: TrialRecord, metric: str, *, visible: bool) -> list[dict[str, Any]]:
    """Lines of a trial's validation F1, its training F1, and below them its gap."""
    above, below = {"xaxis": "x", "yaxis": "y"}, {"xaxis": "x2", "yaxis": "y2"}
    validation, training = _values(trial, metric), _values(trial, f"train_{metric}")
    lines = [
        _points(trial, validation, "F1, validation", VALIDATION_COLOUR) | above,
        _points(trial, training, "F1, training", TRAIN_COLOUR) | above,
        _points(trial, _gaps(trial, metric), "gap", "#9a68c9") | below,
    ]
    return [line | {"visible": visible} for line in lines]


def _values(trial: TrialRecord, metric: str) -> dict[int, float]:
    return {int(row["epoch"]): row[metric] for row in trial.metrics if metric in row}


def _running_best(trials: Sequence[TrialRecord], mode: Mode) -> list[float | None]:
    def place(trial: TrialRecord) -> tuple[float, float]:
        """Place of a trial in the order of trials: the larger, the better."""
        return standing(trial.objective or 0.0, trial.violation, mode)

    def better(before: TrialRecord, trial: TrialRecord) -> TrialRecord:
        """The better of two trials, of equal ones the earlier."""
        return max(before, trial, key=place)

    return [trial.objective for trial in accumulate(trials, better)]


def _broken(trial: TrialRecord) -> str:
    return f", breaks its constraints by {trial.violation:.3g}" if trial.violation else ""


def _gaps(trial: TrialRecord, metric: str) -> dict[int, float]:
    """Lead of the training part's F1 over validation's, by epoch."""
    rows = [row for row in trial.metrics if metric in row and f"train_{metric}" in row]
    return {int(row["epoch"]): row[f"train_{metric}"] - row[metric] for row in rows}


def _points(
    trial: TrialRecord, values: Mapping[int, float], name: str, colour: str
) -> dict[str, Any]:
    """A line over the epochs; the first epoch of each round is a larger mark."""
    first = round_starts(trial)
    return {
        "type": "scatter",
        "x": list(values),
        "y": list(values.values()),
        "mode": "lines+markers",
        "marker": {
            "size": [11 if epoch in first else 4 for epoch in values],
            "symbol": ["diamond" if epoch in first else "circle" for epoch in values],
        },
        "customdata": [
            f" (begins round {first[epoch]})" if epoch in first else "" for epoch in values
        ],
        "name": name,
        "line": {"color": colour, "width": 2},
        "hovertemplate": "epoch %{x}%{customdata}: %{y:.4f}",
    }


def round_starts(trial: TrialRecord) -> dict[int, int]:
    """Epochs at which an engine that teaches itself begins a round, with its number."""
    numbers = {int(row["epoch"]): int(row["round"]) for row in trial.metrics if "round" in row}
    before = dict(zip(numbers, [0, *numbers.values()], strict=False))
    return {epoch: number for epoch, number in numbers.items() if number != before[epoch]}


def _gap_range(trials: Sequence[TrialRecord], metric: str) -> list[float]:
    gaps = [gap for trial in trials for gap in _gaps(trial, metric).values()]
    return [min([0.0, *gaps]) - 0.03, max([0.42, *gaps]) + 0.03]
