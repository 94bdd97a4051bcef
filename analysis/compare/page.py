"""The page of a comparison: one self-contained file with linked, filterable charts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import plotly.offline

from analysis.compare.courses import errors, progress, stopped, train_and_validation
from analysis.compare.drawing import Drawn
from analysis.compare.entries import Entry
from analysis.compare.groups import Group, differences
from analysis.compare.lines import HEAD, row_of
from analysis.compare.panel import Member, Panel, members, panel_of
from analysis.compare.pictures import Album
from analysis.compare.spaces import contours, importance, parallel, slices
from analysis.pages.environment import page_environment
from analysis.pages.packing import pack
from analysis.pages.words import metric_words
from analysis.report.keys import MOST_AXES, left_out, parallel_keys
from analysis.report.looks import COLOURS, reason_of, reason_words
from analysis.report.summary import MOST_WHOLE
from search_spaces.names import written
from trainables.files.whole import write_text

PAGE: Final = "compare.html"

_MOST_PARAMS: Final = 8  # hyperparameters of a trial that a row of the table names


@dataclass(frozen=True)
class Section:
    """A setting's part of the page.

    Attributes:
        name: What its charts' names begin with.
        group: The studies.
        panels: Its trials by engine.
        drawn: Its charts, by name.
    """

    name: str
    group: Group
    panels: tuple[Panel, ...]
    drawn: Mapping[str, Drawn]


def write_page(folder: Path, groups: Sequence[Group], albums: Sequence[Album] = ()) -> Path:
    """Write the page into a folder; returns its path.

    Args:
        folder: Folder to write into.
        groups: The studies, by setting.
        albums: The best models on the same pictures, of each data set.
    """
    entries = [entry for group in groups for entry in group.entries]
    numbered = {id(member.entry): member for member in members(entries)}
    sections = [
        _section(place, group, [numbered[id(e)] for e in group.entries])
        for place, group in enumerate(groups)
    ]
    everyone = list(numbered.values())
    rounded = sum(len(entry.summary.trials) for entry in entries) > MOST_WHOLE
    page = (
        page_environment()
        .get_template(PAGE)
        .render(
            sections=sections,
            albums=albums,
            members=everyone,
            differences=differences(groups),
            head=[name for name in HEAD if any(row_of(entry)[name] for entry in entries)],
            cells={entry.name: row_of(entry) for entry in entries},
            reasons=[(reason, reason_words(reason)) for reason in _reasons(entries)],
            words={"metric": metric_words, "missing": _missing},
            packed=pack(_values(everyone, sections, rounded=rounded)),
            packed_plotly=pack(plotly.offline.get_plotlyjs()),
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_text(folder / PAGE, page)
    return folder / PAGE


def _section(place: int, group: Group, of: Sequence[Member]) -> Section:
    name = f"g{place}"
    panels = tuple(
        panel_of(f"{name}-{engine}", [m for m in of if m.entry.engine == engine])
        for engine in group.engines
    )
    charts: dict[str, Drawn | None] = {
        f"{name}-epochs": progress(of, "epochs"),
        f"{name}-hours": progress(of, "hours"),
        f"{name}-gap": train_and_validation(of),
        f"{name}-stopped": stopped(of),
        f"{name}-errors": errors(of),
    }
    for panel in panels:
        charts |= {
            f"{panel.name}-parallel": parallel(panel),
            f"{panel.name}-slices": slices(panel),
            f"{panel.name}-contours": contours(panel),
            f"{panel.name}-importance": importance(panel),
        }
    drawn = {name: chart for name, chart in charts.items() if chart is not None}
    return Section(name, group, panels, drawn)


def _values(everyone: Sequence[Member], sections: Sequence[Section], *, rounded: bool) -> str:
    """Studies, trials and charts as one JSON object."""
    charts = ",".join(
        f"{json.dumps(name)}:{drawn.to_json(rounded=rounded)}"
        for section in sections
        for name, drawn in section.drawn.items()
    )
    plain = {
        "studies": [
            {"name": m.entry.name, "engine": m.entry.engine, "data": m.entry.data_name}
            for m in everyone
        ],
        "trials": [_trial(member, number) for member in everyone for number in _of(member)],
    }
    return f'{json.dumps(plain, separators=(",", ":"))[:-1]},"charts":{{{charts}}}}}'


def _of(member: Member) -> range:
    return range(len(member.entry.summary.trials))


def _trial(member: Member, place: int) -> list[Any]:
    """A trial's row: study, number, rule, objective, epoch, epochs, seconds, gap, parameters."""
    trial = member.entry.summary.trials[place]
    keys = [key for key in member.entry.summary.keys if key in trial.params][:_MOST_PARAMS]
    gap = trial.best_metrics.get("overfit_gap")
    return [
        member.place,
        trial.number,
        reason_of(trial),
        None if trial.objective is None else round(trial.objective, 6),
        trial.best_epoch,
        trial.epochs,
        round(trial.seconds, 1),
        None if gap is None else round(gap, 4),
        ", ".join(f"{key} {written(trial.params[key], 3)}" for key in keys),
    ]


def _reasons(entries: Sequence[Entry]) -> list[str]:
    there = {reason_of(trial) for entry in entries for trial in entry.summary.trials}
    return [reason for reason in COLOURS if reason in there]


def _missing(panel: Panel) -> str:
    """Hyperparameters that the parallel coordinates leave out, in a sentence."""
    return left_out(panel.pooled, parallel_keys(panel.pooled), MOST_AXES)
