"""Pictures of an evaluation and of a training, the same for every engine.

File names are Ultralytics' own (`MaskF1_curve.png`, `confusion_matrix.png`, `results.png`), so that
runs of different engines line up in a tracker. Matplotlib's object interface only: no pyplot, no
global state, safe in a worker and without a display. Every file is written under a temporary name
and renamed.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainables.files.whole import write_whole
from trainables.metrics.confidence import confidence_text
from trainables.metrics.instances import Evaluation
from trainables.metrics.names import GROUPS, PARTICLE_GROUP, PIXEL_GROUP, names_in

_DPI = 120

_PREFIX = {"masks": "Mask", "boxes": "Box"}

_MEAN_COLOUR, _TRAIN_COLOUR, _VAL_COLOUR = "#1f3b73", "#d97b29", "#1f77b4"

_CLASS_COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d")

_MOST_NAMED_CLASSES = 20

_MOST_NUMBERED_CELLS = 25

_NOT_DRAWN = frozenset({"epoch", "round", "train_metrics_images"})

_GROUPS = (*GROUPS, PARTICLE_GROUP, PIXEL_GROUP)

_N_COLUMNS = 5

Floats = npt.NDArray[np.float64]


def plot_all(
    evaluations: Mapping[str, Evaluation],
    history: Mapping[int, Mapping[str, float]],
    to: Path,
    of: str = "",
) -> tuple[Path, ...]:
    """Everything an engine keeps as artifacts.

    Args:
        evaluations: Evaluations of the validation part by group, as `evaluate_groups` gives them.
        history: Epoch to metrics.
        to: Existing folder.
        of: Words for the titles on what was measured: "validation part, epoch 12".

    Returns:
        The files written: four curves a group, the confusion matrices of the first group (masks
        where there are masks) and the results, each only where there is something to draw.
    """
    files: list[Path] = []
    for evaluation in evaluations.values():
        files += plot_curves(evaluation, to, of)
    if evaluations:
        first = min(evaluations, key=list(GROUPS).index)
        files += plot_confusion(evaluations[first], to, of)
    if history:
        files.append(plot_results(history, to))
    return tuple(files)


def plot_curves(evaluation: Evaluation, to: Path, of: str = "") -> tuple[Path, ...]:
    """F1, precision and recall over confidence, and precision over recall, at IoU 0.5.

    Args:
        evaluation: The evaluation to draw.
        to: Existing folder.
        of: Words for the titles on what was measured.

    Returns:
        `<Mask|Box>F1_curve.png`, `…P_curve.png`, `…R_curve.png` and `…PR_curve.png`.
    """
    prefix = _PREFIX[evaluation.kind]
    curves = evaluation.curves
    over_confidence = {"F1": curves.f1, "P": curves.precision, "R": curves.recall}
    files = [
        _over_confidence(evaluation, name, values, of, to / f"{prefix}{name}_curve.png")
        for name, values in over_confidence.items()
    ]
    return (*files, _precision_over_recall(evaluation, of, to / f"{prefix}PR_curve.png"))


def plot_confusion(evaluation: Evaluation, to: Path, of: str = "") -> tuple[Path, Path]:
    """The confusion matrix in objects and as fractions of the true objects of a class.

    Args:
        evaluation: The evaluation to draw.
        to: Existing folder.
        of: Words for the titles on what was measured.

    Returns:
        `confusion_matrix.png` and `confusion_matrix_normalized.png`.
    """
    counts = evaluation.confusion
    fractions = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    at = f"{evaluation.kind}, IoU 0.5, confidence {confidence_text(evaluation.confidence)}"
    return (
        _matrix(evaluation, counts, titled(f"Objects ({at})", of), to / "confusion_matrix.png"),
        _matrix(
            evaluation,
            fractions,
            titled(f"Fraction of each column ({at})", of),
            to / "confusion_matrix_normalized.png",
        ),
    )


def plot_results(history: Mapping[int, Mapping[str, float]], to: Path) -> Path:
    """All metrics and losses over epochs, training and validation in one panel.

    A metric that some epochs lack is drawn at the epochs that have it, and a value that is not
    finite leaves a gap. Where an engine teaches itself, a line marks the beginning of each round.

    Args:
        history: Epoch to metrics; at least one.
        to: Existing folder.

    Returns:
        `results.png`.

    Raises:
        ValueError: No epoch has a metric that can be drawn.
    """
    rows = _rows(_panels(history))
    if not rows:
        raise ValueError(f"expected metrics of at least one epoch, got {dict(history)}")
    n_columns = max(map(len, rows))
    figure = new_figure(3.1 * n_columns, 2.4 * len(rows))
    for i, row in enumerate(rows):
        for k, (title, lines) in enumerate(row):
            axes = figure.add_subplot(len(rows), n_columns, i * n_columns + k + 1)
            _epochs(axes, history, title, lines)
            _mark_rounds(axes, history)
    figure.supxlabel("epoch", fontsize=10)
    return save_figure(figure, to / "results.png")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, drawn by Agg.

    Args:
        width: Width in inches.
        height: Height in inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, with its title as the file's, too; returns the file."""
    title = figure.get_suptitle() or figure.axes[0].get_title()
    return write_whole(
        path,
        lambda temporary: figure.savefig(
            temporary, format="png", dpi=_DPI, bbox_inches="tight", metadata={"Title": title}
        ),
    )


