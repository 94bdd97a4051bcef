"""Charts of a panel's hyperparameters: together, each alone, two at a time, and their shares."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.interpolate import griddata
from scipy.spatial import QhullError

from analysis.compare.courses import marks
from analysis.compare.drawing import Drawn, Owner
from analysis.compare.panel import Panel
from analysis.pages.words import metric_words
from analysis.report.chart import Chart
from analysis.report.importance import FEWEST_TRIALS, value_at
from analysis.report.keys import axis_type, parallel_keys, shown_value, slice_axis, sliced_keys
from analysis.report.keys import parallel as parallel_of

MOST_SLICES: Final = 6

MOST_CROSSED: Final = 3
"""Hyperparameters of which every two are drawn against each other."""

_GRID: Final = 30


def parallel(panel: Panel) -> Drawn | None:
    """Parallel coordinates over hyperparameters and objective, one line a trial of any study."""
    chart = parallel_of(panel.pooled)
    if chart is None:
        return None
    numbers = [number for _, number, trial in panel.rows() if trial.objective is not None]
    if len(panel.members) > 1:
        places = [i for i, m in enumerate(panel.members) for _, t in m.rows() if _valued(t)]
        names = [m.entry.name for m in panel.members]
        axis = {"label": "study", "values": places, "tickvals": list(range(len(names)))}
        axis |= {"ticktext": names, "range": [-0.3, len(names) - 0.7]}
        chart.traces[0]["dimensions"].insert(0, axis)
        longest = max(map(len, names))
        chart.figure.update_layout(margin={"l": 40 + 7 * min(longest, 40)})
    return Drawn(chart, [{"trials": numbers}])


def slices(panel: Panel) -> Drawn | None:
    """The objective over each of the most important hyperparameters, at the common epoch."""
    keys = sliced_keys(panel.pooled)[:MOST_SLICES]
    if not keys or not panel.epoch:
        return None
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = make_subplots(rows, columns, shared_yaxes=True, subplot_titles=keys)
    traces: list[dict[str, Any]] = []
    owners: list[Owner] = []
    for place, key in enumerate(keys):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        figure.update_xaxes(slice_axis(panel.pooled, key), **at)
        for member in panel.members:
            found = [
                (number, trial, value)
                for number, trial in member.rows()
                if key in trial.params and (value := _value(panel, trial)) is not None
            ]
            points = [(shown_value(t.params[key]), value) for _, t, value in found]
            drawn = marks(member, [t for _, t, _ in found], points, place)
            traces.append({**drawn, "showlegend": place == 0})
            owners.append({"trials": [number for number, _, _ in found]})
    figure.update_yaxes(title=metric_words(panel.pooled.metric), col=1)
    figure.update_layout(height=120 + 240 * rows)
    return Drawn(Chart(traces, figure), owners)


def crossed_keys(panel: Panel) -> list[tuple[str, str]]:
    """Every two of the most important hyperparameters that are numbers."""
    numeric = [k for k in parallel_keys(panel.pooled) if axis_type(panel.pooled, k) != "category"]
    return list(combinations(numeric[:MOST_CROSSED], 2))


def contours(panel: Panel) -> Drawn | None:
    """The objective over two hyperparameters at a time: lines between the trials that there are."""
    traces: list[dict[str, Any]] = []
    owners: list[Owner] = []
    drawn: list[tuple[str, str]] = []
    for x_key, y_key in crossed_keys(panel) if panel.epoch else []:
        made = _contour(panel, x_key, y_key, len(drawn))
        if made is not None:
            drawn.append((x_key, y_key))
            traces += made[0]
            owners += made[1]
    if not drawn:
        return None
    figure = make_subplots(1, len(drawn), horizontal_spacing=0.1)
    for place, (x_key, y_key) in enumerate(drawn, start=1):
        x_axis, y_axis = (slice_axis(panel.pooled, key) for key in (x_key, y_key))
        figure.update_xaxes({**x_axis, "title": {"text": x_key}}, col=place)
        figure.update_yaxes({**y_axis, "title": {"text": y_key}}, col=place)
    return Drawn(Chart(traces, figure), owners)


def importance(panel: Panel) -> Drawn | None:
    """Shares of the hyperparameters at the common epoch, in each study, the largest on top."""
    together = panel.pooled.importances[0].shares
    shown = [
        (member, found)
        for member, found in zip(panel.members, panel.importances, strict=True)
        if found.shares
    ]
    if not shown:
        return None
    order = dict.fromkeys([*together, *(key for _, found in shown for key in found.shares)])
    keys = list(reversed(list(order)))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": member.entry.name + ("" if found.meaningful else " (noise)"),
            "x": [found.shares.get(key) for key in keys],
            "y": keys,
            "marker": {"color": member.colour, "opacity": 1 if found.meaningful else 0.35},
            "hovertemplate": "%{fullData.name}: %{y} %{x:.1%}<extra></extra>",
        }
        for member, found in shown
    ]
    figure = go.Figure()
    figure.update_xaxes(title=f"share at epoch {panel.epoch}", tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(type="category")
    figure.update_layout(barmode="group", height=150 + len(keys) * (14 + 12 * len(shown)))
    return Drawn(Chart(traces, figure), [{"study": member.place} for member, _ in shown])


def _valued(trial: Any) -> bool:
    return trial.objective is not None


def _value(panel: Panel, trial: Any) -> float | None:
    return value_at(trial, panel.pooled.metric, panel.epoch)


def _contour(
    panel: Panel, x_key: str, y_key: str, place: int
) -> tuple[list[dict[str, Any]], list[Owner]] | None:
    """A map of the objective over two hyperparameters, and the trials it was made from."""
    found = [
        (number, trial, value)
        for _, number, trial in panel.rows()
        if {x_key, y_key} <= set(trial.params) and (value := _value(panel, trial)) is not None
    ]
    if len(found) < FEWEST_TRIALS:
        return None
    xs = _scaled(panel, x_key, [t.params[x_key] for _, t, _ in found])
    ys = _scaled(panel, y_key, [t.params[y_key] for _, t, _ in found])
    values = [value for _, _, value in found]
    grid = _between(xs, ys, np.array(values))
    if grid is None:
        return None
    number = str(place + 1) if place else ""
    axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    field = {
        "type": "contour",
        "x": _unscaled(panel, x_key, xs),
        "y": _unscaled(panel, y_key, ys),
        "z": grid,
        "colorscale": [[0, "#8f98a2"], [0.5, "#2f80d0"], [1, "#d1493d"]],
        "reversescale": panel.pooled.mode == "min",
        "zmin": min(values),
        "zmax": max(values),
        "opacity": 0.7,
        "showscale": place == 0,
        "colorbar": {"thickness": 12, "title": {"text": metric_words(panel.pooled.metric)}},
        "hovertemplate": f"{x_key} %{{x:.3~g}}, {y_key} %{{y:.3~g}}: %{{z:.4f}}<extra></extra>",
        **axes,
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [t.params[x_key] for _, t, _ in found],
        "y": [t.params[y_key] for _, t, _ in found],
        "text": [f"{t.label}: {value:.4f}" for _, t, value in found],
        "marker": {"color": "#1b2229", "size": 4, "line": {"width": 1, "color": "#ffffff"}},
        "showlegend": False,
        "hovertemplate": "%{text}<extra></extra>",
        **axes,
    }
    return [field, points], [{}, {"trials": [number for number, _, _ in found]}]


def _scaled(panel: Panel, key: str, values: Sequence[Any]) -> npt.NDArray[np.float64]:
    numbers = np.array(values, float)
    return np.log10(numbers) if axis_type(panel.pooled, key) == "log" else numbers


def _unscaled(panel: Panel, key: str, scaled: npt.NDArray[np.float64]) -> list[float]:
    line = np.linspace(scaled.min(), scaled.max(), _GRID)
    found: list[float] = (10**line if axis_type(panel.pooled, key) == "log" else line).tolist()
    return found


def _between(
    xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> list[list[float | None]] | None:
    """(GRID, GRID) values between the trials, None outside of them; None where they span no area.

    Linear on the triangles of Delaunay; of trials at one place the mean counts.
    """
    if not np.ptp(xs) or not np.ptp(ys) or not np.ptp(values):
        return None
    unit = np.stack([(xs - xs.min()) / np.ptp(xs), (ys - ys.min()) / np.ptp(ys)], axis=1)
    places, of = np.unique(unit.round(9), axis=0, return_inverse=True)
    means = np.bincount(of.ravel(), weights=values) / np.bincount(of.ravel())
    line = np.linspace(0, 1, _GRID)
    try:
        z = griddata(places, means, tuple(np.meshgrid(line, line)), method="linear")
    except QhullError:  # they lie on a line
        return None
    return [[None if math.isnan(v) else v for v in row] for row in z.tolist()]
