"""The report's charts, as Plotly figures without colours of paper or text.

The page gives every chart the colours of the reader's light or dark setting; what is drawn here
must be readable on both, so marks are mid-tones told apart by shape as well as by colour.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.report.importance import Importance, value_at
from analysis.report.pareto import F1, Front
from analysis.report.summary import RULES, Summary
from trainables.goal import Mode, standing
from tune.directory.reader import TrialRecord

RUNNING = "running"

# Contrast at least 3:1 against white and against the page's dark ground, see tests.
COLOURS: Mapping[str, str] = {
    "epochs": "#2f80d0",
    "plateau": "#199271",
    "patience": "#199271",
    "asha": "#b8761c",
    "collapsed": "#9a68c9",
    "diverged": "#d1493d",
    "budget": "#7f8791",
    "error": "#d1493d",
    RUNNING: "#7f8791",
}

SYMBOLS: Mapping[str, str] = {
    "epochs": "circle",
    "plateau": "square",
    "patience": "square",
    "asha": "triangle-down",
    "collapsed": "diamond",
    "diverged": "x",
    "budget": "hexagon",
    "error": "cross",
    RUNNING: "circle-open",
}

TRAIN_COLOUR, VALIDATION_COLOUR = "#b8761c", "#2f80d0"

GAP_LEVELS: Mapping[str, float] = {"normal": 0.03, "warning": 0.15, "severe": 0.35}

MOST_AXES = 8

MOST_SLICES = 6

_WORSE_TO_BETTER = [[0, "#8f98a2"], [0.5, "#2f80d0"], [1, "#d1493d"]]

_FEW_VALUES = 8

_LONG_NAME = 13  # letters; eight axes leave room for no more

_GAP_COLOURS: Mapping[str, str] = {"normal": "#199271", "warning": "#b8761c", "severe": "#d1493d"}


def reason_of(trial: TrialRecord) -> str:
    """What ended a trial, or that it has not ended."""
    return trial.stop_reason or RUNNING


def history(summary: Summary) -> go.Figure:
    """Best epoch of every trial in the order of the trials, with the best so far."""
    trials = sorted(
        (t for t in summary.trials if t.objective is not None), key=lambda trial: trial.number
    )
    figure = go.Figure()
    for reason, group in _by_reason(trials).items():
        figure.add_scatter(
            x=[t.number for t in group],
            y=[t.objective for t in group],
            mode="markers",
            name=_reason_words(reason),
            marker={
                "color": COLOURS[reason],
                "symbol": SYMBOLS[reason],
                "size": 9,
                "opacity": [0.4 if t.violation else 1.0 for t in group],
            },
            customdata=[[t.best_epoch, t.epochs, _broken(t)] for t in group],
            hovertemplate="trial %{x}: %{y:.4f} at epoch %{customdata[0]} of %{customdata[1]}"
            "%{customdata[2]}",
        )
    counted = [t for t in trials if t.state != "failed"]
    figure.add_scatter(
        x=[t.number for t in counted],
        y=_running_best(counted, summary.mode),
        mode="lines",
        name="best so far",
        line={"shape": "hv", "width": 2, "color": "#7f8791"},
        hovertemplate="best so far: %{y:.4f}",
    )
    last = max((t.number for t in trials), default=0)
    figure.update_xaxes(title="trial", dtick=max(1, round(last / 12)), range=[-0.5, last + 0.5])
    figure.update_yaxes(title=f"{summary.metric}, best epoch")
    return figure


def curves(summary: Summary) -> go.Figure:
    """The objective of every trial over the epochs, with the rungs."""
    figure = go.Figure()
    leader = summary.best.number if summary.best else None
    shown: set[str] = set()
    for trial in reversed(summary.trials):  # the best ones are drawn last, on top
        if not trial.metrics:
            continue
        reason = reason_of(trial)
        figure.add_scatter(
            x=[row["epoch"] for row in trial.metrics],
            y=[row.get(summary.metric) for row in trial.metrics],
            mode="lines" if len(trial.metrics) > 1 else "markers",
            name=_reason_words(reason),
            legendgroup=reason,
            showlegend=reason not in shown,
            opacity=1.0 if trial.number == leader else 0.55,
            line={"color": COLOURS[reason], "width": 3.5 if trial.number == leader else 1.3},
            hovertemplate=f"{trial.label}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )
        shown.add(reason)
    reached = max((trial.epochs for trial in summary.trials), default=0)
    for rung in (rung for rung in summary.rungs if rung <= reached):
        figure.add_vline(x=rung, line={"dash": "dot", "width": 1, "color": "#7f8791"})
        figure.add_annotation(
            x=rung, y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"rung {rung}"
        )
    figure.update_xaxes(_epochs_axis(reached))
    figure.update_yaxes(title=f"{summary.metric}, validation")
    return figure


def train_and_validation(summary: Summary) -> go.Figure | None:
    """F1 of both splits above their gap; one trial's three lines are shown at a time.

    The traces come in threes (validation, training, gap), in the order of `with_f1`; the page
    chooses which three are visible.
    """
    trials, metric = with_f1(summary), summary.f1_metric
    if metric is None or not trials:
        return None
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.07)
    for place, trial in enumerate(trials):
        for split, name, colour in (
            ("validation", metric, VALIDATION_COLOUR),
            ("training", f"train_{metric}", TRAIN_COLOUR),
        ):
            figure.add_trace(_line(trial, name, f"F1, {split}", colour, place == 0), 1, 1)
        figure.add_trace(_gap_line(trial, metric, place == 0), 2, 1)
    for level, value in GAP_LEVELS.items():
        figure.add_hline(
            y=value,
            row=2,
            col=1,
            line={"dash": "dash", "width": 1.5, "color": _GAP_COLOURS[level]},
            annotation={"text": f"{level} {value:g}", "xanchor": "right", "yanchor": "bottom"},
        )
    figure.update_yaxes(title="F1", range=[0, 1.02], row=1, col=1)
    figure.update_yaxes(
        title="training - validation", row=2, col=1, range=_gap_range(trials, metric)
    )
    figure.update_xaxes(_epochs_axis(max(trial.epochs for trial in trials)), row=2, col=1)
    return figure


def _epochs_axis(reached: int) -> dict[str, Any]:
    """An axis of whole epochs; left to itself, a short one has ticks between them, too."""
    return {"title": "epoch", "tickformat": "d"} | ({"dtick": 1} if reached <= 12 else {})


def with_f1(summary: Summary) -> list[TrialRecord]:
    """Trials that have an F1 curve, best first."""
    metric = summary.f1_metric
    return [t for t in summary.trials if metric and any(metric in row for row in t.metrics)]


def importance(found: Importance) -> go.Figure:
    """Bars, the largest on top."""
    keys = list(reversed(list(found.shares)))
    figure = go.Figure()
    figure.add_bar(
        x=[found.shares[key] for key in keys],
        y=keys,
        orientation="h",
        marker={"color": "#2f80d0" if found.meaningful else "#7f8791"},
        text=[f"{found.shares[key]:.0%}" for key in keys],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    figure.update_xaxes(title=f"share at epoch {found.epoch}", tickformat=".0%", rangemode="tozero")
    figure.update_layout(height=90 + 26 * len(keys))
    return figure


def slices(summary: Summary) -> go.Figure | None:
    """The objective over each of the most important keys, at the common epoch."""
    keys = list(summary.keys)[:MOST_SLICES]
    if not keys or not summary.importances or summary.importances[0].compared < 2:
        return None
    epoch = summary.importances[0].epoch
    columns = min(3, len(keys))
    rows = math.ceil(len(keys) / columns)
    figure = make_subplots(rows, columns, shared_yaxes=True, subplot_titles=keys)
    for place, key in enumerate(keys):
        row, column = place // columns + 1, place % columns + 1
        for reason, group in _by_reason([t for t in summary.trials if key in t.params]).items():
            points = [(t, value_at(t, summary.metric, epoch)) for t in group]
            found = [(t, value) for t, value in points if value is not None]
            figure.add_scatter(
                x=[_shown(t.params[key]) for t, _ in found],
                y=[value for _, value in found],
                mode="markers",
                name=_reason_words(reason),
                legendgroup=reason,
                showlegend=place == 0 and bool(found),
                marker={"color": COLOURS[reason], "symbol": SYMBOLS[reason], "size": 8},
                text=[t.label for t, _ in found],
                hovertemplate="%{text}: %{x}, %{y:.4f}<extra></extra>",
                row=row,
                col=column,
            )
        figure.update_xaxes(_slice_axis(summary, key), row=row, col=column)
    figure.update_yaxes(title=summary.metric, col=1)
    figure.update_layout(height=120 + 240 * rows)
    return figure


def parallel(summary: Summary) -> go.Figure | None:
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
    figure = go.Figure(go.Parcoords(dimensions=axes, line=line))
    figure.update_layout(margin={"l": 80, "r": 40, "t": 60, "b": 30}, height=430)
    return figure


def pareto(summary: Summary) -> go.Figure | None:
    """Mask F1 over each measurement error, side by side; None where there is nothing to choose."""
    if not any(len(front.trials) + len(front.others) > 1 for front in summary.fronts):
        return None
    figure = make_subplots(1, len(summary.fronts), shared_yaxes=True, horizontal_spacing=0.03)
    for column, front in enumerate(summary.fronts, start=1):
        for trace in _front_traces(front, summary, legend=column == 1):
            figure.add_trace(trace, row=1, col=column)
        for limit in (limit for limit in summary.limits if limit.metric == front.error):
            figure.add_vline(
                x=limit.at_most,
                row=1,
                col=column,
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
    return figure


def _around(summary: Summary, front: Front, metric: str) -> list[float]:
    """What must be in sight: trials that learnt little would press the fronts into a corner."""
    shown = [*front.trials, *((summary.best,) if summary.best else ())]
    return [t.best_metrics[metric] for t in shown if metric in t.best_metrics]


def _front_traces(front: Front, summary: Summary, *, legend: bool) -> list[go.Scatter]:
    """The other trials, the front as a stair with the trials' numbers, and the leader."""
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
        go.Scatter(
            x=[t.best_metrics[front.error] for t in trials],
            y=[t.best_metrics.get(F1) for t in trials],
            name=name,
            legendgroup=name,
            showlegend=legend,
            customdata=[[t.number, t.best_epoch] for t in trials],
            hovertemplate="trial %{customdata[0]}, epoch %{customdata[1]}: F1 %{y:.4f}, "
            f"{front.name} %{{x:.4f}}<extra></extra>",
            **look,
        )
        for name, trials, look in looks
    ]


