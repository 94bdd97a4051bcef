"""A ready workspace and report of studies at Weights & Biases, made from what the studies are.

What is made is first a file of each study, `wandb-workspace.json`, in the form that W&B stores;
only then it is sent. So it is the same with and without a connection, and is checked without one.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import wandb
import wandb_workspaces.reports.v2.interface as reports
import wandb_workspaces.workspaces as workspaces
from pydantic import ValidationError
from wandb_workspaces import expr
from wandb_workspaces.workspaces.internal import View

from trainables.files.whole import write_json
from trainables.metrics.names import F1_NAMES, names_in
from trainables.trials.layout import FINDS_PLACES
from tune.directory.layout import read_json
from tune.directory.reader import StudyDir
from tune.errors import TrackingError
from tune.tracking.connection import connection
from tune.tracking.summary import BEST, EPOCH

WORKSPACE_JSON: Final = "wandb-workspace.json"

MOST_KEYS: Final = 10
"""Hyperparameters that the parallel coordinates show; more hide each other."""

_GAP: Final = "overfit_gap"

_WIDE: Final = reports.Layout(w=24, h=10)

_HALF: Final = reports.Layout(w=12, h=8)


@dataclass(frozen=True)
class Shown:
    """What a workspace shows of studies.

    Attributes:
        entity: User or team; "" for the one who is logged in.
        project: W&B project.
        studies: Names of the studies, which are the groups of their runs.
        engines: Their engines.
        data: Their data sets.
        objectives: Objective and better direction, each pair once.
        f1: Names of the F1 that their engines report.
        keys: Hyperparameters that are searched, and whether on a logarithmic scale.
    """

    entity: str
    project: str
    studies: tuple[str, ...]
    engines: tuple[str, ...]
    data: tuple[str, ...]
    objectives: tuple[tuple[str, str], ...]
    f1: tuple[str, ...]
    keys: Mapping[str, bool]

    @property
    def ranked_by(self) -> str:
        """What runs are ranked by: the first study's objective at the best epoch."""
        return f"{BEST}{self.objectives[0][0]}"

    @property
    def title(self) -> str:
        """The name of workspace and report."""
        return f"segtune: {', '.join(self.studies)}"[:120]


@dataclass(frozen=True)
class Made:
    """A workspace and a report.

    Attributes:
        files: The file of each study that keeps them.
        urls: Addresses of workspace and report; empty where they were not sent.
        reason: Why they were not sent; "" where they were.
    """

    files: tuple[Path, ...]
    urls: tuple[str, ...]
    reason: str


