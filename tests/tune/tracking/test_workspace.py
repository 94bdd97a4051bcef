"""Workspace and report at W&B: kept with each study, sent where W&B is there, made again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from wandb_workspaces.reports.v2.interface import LinePlot

from tests.support.command_line import segtune
from tests.support.rehearsed_study import rehearse
from tests.support.servers.wandb_server import WandbServer, wandb_server
from tune.directory.reader import StudyDir
from tune.tracking.summary import best_summary
from tune.tracking.workspace import WORKSPACE_JSON, make_workspace, read_workspace

BEST_F1 = "best/seg_metrics/F1"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where nobody is logged in to W&B."""
    for name in list(os.environ):
        if name.startswith("WANDB_") or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server, and a key for it."""
    with wandb_server() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
        yield running


@pytest.fixture
def studies(tmp_path: Path) -> list[StudyDir]:
    return [
        rehearse(
            tmp_path,
            study=name,
            budget={"trials": 2, "epochs": 3},
            tracking={"wandb": {"project": "powder", "mode": "offline"}},
        )
        for name in ("first", "second")
    ]


def test_without_a_connection_the_file_of_each_study_holds_it_and_the_way_is_said(
    studies: list[StudyDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = segtune(tmp_path, "wandb", "workspace", *(str(study.path) for study in studies))
    assert done.returncode == 0, done.stderr
    assert "not sent to W&B: " in done.stdout
    files = [study.path / WORKSPACE_JSON for study in studies]
    assert len({file.read_text() for file in files}) == 1
    made = read_workspace(files[0])
    assert (made.project, made.name) == ("powder", "segtune: first, second")
    assert made.runset_settings.order[0].item.name == BEST_F1
    assert made.runset_settings.order[0].ascending is False
    for said in ("first", "second", "simulated", "study", "engine", "data"):
        assert said in str(made.runset_settings.filters)


def test_every_chart_shows_what_the_runs_have(
    studies: list[StudyDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name in it is one that no run logs."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    study = studies[0]
    file = make_workspace([study]).files[0]
    trial = study.trials()[0]
    logged = set(trial.metrics[-1])
    summary = best_summary(study.study.objective.goal, {int(m["epoch"]): m for m in trial.metrics})
    drawn = [panel for section in read_workspace(file).sections for panel in section.panels]
    lines = [panel for panel in drawn if isinstance(panel, LinePlot)]
    named = {str(getattr(one, "name", one)) for panel in lines for one in (*panel.y, panel.x)}
    assert {"seg_metrics/F1", "train_seg_metrics/F1", "overfit_gap", "epoch"} <= named
    assert named <= logged
    columns = [c.metric.name for p in drawn for c in getattr(p, "columns", ())]
    assert set(columns) - {BEST_F1} == set(study.resolved["search_space"])
    assert BEST_F1 in summary
    assert [type(p).__name__ for p in drawn].count("MediaBrowser") == 1


def test_made_again_workspace_and_report_are_changed_and_not_added(
    studies: list[StudyDir], server: WandbServer
) -> None:
    made = make_workspace(studies, entity="me")
    assert len(made.urls) == 2
    kinds = {view["type"]: view for view in server.views.values()}
    assert set(kinds) == {"project-view", "runs"}
    spec = json.loads(kinds["project-view"]["spec"])
    assert [one["name"] for one in spec["section"]["panelBankConfig"]["sections"]][:2] == [
        "Best",
        "Training against validation",
    ]
    make_workspace(studies, entity="me")
    assert len(server.views) == 2


def test_studies_of_two_projects_are_refused(tmp_path: Path) -> None:
    places = [
        str(
            rehearse(
                tmp_path,
                study=name,
                budget={"trials": 1, "epochs": 2},
                tracking={"wandb": {"project": name, "mode": "offline"}},
            ).path
        )
        for name in ("one", "two")
    ]
    done = segtune(tmp_path, "wandb", "workspace", *places)
    assert done.returncode == 2
    assert "expected studies of one W&B project, got one, two" in done.stderr