def _by_reason(trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Trials by what ended them, in the order of `COLOURS`, so that legends agree."""
    groups: dict[str, list[TrialRecord]] = {}
    for reason in COLOURS:
        group = [trial for trial in trials if reason_of(trial) == reason]
        if group:
            groups[reason] = group
    return groups


def _reason_words(reason: str) -> str:
    return RULES.get(reason, "still training")


def _running_best(trials: Sequence[TrialRecord], mode: Mode) -> list[float | None]:
    def place(trial: TrialRecord) -> tuple[float, float]:
        """Where a trial stands: the larger, the better."""
        return standing(trial.objective or 0.0, trial.violation, mode)

    def better(before: TrialRecord, trial: TrialRecord) -> TrialRecord:
        """The better of two trials, of equal ones the earlier."""
        return max(before, trial, key=place)

    return [trial.objective for trial in accumulate(trials, better)]


def _broken(trial: TrialRecord) -> str:
    return f", breaks its constraints by {trial.violation:.3g}" if trial.violation else ""


def _line(trial: TrialRecord, metric: str, name: str, colour: str, visible: bool) -> "go.Scatter":
    return _points(
        trial,
        {int(r["epoch"]): r[metric] for r in trial.metrics if metric in r},
        name,
        colour,
        visible,
    )


def _gap_line(trial: TrialRecord, metric: str, visible: bool) -> "go.Scatter":
    return _points(trial, _gaps(trial, metric), "gap", "#9a68c9", visible)


def _gaps(trial: TrialRecord, metric: str) -> dict[int, float]:
    """By how much the training part is ahead, by epoch."""
    rows = [row for row in trial.metrics if metric in row and f"train_{metric}" in row]
    return {int(row["epoch"]): row[f"train_{metric}"] - row[metric] for row in rows}


def _points(
    trial: TrialRecord, values: Mapping[int, float], name: str, colour: str, visible: bool
) -> "go.Scatter":
    """A line over the epochs; the first epoch of each round is a larger mark."""
    first = round_starts(trial)
    return go.Scatter(
        x=list(values),
        y=list(values.values()),
        mode="lines+markers",
        marker={
            "size": [11 if epoch in first else 4 for epoch in values],
            "symbol": ["diamond" if epoch in first else "circle" for epoch in values],
        },
        customdata=[
            f" (begins round {first[epoch]})" if epoch in first else "" for epoch in values
        ],
        name=name,
        line={"color": colour, "width": 2},
        visible=visible,
        hovertemplate="epoch %{x}%{customdata}: %{y:.4f}",
    )


def round_starts(trial: TrialRecord) -> dict[int, int]:
    """Epochs at which an engine that teaches itself begins a round, with its number."""
    numbers = {int(row["epoch"]): int(row["round"]) for row in trial.metrics if "round" in row}
    before = dict(zip(numbers, [0, *numbers.values()], strict=False))
    return {epoch: number for epoch, number in numbers.items() if number != before[epoch]}


def _gap_range(trials: Sequence[TrialRecord], metric: str) -> list[float]:
    gaps = [gap for trial in trials for gap in _gaps(trial, metric).values()]
    return [min([0.0, *gaps]) - 0.03, max([0.42, *gaps]) + 0.03]


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
    """With ticks of its own: the ends that Plotly writes instead lie where a name may be."""
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
    """One axis; trials without the key lie at a tick of their own below the others."""
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