def make_workspace(
    studies: Sequence[StudyDir],
    project: str | None = None,
    entity: str | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Made:
    """Make workspace and report of studies, keep both with each study, and send them to W&B.

    Made again, those there are changed instead of new ones being added.

    Args:
        studies: The studies; their runs must be in one project.
        project: The project; the studies' own if None.
        entity: User or team that the project is of; the studies' own if None.
        told: Told of each step.

    Raises:
        TrackingError: The studies are of several projects, or W&B does not take it.
        StoreError: A study's files cannot be read.
    """
    shown = shown_of(studies, project, entity)
    workspace, report = workspace_of(shown), report_of(shown)
    _take_up(studies[0].path, workspace, report)
    content = _content(workspace, report)
    files = tuple(_keep(studies, content))
    where = connection("auto")
    if where.mode != "online":
        return Made(files, (), where.reason)
    told(f"sending to project {shown.project}")
    try:
        _address(workspace, report)
        workspace.save()
        report.save()
    except Exception as error:  # whatever W&B's client makes of an answer
        raise TrackingError(
            f"W&B does not take the workspace: {error} (`segtune wandb upload` makes the project)"
        ) from error
    content["workspace"] |= {"name": workspace._internal_name, "id": workspace._internal_id}
    content["report"] |= {"id": report.id}
    return Made(tuple(_keep(studies, content)), (workspace.url, report.url), "")


def shown_of(
    studies: Sequence[StudyDir], project: str | None = None, entity: str | None = None
) -> Shown:
    """What a workspace shows of studies.

    Raises:
        TrackingError: They are of several projects, and none was named.
    """
    own = [study.study.tracking.wandb for study in studies]
    projects = list(dict.fromkeys(spec.project or "segtune" for spec in own))
    if project is None and len(projects) > 1:
        raise TrackingError(
            f"expected studies of one W&B project, got {', '.join(projects)}; upload them to one "
            "with `segtune wandb upload --project NAME`, then name it with --project"
        )
    resolved = [study.resolved for study in studies]
    spaces = [one.get("search_space", {}) for one in resolved]
    goals = [study.study.objective for study in studies]
    return Shown(
        entity=entity or next((spec.entity for spec in own if spec.entity), ""),
        project=project or projects[0],
        studies=tuple(dict.fromkeys(str(one["study"]) for one in resolved)),
        engines=tuple(dict.fromkeys(str(one["engine"]) for one in resolved)),
        data=tuple(dict.fromkeys(str(one.get("data_name") or "") for one in resolved)),
        objectives=tuple(dict.fromkeys((goal.metric, goal.mode) for goal in goals)),
        f1=tuple(dict.fromkeys(_f1_of(goal.metric) for goal in goals)),
        keys={
            key: "log scale" in told["domain"] for space in spaces for key, told in space.items()
        },
    )


def workspace_of(shown: Shown) -> workspaces.Workspace:
    """The workspace: charts in sections, runs grouped by study and ranked by the objective."""
    sections = [
        workspaces.Section(name=name, panels=list(panels), is_open=True)
        for name, panels in _sections(shown)
    ]
    best = expr.Summary(shown.ranked_by)
    rising = shown.objectives[0][1] == "min"
    columns = [f"summary:{shown.ranked_by}", f"summary:{EPOCH}", f"summary:{BEST}{_GAP}"]
    return workspaces.Workspace(
        entity=shown.entity,
        project=shown.project,
        name=shown.title,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis="epoch"),
        runset_settings=workspaces.RunsetSettings(
            filters=_filters(shown),
            groupby=[expr.Config("study")],
            order=[expr.Ordering(best, ascending=rising)],
            pinned_columns=[*columns, "config:engine.value", "config:data.value"],
        ),
    )


def report_of(shown: Shown) -> reports.Report:
    """The report: the same charts, each section with a sentence, the studies as sets of runs."""
    blocks: list[Any] = [
        reports.P(f"Made by segtune of the studies {', '.join(shown.studies)}."),
        reports.TableOfContents(),
    ]
    for name, panels in _sections(shown):
        grid = reports.PanelGrid(runsets=list(_runsets(shown)), panels=list(panels))
        blocks += [reports.H2(name), reports.P(_SENTENCES[name]), grid]
    return reports.Report(
        entity=shown.entity,
        project=shown.project,
        title=shown.title,
        description=f"Ranked by {shown.ranked_by}, each run at its best epoch.",
        blocks=blocks,
        width="fluid",
    )


def read_workspace(file: Path) -> workspaces.Workspace:
    """The workspace that a study keeps, as W&B's own package reads it.

    Raises:
        TrackingError: The file is no workspace.
        StoreError: It cannot be read.
    """
    kept = read_json(file)
    try:
        made: workspaces.Workspace = workspaces.Workspace._from_model(
            View.model_validate(kept["workspace"])
        )
    except (KeyError, ValidationError, ValueError) as error:
        raise TrackingError(f"{file}: expected a W&B workspace, got another file") from error
    return made


_SENTENCES: Final[Mapping[str, str]] = {
    "Best": "What each run reached at its best epoch, by which the runs are ranked.",
    "Training against validation": "A gap between training and validation F1 is overfitting.",
    "Hyperparameters": "Which values the good runs share, and which hyperparameters matter.",
    "Pictures": "What each run's best model finds in its best, median and worst picture.",
}


def _sections(shown: Shown) -> Iterator[tuple[str, Sequence[Any]]]:
    best = [f"{BEST}{metric}" for metric, _ in shown.objectives]
    yield "Best", [*(reports.BarPlot(metrics=[b], title=b, layout=_HALF) for b in best)]
    yield "Training against validation", list(_against(shown))
    if shown.keys:
        yield "Hyperparameters", list(_hyperparameters(shown))
    media = [f"{BEST}finds/{place}" for place in FINDS_PLACES]
    browser = reports.MediaBrowser(
        title="finds at the best epoch", media_keys=media, num_columns=3, layout=_WIDE
    )
    yield "Pictures", [browser]


