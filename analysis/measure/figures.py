"""The figures of a run: size distributions with intervals, uncertainty and verdicts, by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from analysis.finding.settings import FindingSettings
from analysis.measure.geometry.calibration import UM_PER_UNIT, area_unit
from analysis.measure.geometry.runs import Floats
from analysis.measure.job.stages import CLASS
from analysis.measure.statistics.border import BorderRule
from analysis.measure.statistics.distribution import LENGTHS
from analysis.measure.statistics.intervals import Estimate, estimates, more_needed
from analysis.measure.statistics.lognormal import LogNormalFit, fit_lognormal
from analysis.measure.statistics.nanomaterial import NanoShare, nano_share
from analysis.measure.statistics.sample import Sample
from analysis.measure.statistics.uncertainty import Sources, Uncertainty, combine
from analysis.measure.tables import (
    BOXES,
    SIZE,
    SIZES,
    WIDTH,
    DonePictures,
    area_of,
    classes_of,
    size_column,
    values_of,
)
from analysis.models.find import TrainedModel
from trainables.metrics.names import DIAMETER_BIAS, MEASURE, shifts_by_size
from tune.best.configuration import confidences_in

FIGURES: Final = "figures"

SHARE: Final = "share_to_100nm"

ALL: Final = "all"
"""In place of a class name: the particles of all classes."""

_FERET: Final = "feret_min"

_NM_PER_UM: Final = 1e3

_SHOWN: Final = {
    "d50_number": "D50 by number",
    "mean_1_0": "mean {size}",
    "number_density": "number per area",
}

SIZE_WORDS: Final = {SIZE: "diameter", WIDTH: "width of the box"}
"""What the sizes of particles are, by the column that they are taken from."""


@dataclass(frozen=True)
class ClassFigures:
    """The figures of the particles of one class, or of all.

    Attributes:
        name: Name of the class, or `ALL`.
        unit: Unit of lengths, "px" without a scale.
        estimates: Figures with their intervals by name.
        combined: Figures with all that they are uncertain by.
        fit: The log-normal distribution that fits, and whether it does.
        nano: Share of the particles of at most 100 nm; None without a scale or without masks.
        size: Column that the sizes are taken from: of a model of boxes their width.
        area_unit: Unit of area in which a reader is told numbers per area, one for all classes of a
            run, and what a number per square of `unit` is multiplied by.
    """

    name: str
    unit: str
    estimates: Mapping[str, Estimate]
    combined: Mapping[str, Uncertainty]
    fit: LogNormalFit
    nano: NanoShare | None
    size: str
    area_unit: tuple[str, float] = ("px^2", 1.0)

    @property
    def size_words(self) -> str:
        """What the sizes are, for a reader."""
        return SIZE_WORDS[self.size]

    def rows(self) -> list[dict[str, Any]]:
        """A row a figure, for a table."""
        rows = [self.row_of(name) for name in self.estimates]
        return rows if self.nano is None else [*rows, self._row_of_share(self.nano)]

    def _row_of_share(self, nano: NanoShare) -> dict[str, Any]:
        """The row of the share of small particles: of its intervals only the one over pictures."""
        low, high = nano.interval or (None, None)
        return self.row_of("mean_1_0") | {
            "figure": SHARE,
            "of": "feret_min",
            "value": nano.value,
            "unit": "",
            "sampling_low_95": low,
            "sampling_high_95": high,
            "combined_low_95": None,
            "combined_high_95": None,
            "not_known": "scale, segmentation",
        }

    def row_of(self, name: str) -> dict[str, Any]:
        """The row of one figure."""
        one, whole = self.estimates[name], self.combined[name]
        low, high = one.interval or (None, None)
        least, most = whole.interval or (None, None)
        return {
            "class": self.name,
            "figure": name,
            "of": "" if name == "number_density" else self.size,
            "value": one.value,
            "unit": self._unit_of(name),
            "sampling_low_95": low,
            "sampling_high_95": high,
            "combined_low_95": least,
            "combined_high_95": most,
            "pictures": one.n_images,
            "particles": one.n_particles,
            "border_rule": one.border,
            "not_known": ", ".join(whole.missing),
        }

    def said(self, name: str) -> Uncertainty:
        """A figure as a reader is told it: a number per area in the unit of area of the run."""
        whole = self.combined[name]
        if name != "number_density":
            return whole
        unit, factor = self.area_unit
        return whole.times(factor, f"per {unit}")

    def _unit_of(self, name: str) -> str:
        if name in LENGTHS:
            return self.unit
        return f"1/{self.unit}^2" if name == "number_density" else ""

    def lines(self) -> list[str]:
        """The figures that people ask for first, a line each."""
        if not self.estimates["d50_number"].n_particles:
            return [f"{self.name}: no particle counts"]
        said = [
            f"{self.name}: {words.format(size=self.size_words)} {self.said(key).words}"
            for key, words in _SHOWN.items()
        ]
        said.append(f"{self.name}: {self.fit.verdict}")
        more = more_needed(self.estimates["d50_number"])
        if more is not None and more.particles > 0:
            said.append(
                f"{self.name}: about {more.particles} particles more, in {more.images} pictures, "
                "for D50 within 5 %"
            )
        if self.nano is not None:
            said.append(f"{self.name}: {self.nano.words}")
        return said


def run_figures(
    done: DonePictures, unit: str, models: Sequence[TrainedModel]
) -> list[ClassFigures]:
    """The figures of all particles, and of each class where there are several.

    Pictures without a scale are left out where others have one.

    Args:
        done: The pictures.
        unit: Unit of lengths; "" for pixels.
        models: Models that found the particles, for what is known of their errors.
    """
    sizes, ferets, weights, numbers, names, areas = _gathered(done, unit)
    border = BorderRule(done.settings.border.rule, done.settings.border.guard_px).words
    sources = _sources(done, models, unit)
    size = next((size_column(part) for _, _, part in done.parts(SIZES)), SIZE)

    shown = unit or "px"
    coarsest = max(
        (record.row["um_per_px"] or 0.0 for record in done.records.values()), default=0.0
    )

    def figures_of(name: str, chosen: Any) -> ClassFigures:
        """Figures of the chosen particles, under the name of their class."""
        sample = Sample.of(
            sizes[chosen], weights[chosen], numbers[chosen], areas, unit=shown, border=border
        )
        found = estimates(sample)
        nano = None
        if unit and np.isfinite(ferets[chosen]).any():
            small = Sample.of(
                ferets[chosen], weights[chosen], numbers[chosen], areas, unit=shown, border=border
            )
            nano = nano_share(small, UM_PER_UNIT[unit] * _NM_PER_UM, coarsest * _NM_PER_UM)
        combined = {key: combine(one, sources, _unit(key, shown)) for key, one in found.items()}
        return ClassFigures(name, shown, found, combined, fit_lognormal(sample), nano, size)

    if not len(areas):
        return []
    classes = classes_of(done)
    result = [figures_of(ALL, np.ones(len(sizes), bool))]
    if len(classes) > 1:
        result += [figures_of(name, names == name) for name in classes]
    area = area_unit(result[0].estimates["number_density"].value, shown)
    return [replace(one, area_unit=area) for one in result]


def _unit(figure: str, unit: str) -> str:
    if figure == "number_density":
        return f"per {unit}^2"
    return unit if figure in LENGTHS else ""


def _gathered(done: DonePictures, unit: str) -> tuple[Floats, Floats, Floats, Any, Any, Floats]:
    """Sizes, least Feret diameters, weights, pictures, classes of all; areas of the pictures."""
    parts: list[tuple[Floats, Floats, Floats, Any, Any]] = []
    areas: list[float] = []
    rule = BorderRule(done.settings.border.rule, done.settings.border.guard_px)
    for _, record, part in done.parts((*SIZES, *BOXES, _FERET, CLASS)):
        um_per_px = record.row["um_per_px"]
        if unit and not um_per_px:
            continue
        factor = um_per_px / UM_PER_UNIT[unit] if unit else 1.0
        size = values_of(part, size_column(part)) * factor
        feret = _FERET in part.column_names
        small = values_of(part, _FERET) * factor if feret else np.full(len(size), np.nan)
        number = np.full(len(size), len(areas), np.int64)
        names = np.array(part[CLASS].to_pylist(), object)
        parts.append((size, small, done.weights(record, part), number, names))
        areas.append(area_of(record, rule) * factor**2)
    if not parts:
        nothing = np.empty(0)
        return nothing, nothing, nothing, np.empty(0, np.int64), np.empty(0, object), nothing
    sizes, smalls, weights, numbers, classes = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return sizes, smalls, weights, numbers, classes, np.array(areas)


def _sources(done: DonePictures, models: Sequence[TrainedModel], unit: str) -> Sources:
    """Uncertainties besides sampling: of several the largest."""
    scaled = [record.row for record in done.records.values() if record.row["um_per_px"]]
    scales = [row["scale_rel_uncertainty"] for row in scaled]
    known_scale = bool(scales) and None not in scales

    def worst(name: str) -> float | None:
        """Largest value of a metric among the models; None where one of them does not have it."""
        known = [model.metrics[name] for model in models if name in model.metrics]
        return max(known) if known and len(known) == len(models) else None

    alike = found_as_validated(done.settings.finding, models)
    return Sources(
        max(scales) if known_scale else None,
        worst(DIAMETER_BIAS) if alike else None,
        worst(f"{MEASURE}/count_error") if alike else None,
        worst_shifts(models) if alike else {},
        sorted({row["um_per_px"] / UM_PER_UNIT[unit] for row in scaled}) if unit else (1.0,),
    )


def found_as_validated(finding: FindingSettings, models: Sequence[TrainedModel]) -> bool:
    """Whether what counts is what counted on the validation pictures, whose errors are on record.

    These are of finds of any size at the confidence on record. At a higher one fewer are found, and
    how wrong their number and their sizes then are nobody has measured.
    """
    if finding.confidence_by_quality or finding.min_size_px:
        return False
    for model in models:
        own = next(iter(confidences_in(model.metrics).values()), None)
        asked = [finding.confidence, *(one.confidence for one in finding.classes.values())]
        if any(value not in (None, own) for value in asked):
            return False
    return not any(one.min_size_px for one in finding.classes.values())


def worst_shifts(models: Sequence[TrainedModel]) -> dict[int, float]:
    """Errors of diameters on the validation pictures by size class, of several models the largest.

    Of a class that one of them has no error on record of, nothing is said.
    """
    each = [shifts_by_size(model.metrics) for model in models]
    known = set.intersection(*(set(one) for one in each)) if each else set()
    return {low: max((one[low] for one in each), key=abs) for low in sorted(known)}


def shift_line(models: Sequence[TrainedModel]) -> str:
    """The errors of diameters by size class, in a line for the user; empty where none is known."""
    said = [
        f"{100 * shift:+.2g} % from {low} to {2 * low} px"
        for low, shift in worst_shifts(models).items()
    ]
    return f"diameters on the validation pictures: {', '.join(said)}" if said else ""
