"""The page of a race: its answer, a forest plot of the candidates, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from analysis.confirm.words import (
    cost_words,
    counts_as,
    gain_words,
    overtuning_words,
    retraining_words,
    test_words,
)
from analysis.models.confirmed import Contender, Verdict
from analysis.pages.environment import page_environment
from search_spaces.names import written
from trainables.files.whole import write_text

PAGE: Final = "confirm.html"

_LEFT, _RIGHT, _ROW, _WIDTH = 190, 24, 34, 900

_TICKS: Final = 5


@dataclass(frozen=True)
class ForestRow:
    """A candidate in the forest plot; all places in pixels.

    Attributes:
        one: The candidate.
        y: Middle of its row.
        seeds: Places of its single trainings.
        mean: Place of its mean; None where it was not trained.
        low: Lower end of the interval of the mean, or None.
        high: Upper end, or None.
        searched: Place of what the search said, or None.
        alive: Whether it is in the set.
        recommended: Whether it is the recommended one.
    """

    one: Contender
    y: float
    seeds: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    searched: float | None
    alive: bool
    recommended: bool


@dataclass(frozen=True)
class _Axis:
    """The axis of the objective, from one value to another."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Place of a value, in pixels."""
        share = (value - self.low) / (self.high - self.low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and words of the ticks."""
        step = (self.high - self.low) / (_TICKS - 1)
        values = [self.low + k * step for k in range(_TICKS)]
        return [(self(value), f"{value:.4g}") for value in values]


def write_page(folder: Path, verdict: Verdict) -> Path:
    """Write the page of a race into a folder; returns its path."""
    rows, axis = forest(verdict)
    winner = verdict.winner
    page = (
        page_environment()
        .get_template("confirm.html")
        .render(
            v=verdict,
            counts_as=counts_as,
            rows=rows,
            ticks=axis.ticks(),
            width=_WIDTH,
            height=_ROW * (len(rows) + 1) + 8,
            left=_LEFT,
            gain=gain_words(verdict) if winner else "",
            retraining=retraining_words(verdict) if winner else [],
            overtuning=list(overtuning_words(verdict)) if winner else [],
            test=test_words(verdict),
            cost={one.name: cost_words(one) for one in verdict.contenders},
            params={one.name: _params(one) for one in verdict.contenders},
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_text(folder / PAGE, page)
    return folder / PAGE


def forest(verdict: Verdict) -> tuple[list[ForestRow], _Axis]:
    """The rows of the forest plot, those in the set first, and their axis."""
    axis = _axis(verdict.contenders)
    order = [*verdict.alive, *(c for c in range(len(verdict.contenders)) if c not in verdict.alive)]
    return [_row(verdict, c, place, axis) for place, c in enumerate(order)], axis


def _row(verdict: Verdict, c: int, place: int, axis: _Axis) -> ForestRow:
    one = verdict.contenders[c]
    trained = one.mean is not None and bool(one.values)
    ends: tuple[float | None, float | None] = (None, None)
    if trained and one.mean is not None and one.half_width is not None:
        ends = axis(one.mean - one.half_width), axis(one.mean + one.half_width)
    return ForestRow(
        one=one,
        y=_ROW * (place + 0.6),
        seeds=tuple(axis(value) for value in one.values if value is not None),
        mean=axis(one.mean) if trained and one.mean is not None else None,
        low=ends[0],
        high=ends[1],
        searched=None if one.searched is None else axis(one.searched),
        alive=c in verdict.alive,
        recommended=c == verdict.recommended,
    )


def _axis(contenders: Sequence[Contender]) -> _Axis:
    """An axis that holds every value there is, with a little room."""
    values = [v for one in contenders for v in (*one.values, one.searched) if v is not None]
    for one in contenders:
        if one.values and one.mean is not None:
            half = one.half_width or 0.0
            values += [one.mean - half, one.mean + half]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.04 * (high - low) or 0.01
    return _Axis(low - room, high + room)


def _params(one: Contender) -> str:
    return ", ".join(f"{key} {written(value, 4)}" for key, value in one.params.items())
