"""The chart of mask F1 against each measurement error, with its Pareto front."""

from collections.abc import Sequence
from typing import Any

from plotly.subplots import make_subplots

from analysis.report.chart import Chart
from analysis.report.pareto import F1, Front
from analysis.report.summary import Summary
from tune.directory.reader import TrialRecord


def pareto(summary: Summary) -> Chart | None:
    """Mask F1 over each measurement error, side by side; None where there is nothing to choose."""
    if not any(len(front.trials) + len(front.others) > 1 for front in summary.fronts):
        return None
    figure = make_subplots(1, len(summary.fronts), shared_yaxes=True, horizontal_spacing=0.03)
    for column, front in enumerate(summary.fronts, start=1):
        for limit in (limit for limit in summary.limits if limit.metric == front.error):
            figure.add_vline(
                x=limit.at_most,
                row=1,
                col=column,
                exclude_empty_subplots=False,
                line={"dash": "dash", "width": 1.5, "color": "#d1493d"},
                annotation={"text": f"at most {limit.at_most:g}", "yanchor": "bottom"},
            )
        figure.update_xaxes(
            title=front.name.replace("_", " "),
            range=[0.0, 2 * max(_around(summary, front, front.error)) or 1.0],
            row=1,
            col=column,
        )
    f1s = [value for front in summary.fronts for value in _around(summary, front, F1)]
    figure.update_yaxes(range=[max(0.0, min(f1s) - 0.2), max(f1s) + 0.05])
    figure.update_yaxes(title="mask F1", row=1, col=1)
    figure.update_layout(height=430)
    traces = [t for place, f in enumerate(summary.fronts) for t in _front_traces(f, summary, place)]
    return Chart(traces, figure)


def _around(summary: Summary, front: Front, metric: str) -> list[float]:
    """Values of a metric that must be in sight: those of the fronts' trials and of the leader.

    Trials that learnt little would press the fronts into a corner.
    """
    shown = [*front.trials, *((summary.best,) if summary.best else ())]
    return [t.best_metrics[metric] for t in shown if metric in t.best_metrics]


def _front_traces(front: Front, summary: Summary, place: int) -> list[dict[str, Any]]:
    """Traces of the other trials, the front as a stair with the trials' numbers, and the leader."""
    leader = [t for t in (summary.best,) if t and front.error in t.best_metrics]
    looks: list[tuple[str, Sequence[TrialRecord], dict[str, Any]]] = [
        (
            "other trials",
            front.others,
            {"mode": "markers", "marker": {"color": "#7f8791", "size": 7, "symbol": "circle-open"}},
        ),
        (
            "Pareto front",
            front.trials,
            {
                "mode": "lines+markers+text",
                "marker": {"color": "#2f80d0", "size": 10},
                "line": {"shape": "vh", "width": 1.5, "color": "#2f80d0"},
                "text": [str(t.number) for t in front.trials],
                "textposition": "top left",
            },
        ),
        (
            "ranked first",
            leader,
            {
                "mode": "markers",
                "marker": {
                    "color": "#b8761c",
                    "size": 17,
                    "symbol": "star-open",
                    "line": {"width": 2},
                },
            },
        ),
    ]
    return [
        {
            "type": "scatter",
            "x": [t.best_metrics[front.error] for t in trials],
            "y": [t.best_metrics.get(F1) for t in trials],
            "name": name,
            "legendgroup": name,
            "showlegend": place == 0,
            "customdata": [[t.number, t.best_epoch] for t in trials],
            "hovertemplate": "trial %{customdata[0]}, epoch %{customdata[1]}: F1 %{y:.4f}, "
            f"{front.name} %{{x:.4f}}<extra></extra>",
            "xaxis": f"x{place + 1 if place else ''}",
            "yaxis": f"y{place + 1 if place else ''}",
            **look,
        }
        for name, trials, look in looks
    ]
