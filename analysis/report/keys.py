"""Charts of the hyperparameters: their importance, the objective over each, and all together."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.report.chart import Chart
from analysis.report.importance import Importance, value_at
from analysis.report.looks import COLOURS, SYMBOLS, by_reason, reason_words
from analysis.report.summary import Summary

MOST_AXES = 8

MOST_SLICES = 6

_WORSE_TO_BETTER = [[0, "#8f98a2"], [0.5, "#2f80d0"], [1, "#d1493d"]]

_FEW_VALUES = 8

_LONG_NAME = 13  # letters; eight axes leave room for no more


def importance(found: Importance) -> Chart:
    """Bars of the keys' shares in the differences between trials, the largest on top."""
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


def slices(summary: Summary) -> Chart | None:
    """The objective over each of the most important keys, at the common epoch."""
    keys = list(summary.keys)[:MOST_SLICES]
    if not keys or not summary.importances or summary.importances[0].compared < 2:
        return None
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = make_subplots(rows, columns, shared_yaxes=True, subplot_titles=keys)
    for place, key in enumerate(keys):
        row, column = place // columns + 1, place % columns + 1
        figure.update_xaxes(_slice_axis(summary, key), row=row, col=column)
    figure.update_yaxes(title=summary.metric, col=1)
    figure.update_layout(height=120 + 240 * rows)
    traces = [mark for place, key in enumerate(keys) for mark in _slice(summary, key, place)]
    return Chart(traces, figure)


def _slice(summary: Summary, key: str, place: int) -> list[dict[str, Any]]:
    """Marks of the trials over one key, in the subplot of that place."""
    epoch = summary.importances[0].epoch
    number = str(place + 1) if place else ""
    marks = []
    for reason, group in by_reason([t for t in summary.trials if key in t.params]).items():
        points = [(t, value_at(t, summary.metric, epoch)) for t in group]
        found = [(t, value) for t, value in points if value is not None]
        marks.append(
            {
                "type": "scatter",
                "x": [_shown(t.params[key]) for t, _ in found],
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
    """Parallel coordinates over the most important keys and the objective at the best epoch."""
    trials = [t for t in summary.trials if t.objective is not None]
    keys = [k for k in summary.keys if len({repr(t.params.get(k)) for t in trials}) > 1]
    if len(trials) < 2 or not keys:
        return None
    values = [t.objective for t in trials]
    axes = [_axis(key, [t.params.get(key) for t in trials], summary) for key in keys[:MOST_AXES]]
    axes.append(_objective_axis(summary.metric, [v for v in values if v is not None]))
    line = {
        "color": values,
        "colorscale": _WORSE_TO_BETTER,
        "reversescale": summary.mode == "min",
        "showscale": True,
        "colorbar": {"thickness": 12, "title": {"text": summary.metric, "side": "right"}},
    }
    figure = go.Figure()
    figure.update_layout(margin={"l": 80, "r": 40, "t": 60, "b": 30}, height=430)
    return Chart([{"type": "parcoords", "dimensions": axes, "line": line}], figure)


def _axis_type(summary: Summary, key: str) -> str:
    values = [t.params[key] for t in summary.trials if key in t.params]
    if any(isinstance(v, str | bool) or v is None for v in values):
        return "category"
    return "log" if key in summary.log_keys or _powers(values) else "linear"


def _slice_axis(summary: Summary, key: str) -> dict[str, Any]:
    kind = _axis_type(summary, key)
    values = [t.params[key] for t in summary.trials if key in t.params]
    if kind == "category":
        return {"type": kind, "range": [-0.5, len(set(values)) - 0.5]}
    distinct = sorted(set(values))
    if len(distinct) <= _FEW_VALUES and all(isinstance(value, int) for value in distinct):
        return {"type": kind, "tickvals": distinct, "ticktext": [str(v) for v in distinct]}
    wide = kind == "log" and max(values) > 30 * min(values)
    return {"type": kind, "exponentformat": "e", "nticks": 6, "dtick": 1 if wide else None}


def _powers(values: Sequence[Any]) -> bool:
    """Whether whole positive numbers spread so far that a logarithmic axis shows them better."""
    whole = all(isinstance(v, int) and v > 0 for v in values)
    return whole and max(values) >= 16 * min(values)


def _shown(value: Any) -> Any:
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
    """Axis of a key; trials without the key lie at a tick of their own below the others."""
    given = [value for value in values if value is not None]
    kind = _axis_type(summary, key)
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
