"""Charts of whole studies: what they reached by what they spent, and how their trials ended."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.compare.drawing import Drawn, Owner
from analysis.compare.panel import Member
from analysis.pages.words import metric_words
from analysis.report.chart import Chart
from analysis.report.looks import COLOURS, by_reason, reason_words
from trainables.goal import standing, violation
from trainables.metrics.names import MEASURE, MEASUREMENT_ERRORS
from tune.directory.layout import ELAPSED
from tune.directory.reader import TrialRecord

Spent = Literal["epochs", "hours"]


def progress(of: Sequence[Member], by: Spent) -> Drawn | None:
    """Best objective so far against the epochs, or the hours of training, that were spent."""
    with_value = [member for member in of if member.entry.best is not None]
    if not with_value:
        return None
    courses = [list(spent_and_best(member, by)) for member in with_value]
    unit, size = ("epochs", 1) if by == "epochs" else _unit(max(c[-1][0] for c in courses))
    traces = [_course(*each, unit, size) for each in zip(with_value, courses, strict=True)]
    title = "epochs trained, over all trials" if by == "epochs" else f"{unit} of training"
    figure = go.Figure()
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_yaxes(title=f"best {metric_words(of[0].entry.summary.metric)} so far")
    return Drawn(Chart(traces, figure), [{"study": m.place} for m in with_value])


def spent_and_best(member: Member, by: Spent) -> Iterator[tuple[float, float]]:
    """What was spent when a study's best became better, and the value; last, all that was spent.

    Trials count in the order of their numbers, one after the other, however many ran at once.
    Epochs that break a constraint count as in the ranking: they never beat one that breaks less.
    """
    summary, spent = member.entry.summary, 0.0
    goal = member.entry.study.study.objective.goal
    best: tuple[Any, float] | None = None
    for trial in sorted(summary.trials, key=lambda t: t.number):
        for row in trial.metrics:
            value = row.get(summary.metric)
            if trial.state == "failed" or value is None or not math.isfinite(value):
                continue
            stands = standing(value, violation(goal.excess(row).values()), summary.mode)
            if best is None or stands > best[0]:
                best = stands, value
                yield spent + _of_epoch(row, by), value
        spent += trial.epochs if by == "epochs" else trial.seconds / 3600
    if best is not None:
        yield spent, best[1]


def _of_epoch(row: Mapping[str, float], by: Spent) -> float:
    return float(row["epoch"]) if by == "epochs" else float(row.get(ELAPSED, 0.0)) / 3600


def _unit(hours: float) -> tuple[str, int]:
    """The unit in which a time is drawn, and how many of it an hour has.

    >>> _unit(7.5), _unit(0.5), _unit(0.0005)
    (('hours', 1), ('minutes', 60), ('seconds', 3600))
    """
    units = (("hours", 1), ("minutes", 60), ("seconds", 3600))
    return next((unit for unit in units if hours * unit[1] >= 2), units[-1])


def _course(
    member: Member, points: Sequence[tuple[float, float]], unit: str, size: int
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": member.entry.name,
        "x": [spent * size for spent, _ in points],
        "y": [value for _, value in points],
        "line": {"shape": "hv", "width": 2.5, "color": member.colour},
        "hovertemplate": "%{fullData.name}<br>%{x:.4~g} " + unit + ": %{y:.4f}<extra></extra>",
    }


def train_and_validation(of: Sequence[Member]) -> Drawn | None:
    """F1 on the training part against F1 on the validation part, each trial at its best epoch."""
    traces: list[dict[str, Any]] = []
    owners: list[Owner] = []
    for member in of:
        name = member.entry.summary.f1_metric
        rows = [(n, t) for n, t in member.rows() if {name, f"train_{name}"} <= set(t.best_metrics)]
        if name is None or not rows:
            continue
        points = [(t.best_metrics[f"train_{name}"], t.best_metrics[name]) for _, t in rows]
        traces.append(marks(member, [t for _, t in rows], points))
        owners.append({"trials": [n for n, _ in rows]})
    if not traces:
        return None
    low = min(v for trace in traces for v in (*trace["x"], *trace["y"]))
    high = max(v for trace in traces for v in (*trace["x"], *trace["y"]))
    equal = {
        "type": "scatter",
        "mode": "lines",
        "name": "no gap",
        "x": [low, high],
        "y": [low, high],
        "line": {"color": "#7f8791", "dash": "dot", "width": 1},
        "hoverinfo": "skip",
    }
    figure = go.Figure()
    figure.update_xaxes(title="F1, training part")
    figure.update_yaxes(title="F1, validation part")
    return Drawn(Chart([*traces, equal], figure), [*owners, {}])


def stopped(of: Sequence[Member]) -> Drawn:
    """Number of trials that each rule ended, in each study."""
    counts = [
        {reason: len(group) for reason, group in by_reason(m.entry.summary.trials).items()}
        for m in of
    ]
    names = [member.entry.name for member in of]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": reason_words(reason),
            "y": names,
            "x": [found.get(reason, 0) for found in counts],
            "marker": {"color": COLOURS[reason]},
            "hovertemplate": "%{y}: %{x} trials, %{fullData.name}<extra></extra>",
        }
        for reason in COLOURS
        if any(reason in found for found in counts)
    ]
    figure = go.Figure()
    figure.update_layout(barmode="stack", height=180 + 34 * len(of))
    figure.update_xaxes(title="trials")
    figure.update_yaxes(autorange="reversed", type="category")
    owner: Owner = {"studies": [member.place for member in of]}
    return Drawn(Chart(traces, figure), [owner] * len(traces))


def errors(of: Sequence[Member]) -> Drawn | None:
    """Wrong counts and sizes against F1, each trial at its best epoch."""
    names = [f"{MEASURE}/{name}" for name in MEASUREMENT_ERRORS]
    figure = make_subplots(1, len(names), horizontal_spacing=0.08)
    traces: list[dict[str, Any]] = []
    owners: list[Owner] = []
    for member in of:
        f1 = member.entry.summary.f1_metric
        for place, name in enumerate(names):
            rows = [(n, t) for n, t in member.rows() if {f1, name} <= set(t.best_metrics)]
            if f1 is None or not rows:
                continue
            points = [(t.best_metrics[f1], t.best_metrics[name]) for _, t in rows]
            drawn = marks(member, [t for _, t in rows], points, place)
            traces.append({**drawn, "showlegend": place == 0})
            owners.append({"trials": [n for n, _ in rows]})
    if not traces:
        return None
    figure.update_xaxes(title="F1")
    for place, name in enumerate(names):
        figure.update_yaxes(title=metric_words(name), col=place + 1)
    return Drawn(Chart(traces, figure), owners)


def marks(
    member: Member,
    trials: Sequence[TrialRecord],
    points: Sequence[tuple[Any, float]],
    place: int = 0,
) -> dict[str, Any]:
    """Marks of a study's trials in the subplot of that place, counted from 0."""
    number = str(place + 1) if place else ""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": member.entry.name,
        "legendgroup": str(member.place),
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "text": [trial.label for trial in trials],
        "marker": {"color": member.colour, "symbol": member.symbol, "size": 7, "opacity": 0.75},
        "hovertemplate": "%{fullData.name}, %{text}: %{x}, %{y:.4f}<extra></extra>",
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
    }
