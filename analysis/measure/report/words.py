"""Figures of a measurement as a page writes them, each with all that it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.measure.figures import ClassFigures
from analysis.measure.statistics.intervals import Estimate
from analysis.measure.statistics.uncertainty import SAID, Uncertainty
from trainables.files.words import digits

SHOWN: Final[Mapping[str, str]] = {
    "d10_number": "D10 by number",
    "d50_number": "D50 by number",
    "d90_number": "D90 by number",
    "mean_1_0": "mean, D[1,0]",
    "mean_3_2": "D[3,2]",
    "mean_4_3": "D[4,3]",
    "d50_volume": "D50 by volume",
    "geometric_mean": "geometric mean",
    "geometric_sd": "geometric sd",
    "span_number": "span by number",
    "number_density": "number per area",
}
"""Figures of the page's tables; all are in figures.csv."""

_HEADLINE: Final[Mapping[str, str]] = {
    "d50_number": "D50 by number",
    "mean_1_0": "mean {size}",
    "number_density": "particles per area",
}


@dataclass(frozen=True)
class Figure:
    """A figure as the page writes it.

    Attributes:
        name: What it is.
        value: Its value.
        unit: Its unit.
        combined: 95 % interval with everything that is known to be uncertain, or why there is none.
        sampling: 95 % interval over pictures alone; "" of one picture.
        parts: Relative standard uncertainties by source, and which are not known.
        short_parts: The same in a table's words.
        border: Border rule.
    """

    name: str
    value: str
    unit: str
    combined: str
    sampling: str
    parts: str
    short_parts: str
    border: str


def figure_rows(one: ClassFigures) -> list[Figure]:
    """The rows of a group's table; none where no particle counts."""
    if not one.estimates["d50_number"].n_particles:
        return []
    return [_figure(one, key, words) for key, words in SHOWN.items()]


def headline(figures: Sequence[ClassFigures]) -> list[Figure]:
    """The figures that people ask for first, of all particles."""
    if not figures or not figures[0].estimates["d50_number"].n_particles:
        return []
    size = figures[0].size_words
    return [_figure(figures[0], key, words.format(size=size)) for key, words in _HEADLINE.items()]


def unit_words(unit: str) -> str:
    """A unit as a page writes it.

    >>> unit_words("um"), unit_words("A"), unit_words("per nm^2"), unit_words("")
    ('µm', 'Å', 'per nm²', '')
    """
    return unit.replace("um", "µm").replace("A", "Å").replace("^2", "²")


def length_words(value: float, unit: str) -> str:
    """A length with its unit.

    >>> length_words(641.9423, "nm"), length_words(12.3456, "px")
    ('641.9 nm', '12.35 px')
    """
    return f"{digits(value, 4)} {unit_words(unit)}"


def _figure(one: ClassFigures, key: str, words: str) -> Figure:
    estimate, whole = one.estimates[key], one.said(key)
    factor = whole.value / estimate.value if estimate.value else 1.0  # of the unit it is said in
    low, high = estimate.interval or (0.0, 0.0)
    sampling = (factor * low, factor * high) if estimate.interval else None
    return Figure(
        words,
        digits(whole.value, 4),
        unit_words(whole.unit),
        _interval(whole.interval) or _why_no_interval(estimate),
        _interval(sampling),
        _parts(whole, SAID),
        _parts(whole, {name: name for name in SAID}),
        estimate.border,
    )


def _why_no_interval(estimate: Estimate) -> str:
    """Why a figure has no interval: a standard error needs pictures that all have particles."""
    one = estimate.n_images == 1
    return "no interval of one picture" if one else "no interval: too few pictures with particles"


def _interval(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f"{digits(limits[0], 4)} to {digits(limits[1], 4)}"


def _parts(whole: Uncertainty, said: Mapping[str, str]) -> str:
    known = [f"{said[name]} {digits(100 * part, 2)}\u00a0%" for name, part in whole.parts.items()]
    unknown = [f"{said[name]} not known" for name in whole.missing]
    return ", ".join([*known, *unknown])