def titled(what: str, of: str) -> str:
    """A figure's title: its kind, and below it what was measured, where that is given."""
    return f"{what}\n{_text(of)}" if of else what


def _text(name: str) -> str:
    """A user's name so that matplotlib reads no formula in `$` and hides no leading `_`."""
    printed = name.replace("$", r"\$")
    return f" {printed}" if printed.startswith("_") else printed


def _present(evaluation: Evaluation) -> list[int]:
    """Classes of which true objects exist."""
    return [c for c, row in enumerate(evaluation.per_class) if row.truths]


def _lines(
    axes: Axes, evaluation: Evaluation, x: Floats, values: Floats, label: Callable[[int], str]
) -> None:
    """One thin line a class, where there are several; the mean is the caller's."""
    present = _present(evaluation)
    if len(present) < 2:
        return
    named = len(present) <= _MOST_NAMED_CLASSES
    for k, c in enumerate(present):
        colour = _CLASS_COLOURS[k % len(_CLASS_COLOURS)] if named else "0.75"
        axes.plot(x, values[c], color=colour, linewidth=1.2, label=label(c) if named else None)


def _mean(evaluation: Evaluation, values: Floats) -> Floats:
    """Mean of the rows of present classes, 0 where there is none."""
    present = _present(evaluation)
    if not present:
        return np.zeros(values.shape[1])
    mean: Floats = values[present].mean(axis=0)
    return mean


def _mean_label(evaluation: Evaluation) -> str:
    present = _present(evaluation)
    return _text(evaluation.classes[present[0]]) if len(present) == 1 else "mean of classes"


def _over_confidence(
    evaluation: Evaluation, name: str, values: Floats, of: str, path: Path
) -> Path:
    titles = {"F1": "F1", "P": "precision", "R": "recall"}
    x = evaluation.curves.confidence
    figure = new_figure(7.5, 5)
    axes = figure.add_subplot()
    _lines(axes, evaluation, x, values, lambda c: _text(evaluation.classes[c]))
    mean = _mean(evaluation, values)
    axes.plot(x, mean, color=_MEAN_COLOUR, linewidth=2.5, label=_mean_label(evaluation))
    _mark(axes, evaluation, name)
    axes.set_title(
        titled(f"{_PREFIX[evaluation.kind]} {titles[name]} over confidence (IoU 0.5)", of)
    )
    unit_square(axes, "confidence", titles[name])
    return save_figure(figure, path)


def _mark(axes: Axes, evaluation: Evaluation, name: str) -> None:
    """Mark the confidence at which P, R and F1 were taken, with the class mean there."""
    rows = [row for row in evaluation.per_class if row.truths]
    of_class = {"F1": [r.f1 for r in rows], "P": [r.precision for r in rows]}
    values = [v for v in of_class.get(name, [r.recall for r in rows]) if v is not None]
    value = float(np.mean(values)) if values else 0.0
    at = f"{value:.3f} at confidence {confidence_text(evaluation.confidence)}"
    if name == "F1" and len(rows) > 1:  # two figures that need not be equal
        at += f"\n(F1 of mean precision and recall: {evaluation.f1:.3f})"
    axes.axvline(evaluation.confidence, color="0.6", linewidth=1, linestyle="--", zorder=0)
    axes.plot(
        evaluation.confidence,
        value,
        "o",
        color=_MEAN_COLOUR,
        clip_on=False,
        label=at,
    )


def _precision_over_recall(evaluation: Evaluation, of: str, path: Path) -> Path:
    curves = evaluation.curves
    figure = new_figure(7.5, 5)
    axes = figure.add_subplot()

    def label(c: int) -> str:
        return f"{_text(evaluation.classes[c])} {evaluation.per_class[c].map50:.3f}"

    _lines(axes, evaluation, curves.recall_grid, curves.precision_at_recall, label)
    mean = _mean(evaluation, curves.precision_at_recall)
    axes.plot(
        curves.recall_grid,
        mean,
        color=_MEAN_COLOUR,
        linewidth=2.5,
        label=f"{_mean_label(evaluation)}, AP {evaluation.map50:.3f}",
    )
    axes.set_title(titled(f"{_PREFIX[evaluation.kind]} precision over recall (IoU 0.5)", of))
    unit_square(axes, "recall", "precision")
    return save_figure(figure, path)


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Axes from 0 to 1 with these names, a grid, and the legend beside them."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)