def _against(shown: Shown) -> Iterator[Any]:
    for f1 in shown.f1:
        yield reports.LinePlot(
            title=f"{f1}, training and validation",
            x="epoch",
            y=[f1, f"train_{f1}"],
            title_x="epoch",
            layout=_HALF,
        )
        yield reports.ScatterPlot(
            title=f"{f1} at the best epoch",
            x=reports.SummaryMetric(f"{BEST}train_{f1}"),
            y=reports.SummaryMetric(f"{BEST}{f1}"),
            layout=_HALF,
        )
    yield reports.LinePlot(title="overfit gap", x="epoch", y=[_GAP], layout=_HALF)


def _hyperparameters(shown: Shown) -> Iterator[Any]:
    columns = [
        reports.ParallelCoordinatesPlotColumn(reports.Config(key), log=log or None)
        for key, log in list(shown.keys.items())[:MOST_KEYS]
    ]
    for metric, _ in shown.objectives:
        last = reports.ParallelCoordinatesPlotColumn(reports.SummaryMetric(f"{BEST}{metric}"))
        yield reports.ParallelCoordinatesPlot(
            title=f"{BEST}{metric}", columns=[*columns, last], layout=_WIDE
        )
        yield reports.ParameterImportancePlot(with_respect_to=f"{BEST}{metric}", layout=_HALF)


def _filters(shown: Shown) -> expr.And:
    """Filters by study, engine and data set, each of which a reader can narrow."""
    named = {"study": shown.studies, "engine": shown.engines, "data": shown.data}
    return expr.And(*(expr.Config(key).isin(list(values)) for key, values in named.items()))


def _runsets(shown: Shown) -> Iterator[reports.Runset]:
    rising = shown.objectives[0][1] == "min"
    order = [reports.OrderBy(reports.SummaryMetric(shown.ranked_by), ascending=rising)]
    for study in shown.studies:
        yield reports.Runset(
            entity="",  # named when it is sent: with one, W&B is asked for its project at once
            project=shown.project,
            name=study,
            filters=expr.And(expr.Config("study").isin([study])),
            order=order,
        )


def _f1_of(metric: str) -> str:
    """The F1 of an objective's group; of another group the most important one."""
    group = metric.partition("/")[0]
    return f"{group}/F1" if f"{group}/F1" in names_in(group) else F1_NAMES[0]


def _content(workspace: workspaces.Workspace, report: reports.Report) -> dict[str, Any]:
    """Both as W&B stores them, made without asking W&B anything."""
    return {
        "format": 1,
        "workspace": json.loads(workspace._to_model().model_dump_json(by_alias=False)),
        "report": json.loads(report._to_model().model_dump_json(by_alias=True, exclude_none=True)),
    }


def _keep(studies: Sequence[StudyDir], content: Mapping[str, Any]) -> Iterator[Path]:
    """Write both into each study's directory."""
    for study in studies:
        write_json(study.path / WORKSPACE_JSON, content)
        yield study.path / WORKSPACE_JSON


def _take_up(study: Path, workspace: workspaces.Workspace, report: reports.Report) -> None:
    """Take the names that W&B gave before, so that what is there is changed."""
    kept = read_json(study / WORKSPACE_JSON)
    before = kept.get("workspace", {})
    same = (before.get("entity"), before.get("project"), before.get("display_name"))
    if same != (workspace.entity, workspace.project, workspace.name):
        return
    workspace._internal_name = before.get("name", "")
    workspace._internal_id = before.get("id", "")
    report.id = kept.get("report", {}).get("id", "")


def _address(workspace: workspaces.Workspace, report: reports.Report) -> None:
    """Say whose they are: the team that was named, else the user who is logged in."""
    own = workspace.entity or wandb.Api().default_entity or ""
    workspace.entity = report.entity = own
    for block in report.blocks:
        for runset in getattr(block, "runsets", ()):
            runset.entity = own
