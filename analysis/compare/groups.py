"""Studies that may be ranked in one list: measured on the same pictures by the same rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.compare.entries import Entry
from analysis.pages.words import metric_words
from trainables.goal import in_order
from trainables.metrics.names import GROUPS, MEASURE, PARTICLE_GROUP, PIXEL_GROUP
from trainables.registry import EngineError, engine_info
from tune.directory.ranking import standing_in

MATCH_IOU: Final = 0.5
"""IoU from which a find takes an object, in every metric of instances (docs/metrics.md)."""


@dataclass(frozen=True)
class Setting:
    """What makes two objectives comparable: the pictures, and how they are measured.

    Attributes:
        fingerprint: Fingerprint of the data set, which its parts are in.
        data_name: Name of the data set, for a reader.
        metric: Objective.
        mode: Its better direction.
        limits: The study's constraints, in words.
        matching: How finds are paired with objects, in words; "" where nothing is paired.
    """

    fingerprint: str
    data_name: str
    metric: str
    mode: str
    limits: tuple[str, ...]
    matching: str

    @property
    def words(self) -> str:
        """The setting in one line."""
        better = "larger" if self.mode == "max" else "smaller"
        kept = f", with {', '.join(self.limits)}" if self.limits else ""
        paired = f", {self.matching}" if self.matching else ""
        return (
            f"{metric_words(self.metric)} ({better} is better{kept}{paired}) on the validation "
            f"part of {self.data_name} (fingerprint {self.fingerprint[:12]})"
        )


@dataclass(frozen=True)
class Group:
    """Studies of one setting, best first.

    Attributes:
        setting: What they have in common.
        entries: The studies.
    """

    setting: Setting
    entries: tuple[Entry, ...]

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines of its studies, each once."""
        return tuple(dict.fromkeys(entry.engine for entry in self.entries))

    def of_engine(self, engine: str) -> tuple[Entry, ...]:
        """Its studies of an engine, whose hyperparameters can be drawn together."""
        return tuple(entry for entry in self.entries if entry.engine == engine)


def grouped(entries: Sequence[Entry]) -> list[Group]:
    """The studies by setting, in the order of the first of each; best first in each group."""
    found: dict[tuple[Any, ...], list[tuple[Setting, Entry]]] = {}
    for entry in entries:
        setting = setting_of(entry)
        found.setdefault(_key(setting), []).append((setting, entry))
    return [Group(same[0][0], tuple(_ranked([e for _, e in same]))) for same in found.values()]


def setting_of(entry: Entry) -> Setting:
    """The setting that a study was measured in."""
    study, resolved = entry.study, entry.study.resolved
    objective = study.study.objective
    return Setting(
        fingerprint=str(resolved["fingerprint"]),
        data_name=entry.data_name,
        metric=objective.metric,
        mode=objective.mode,
        limits=tuple(str(limit) for limit in objective.limits),
        matching=_matching(entry),
    )


def differences(groups: Sequence[Group]) -> list[str]:
    """Sentences that say why the studies are not ranked in one list; none where they are."""
    if len(groups) < 2:
        return []
    parts: Mapping[str, list[Any]] = {
        "the data set or its parts": [group.setting.fingerprint for group in groups],
        "the objective": [(group.setting.metric, group.setting.mode) for group in groups],
        "the constraints": [group.setting.limits for group in groups],
        "how finds are paired with objects": [group.setting.matching for group in groups],
    }
    differ = [words for words, values in parts.items() if len(set(values)) > 1]
    return [
        f"{len(groups)} settings, which differ in {' and '.join(differ)}: each is ranked by "
        "itself, and a value of one says nothing against a value of another."
    ]


def _key(setting: Setting) -> tuple[Any, ...]:
    """The setting without the data set's name: content counts, not what it is called."""
    return (setting.fingerprint, setting.metric, setting.mode, setting.limits, setting.matching)


def _matching(entry: Entry) -> str:
    group = entry.summary.metric.partition("/")[0]
    if group in (*GROUPS, MEASURE):
        return f"paired from IoU {MATCH_IOU:g} on"
    if group in (PARTICLE_GROUP, PIXEL_GROUP):
        radii = sorted(set(_radii(entry)))
        unit = "radius" if radii == [1.0] else "radii"
        return f"paired within {' or '.join(f'{r:g}' for r in radii)} {unit}" if radii else ""
    return ""


def _radii(entry: Entry) -> Iterator[float]:
    """Match radii that the trials of a study were measured with."""
    try:
        info = engine_info(entry.engine)
    except EngineError:
        return
    for trial in entry.summary.trials:
        value = info.value(info.match_radius, {**trial.fixed, **trial.params})
        if isinstance(value, int | float):
            yield float(value)


def _ranked(entries: Sequence[Entry]) -> list[Entry]:
    """By the standing of the best trial, studies without any last."""
    goal = entries[0].study.study.objective.goal
    with_best = [entry for entry in entries if entry.best is not None]
    ordered = in_order(with_best, lambda e: standing_in(e.summary.trials[0], goal))
    return [*ordered, *(entry for entry in entries if entry.best is None)]