def _matrix(
    evaluation: Evaluation,
    values: npt.NDArray[np.int64] | Floats,
    title: str,
    path: Path,
) -> Path:
    """A confusion matrix; its cells are numbered as long as they are large enough."""
    n = len(values)
    names = [*map(_text, evaluation.classes), "background"]
    side = min(4.5 + 0.35 * n, 14)
    figure = new_figure(side + 1.2, side)
    axes = figure.add_subplot()
    fractions = values.dtype.kind == "f"
    top = 1.0 if fractions else max(float(values.max()), 1.0)
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=top)
    figure.colorbar(image, ax=axes, shrink=0.8)
    size = max(7, 11 - n // 8)
    axes.set_xticks(range(n), names, rotation=90 if n > 4 else 0, fontsize=size)
    axes.set_yticks(range(n), names, fontsize=size)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    axes.set_title(title, fontsize=10)
    if n <= _MOST_NUMBERED_CELLS:
        _number(axes, values, top, size)
    return save_figure(figure, path)


def _number(axes: Axes, values: npt.NDArray[np.int64] | Floats, top: float, size: float) -> None:
    fractions = values.dtype.kind == "f"
    for (row, column), value in np.ndenumerate(values):
        if value:
            axes.text(
                column,
                row,
                f"{value:.2f}" if fractions else str(value),
                ha="center",
                va="center",
                fontsize=size,
                color="white" if value > 0.6 * top else "black",
            )


def _panels(history: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, str]]:
    """Title of a panel to its lines: "train", "val" or "" to the metric's key."""
    keys = {key for values in history.values() for key in values} - _NOT_DRAWN
    panels: dict[str, dict[str, str]] = {}
    for key in sorted(keys):
        title, line = _panel_of(key)
        panels.setdefault(title, {})[line] = key
    return panels


def _panel_of(key: str) -> tuple[str, str]:
    """Panel and line of a metric.

    Example:
        >>> _panel_of("train_seg_metrics/F1"), _panel_of("val/box_loss"), _panel_of("overfit_gap")
        (('seg_metrics/F1', 'train'), ('box_loss', 'val'), ('overfit_gap', ''))
    """
    group, _, name = key.partition("/")
    if group in ("train", "val"):
        return name, group
    if group.removeprefix("train_") in _GROUPS:
        return key.removeprefix("train_"), "train" if group.startswith("train_") else "val"
    return key, ""


def _rows(panels: Mapping[str, dict[str, str]]) -> list[list[tuple[str, dict[str, str]]]]:
    """The panels in rows: losses, a row a group of metrics, then whatever else was measured."""
    metrics = [names_in(group) for group in _GROUPS]
    known = {title for titles in metrics for title in titles}
    others = [title for title in panels if title not in known]
    losses = [t for t in others if "/" not in t and "" not in panels[t]]
    rest = [t for t in others if t not in losses]
    rows: list[list[tuple[str, dict[str, str]]]] = []
    for titles in (losses, *metrics, rest):
        drawn = [(title, panels[title]) for title in titles if title in panels]
        rows += [drawn[i : i + _N_COLUMNS] for i in range(0, len(drawn), _N_COLUMNS)]
    return rows


def _epochs(
    axes: Axes, history: Mapping[int, Mapping[str, float]], title: str, lines: Mapping[str, str]
) -> None:
    colours = {"train": _TRAIN_COLOUR, "val": _VAL_COLOUR}
    for line, key in sorted(lines.items()):
        epochs = sorted(epoch for epoch, values in history.items() if key in values)
        y = _finite([history[epoch][key] for epoch in epochs])
        style = "o-" if len(epochs) < 30 else "-"
        colour = colours.get(line, _MEAN_COLOUR)
        axes.plot(epochs, y, style, color=colour, markersize=3, linewidth=1.5, label=line or None)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.92")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(lines) > 1:
        axes.legend(fontsize=7, frameon=False)


def _mark_rounds(axes: Axes, history: Mapping[int, Mapping[str, float]]) -> None:
    """A line between the epochs of two rounds, with the number of the round that begins."""
    numbers = [
        (epoch, values["round"]) for epoch, values in sorted(history.items()) if "round" in values
    ]
    for (_, before), (epoch, number) in pairwise(numbers):
        if number == before:
            continue
        axes.axvline(epoch - 0.5, color="0.6", linewidth=1, linestyle=":", zorder=0)
        axes.annotate(
            f"round {number:g}",
            (epoch - 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, -2),
            textcoords="offset points",
            va="top",
            fontsize=6,
            color="0.4",
        )


def _finite(values: Sequence[float]) -> Floats:
    y = np.array(values, dtype=np.float64)
    y[~np.isfinite(y)] = np.nan
    return y
