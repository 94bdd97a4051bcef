"""Histograms of sizes with the log-normal distributions fitted to them."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from analysis.measure.figures import ALL, ClassFigures
from analysis.measure.geometry.runs import Floats
from analysis.measure.report.particles import Counted
from analysis.measure.statistics.lognormal import LogNormalFit
from analysis.report.chart import Chart

MOST: Final = 9
"""Histograms of a page: of all particles and of the first classes."""

_FEWEST_BINS, _MOST_BINS = 6, 60

_WIDE: Final = 20.0  # largest size to the smallest from which on the axis is logarithmic

_BARS, _CURVE = "#2f80d0", "#b8761c"

_POINTS: Final = 200


def histograms(
    figures: Sequence[ClassFigures], counted: Counted, classes: Sequence[str], words: str
) -> dict[str, str]:
    """JSON of a histogram of each group of particles that has any, by its place in the figures.

    Args:
        figures: Figures of the groups.
        counted: Particles that count.
        classes: Class names.
        words: Words for a particle's size, such as "equivalent diameter".
    """
    drawn = {}
    for place, one in enumerate(figures[:MOST]):
        everything = place == 0 and one.name == ALL
        chosen = (
            np.ones(len(counted), bool)
            if everything
            else counted.classes == classes.index(one.name)
        )
        if chosen.any():
            chart = _histogram(one, counted.sizes[chosen], counted.weights[chosen], words)
            drawn[f"sizes{place}"] = chart.to_json(rounded=True)
    return drawn


def bins(sizes: Floats) -> Floats:
    """Limits of the bins: Freedman and Diaconis' width, on a logarithmic scale of wide spreads."""
    low, high = float(sizes.min()), float(sizes.max())
    if low == high:
        return np.array([low * 0.95, low * 1.05])
    values = np.log(sizes) if high > _WIDE * low else sizes
    limits = np.histogram_bin_edges(values, "fd") if len(sizes) > 1 else values
    n = int(np.clip(len(limits) - 1, _FEWEST_BINS, _MOST_BINS))
    limits = np.linspace(values.min(), values.max(), n + 1)
    edges: Floats = np.exp(limits) if high > _WIDE * low else limits
    edges[0], edges[-1] = low, high
    return edges


def _histogram(one: ClassFigures, sizes: Floats, weights: Floats, words: str) -> Chart:
    edges = bins(sizes)
    shares = 100 * np.histogram(sizes, edges, weights=weights)[0] / weights.sum()
    unit = one.unit.replace("um", "µm")
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": "particles",
            "x": ((edges[:-1] + edges[1:]) / 2).tolist(),
            "width": np.diff(edges).tolist(),
            "y": shares.tolist(),
            "marker": {"color": _BARS, "line": {"width": 0.5, "color": "rgba(255,255,255,0.6)"}},
            "customdata": np.column_stack([edges[:-1], edges[1:]]).tolist(),
            "hovertemplate": f"%{{customdata[0]:.4g}} to %{{customdata[1]:.4g}} {unit}: "
            "%{y:.3g} %<extra></extra>",
        }
    ]
    wide = edges[-1] > _WIDE * edges[0]
    if one.fit.sd > 1:
        x, y = _curve(one.fit, edges, wide=wide)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "log-normal, fitted",
                "x": x.tolist(),
                "y": y.tolist(),
                "line": {"color": _CURVE, "width": 2.5},
                "hoverinfo": "skip",
            }
        )
    layout = go.Layout(
        xaxis={"title": f"{words} ({unit})", "type": "log" if wide else "linear"},
        yaxis={"title": "particles (%), by number", "rangemode": "tozero"},
        bargap=0,
        height=340,
    )
    return Chart(traces, go.Figure(layout=layout))


def _curve(fit: LogNormalFit, edges: Floats, *, wide: bool) -> tuple[Floats, Floats]:
    """The share of the fitted distribution in a bin around each size, in per cent."""
    x = (np.geomspace if wide else np.linspace)(edges[0], edges[-1], _POINTS)
    log_sd = np.log(fit.sd)
    z = (np.log(x) - np.log(fit.median)) / log_sd
    by_log = np.exp(-(z**2) / 2) / (log_sd * np.sqrt(2 * np.pi))
    width = np.log(edges[1] / edges[0]) if wide else (edges[1] - edges[0]) / x
    return x, 100 * by_log * width
