"""The table of compared studies for the terminal: one list a setting."""

from collections.abc import Sequence

from analysis.compare.entries import Entry
from analysis.compare.groups import Group, differences
from analysis.models.confirmed import Contender
from trainables.files.columns import aligned
from trainables.files.words import time_words

HEAD = (
    "study",
    "engine",
    "best",
    "epoch",
    "F1",
    "gap",
    "confirmed",
    "seeds",
    "trials",
    "epochs",
    "time",
    "time per F1",
    "price",
    "price per F1",
    "state",
)
"""Columns of the table; those in which no study has anything are left out."""

_TEXT = frozenset(("study", "engine", "price", "price per F1", "state"))


def comparison_lines(groups: Sequence[Group]) -> list[str]:
    """All lines: a table a setting, best study first, and the words that stand between them."""
    lines = [f"note: {sentence}" for sentence in differences(groups)]
    for group in groups:
        lines += ["", group.setting.words] if lines else [group.setting.words]
        lines += _table([row_of(entry) for entry in group.entries])
        lines += [f"  {entry.name}: {line}" for entry in group.entries for line in entry.lines]
    return lines


def row_of(entry: Entry) -> dict[str, str]:
    """The cells of a study by column, for the terminal and for the page."""
    best, summary = entry.best, entry.summary
    gap = None if best is None else best.best_metrics.get("overfit_gap")
    hours_per = entry.hours_per_f1
    return {
        "study": entry.name,
        "engine": entry.engine,
        "best": _metric(None if best is None else best.objective)
        + (" !" if best is not None and best.violation else ""),
        "epoch": "" if best is None else str(best.best_epoch),
        "F1": _metric(entry.f1),
        "gap": "" if gap is None else f"{gap:+.3f}",
        "confirmed": _confirmed(entry.confirmed),
        "seeds": str(entry.seeds),
        "trials": str(len(summary.trials)),
        "epochs": str(summary.epochs_trained),
        "time": time_words(entry.hours),
        "time per F1": "" if hours_per is None else time_words(hours_per),
        "price": entry.cost(),
        "price per F1": entry.cost(entry.f1 or 0.0),
        "state": entry.state,
    }


def _confirmed(one: Contender | None) -> str:
    """The mean of a configuration's fresh seeds with its interval."""
    if one is None:
        return ""
    half = "" if one.half_width is None else f" ± {one.half_width:.4f}"
    return f"{_metric(one.mean)}{half}"


def _metric(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(rows: Sequence[dict[str, str]]) -> list[str]:
    shown = [name for name in HEAD if any(row[name] for row in rows)]
    numbers = {place for place, name in enumerate(shown) if name not in _TEXT}
    return aligned([shown, *([row[name] for name in shown] for row in rows)], numbers, "  ")
