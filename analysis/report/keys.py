"""Charts of the hyperparameters: their importance, the objective over each, and all together."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.pages.words import metric_words
from analysis.report.chart import Chart
from analysis.report.importance import Importance, value_at
from analysis.report.looks import COLOURS, SYMBOLS, by_reason, reason_words
from analysis.report.summary import Summary

MOST_AXES = 8

MOST_SLICES = 9

_WORSE_TO_BETTER = [[0, "#8f98a2"], [0.5, "#2f80d0"], [1, "#d1493d"]]

_FEW_VALUES = 8

_LONG_NAME = 13  # letters; eight axes leave room for no more


def importance(found: Importance) -> Chart:
    """Bars of the hyperparameters' shares in the differences between trials, the largest on top."""
    keys = list(reversed(list(found.shares)))
    bars = {
        "type": "bar",
        "x": [found.shares[key] for key in keys],
        "y": keys,
        "orientation": "h",
        "marker": {"color": "#2f80d0" if found.meaningful else "#7f8791"},
        "text": [f"{found.shares[key]:.0%}" for key in keys],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    figure = go.Figure()
    figure.update_xaxes(title=f"share at epoch {found.epoch}", tickformat=".0%", rangemode="tozero")
    figure.update_layout(height=90 + 26 * len(keys))
    return Chart([bars], figure)


def sliced_keys(summary: Summary) -> list[str]:
    """Hyperparameters over which the objective is drawn: the most important that vary."""
    return _varied(summary)[:MOST_SLICES]


def parallel_keys(summary: Summary) -> list[str]:
    """Hyperparameters with an axis among the parallel coordinates: the most important that vary."""
    return _varied(summary)[:MOST_AXES]


def _varied(summary: Summary) -> list[str]:
    """Hyperparameters that differ between trials with a value, the most important ones first."""
    trials = [t for t in summary.trials if t.objective is not None]
    return [k for k in summary.keys if len({repr(t.params.get(k)) for t in trials}) > 1]


def left_out(summary: Summary, shown: Sequence[str], most: int) -> str:
    """Sentences that name the searched hyperparameters a chart does not show; "" for none.

    Args:
        summary: The study.
        shown: Hyperparameters of the chart.
        most: Number that a chart of the kind holds.
    """
    varied = _varied(summary)
    others = [key for key in summary.searched if key not in shown]
    reasons = {
        f"it holds {most}": [key for key in others if key in varied],
        "they did not vary": [key for key in others if key not in varied],
    }
    said = [f" Not in the chart, as {why}: {', '.join(of)}." for why, of in reasons.items() if of]
    return "".join(said)


def slices(summary: Summary) -> Chart | None:
    """The objective over the most important hyperparameters, at the first epoch that differs."""
    keys = sliced_keys(summary)
    if not keys or summary.slice_epoch is None:
        return None
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = make_subplots(rows, columns, shared_yaxes=True, subplot_titles=keys)
    for place, key in enumerate(keys):
        row, column = place // columns + 1, place % columns + 1
        figure.update_xaxes(slice_axis(summary, key), row=row, col=column)
    figure.update_yaxes(title=metric_words(summary.metric), col=1)
    figure.update_layout(height=120 + 240 * rows)
    epoch = summary.slice_epoch
    traces = [mark for i, key in enumerate(keys) for mark in _slice(summary, key, i, epoch)]
    return Chart(traces, figure)


def _slice(summary: Summary, key: str, place: int, epoch: int) -> list[dict[str, Any]]:
    """Marks of the trials over one hyperparameter, in the subplot of that place."""
    number = str(place + 1) if place else ""
    marks = []
    for reason, group in by_reason([t for t in summary.trials if key in t.params]).items():
        points = [(t, value_at(t, summary.metric, epoch)) for t in group]
        found = [(t, value) for t, value in points if value is not None]
        marks.append(
            {
                "type": "scatter",
                "x": [shown_value(t.params[key]) for t, _ in found],
                "y": [value for _, value in found],
                "mode": "markers",
                "name": reason_words(reason),
                "legendgroup": reason,
                "showlegend": place == 0 and bool(found),
                "marker": {"color": COLOURS[reason], "symbol": SYMBOLS[reason], "size": 8},
                "text": [t.label for t, _ in found],
                "hovertemplate": "%{text}: %{x}, %{y:.4f}<extra></extra>",
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
            }
        )
    return marks


def parallel(summary: Summary) -> Chart | None:
    """Parallel coordinates over hyperparameters and the objective at the best epoch."""
    trials = [t for t in summary.trials if t.objective is not None]
    keys = parallel_keys(summary)
    if len(trials) < 2 or not keys:
        return None
    values, objective = [t.objective for t in trials], metric_words(summary.metric)
    axes = [_axis(key, [t.params.get(key) for t in trials], summary) for key in keys]
    axes.append(_objective_axis(objective, [v for v in values if v is not None]))
    line = {
        "color": values,
        "colorscale": _WORSE_TO_BETTER,
        "reversescale": summary.mode == "min",
        "showscale": True,
        "colorbar": {
            "thickness": 12,
            "title": {"text": metric_words(summary.metric), "side": "right"},
        },
    }
    figure = go.Figure()
    figure.update_layout(margin={"l": 80, "r": 40, "t": 60, "b": 30}, height=430)
    return Chart([{"type": "parcoords", "dimensions": axes, "line": line}], figure)


def axis_type(summary: Summary, key: str) -> str:
    """Kind of a hyperparameter's axis as Plotly names it: category, log or linear."""
    values = [t.params[key] for t in summary.trials if key in t.params]
    if any(isinstance(v, str | bool) or v is None for v in values):
        return "category"
    return "log" if key in summary.log_keys or _powers(values) else "linear"


def slice_axis(summary: Summary, key: str) -> dict[str, Any]:
    """Axis of a hyperparameter under the objective: its kind, and ticks that keep apart."""
    kind = axis_type(summary, key)
    values = [t.params[key] for t in summary.trials if key in t.params]
    if kind == "category":
        return {"type": kind, "range": [-0.5, len(set(values)) - 0.5]}
    distinct = sorted(set(values))
    if len(distinct) <= _FEW_VALUES and all(isinstance(value, int) for value in distinct):
        return {"type": kind, "tickvals": distinct, "ticktext": [str(v) for v in distinct]}
    if kind == "log":
        return {"type": kind, **_log_ticks(min(values), max(values))}
    return {"type": kind, "exponentformat": "e", "nticks": 6}


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks of a logarithmic axis that keep apart: decades, or of a short one both ends."""
    if high > 30 * low:
        return {"exponentformat": "e", "dtick": 1}
    ticks = sorted({low, math.sqrt(low * high), high})
    return {"tickvals": ticks, "ticktext": [f"{tick:.2g}" for tick in ticks]}


def _powers(values: Sequence[Any]) -> bool:
    """Whether whole positive numbers spread so far that a logarithmic axis shows them better."""
    whole = all(isinstance(v, int) and v > 0 for v in values)
    return whole and max(values) >= 16 * min(values)


def shown_value(value: Any) -> Any:
    """A value as an axis takes it: truth and none as words."""
    return str(value) if isinstance(value, bool) or value is None else value


def _objective_axis(metric: str, values: Sequence[float]) -> dict[str, Any]:
    """The objective's axis with ticks of its own: Plotly's would lie where a name may be."""
    low, high = min(values), max(values)
    ticks = sorted({low + place * (high - low) / 4 for place in range(5)})
    words = [f"{tick:.3f}" for tick in ticks]
    label = _in_two_lines(metric)
    return {"label": label, "values": values, "tickvals": ticks, "ticktext": words}


def _in_two_lines(name: str) -> str:
    """A long name broken near its middle, so that it keeps clear of the next axis' name.

    >>> _in_two_lines("positive_threshold"), _in_two_lines("seg_metrics/F1"), _in_two_lines("lr0")
    ('positive_<br>threshold', 'seg_<br>metrics/F1', 'lr0')
    """
    ends = [place + 1 for place, letter in enumerate(name) if letter in "_/"]
    if len(name) < _LONG_NAME or not ends:
        return name
    middle = min(ends, key=lambda end: abs(2 * end - len(name)))
    return f"{name[:middle]}<br>{name[middle:]}"


def _axis(key: str, values: Sequence[Any], summary: Summary) -> dict[str, Any]:
    """Axis of a hyperparameter; trials without it lie at a tick of their own below the others."""
    given = [value for value in values if value is not None]
    kind = axis_type(summary, key)
    if kind == "category":
        names = sorted({str(value) for value in values})
        return {
            "label": _in_two_lines(key),
            "values": [names.index(str(value)) for value in values],
            "tickvals": list(range(len(names))),
            "ticktext": ["not used" if name == "None" else name for name in names],
        }
    scale = math.log10 if kind == "log" else float
    low, high = scale(min(given)), scale(max(given))
    distinct = sorted(set(given))
    if len(distinct) <= _FEW_VALUES and all(isinstance(value, int) for value in distinct):
        ticks, words = [scale(value) for value in distinct], [f"{v:.4g}" for v in distinct]
    else:
        ticks = [low + place * (high - low) / 4 for place in range(5)]
        words = [f"{10**tick if kind == 'log' else tick:.3g}" for tick in ticks]
    absent = low - ((high - low) / 4 or 1.0)
    if len(given) < len(values):
        ticks, words = [absent, *ticks], ["not used", *words]
    return {
        "label": _in_two_lines(key),
        "values": [absent if value is None else scale(value) for value in values],
        "tickvals": ticks,
        "ticktext": words,
        "range": [min(ticks), max([*ticks, low + 1e-9])],
    }
