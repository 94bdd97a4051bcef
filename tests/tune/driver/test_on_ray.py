"""The seams that Ray calls; Ray itself is not started."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from tests.tune.driver.test_bridge import Study, report
from tune.driver.on_ray import _RayClock, _RayScheduler, _RaySearcher


class RayTrial:
    """Of a trial, Ray's seams look at its name alone."""

    trial_id = "a"


@pytest.fixture
def study(ram_path: Path) -> Study:
    return Study(ram_path)


def test_a_trial_goes_through_both_seams_to_its_end(study: Study) -> None:
    bridge = study.bridge(trials=1)
    searcher, scheduler = _RaySearcher(bridge), _RayScheduler(bridge)
    assert searcher.suggest("a")["task"].trial.number == 0
    closed = {"event": "closed", "whole": True, "notes": []}
    answers = [scheduler.on_trial_result(None, RayTrial(), r) for r in (report(1), report(2))]
    assert answers == [TrialScheduler.CONTINUE] * 2
    assert scheduler.on_trial_result(None, RayTrial(), closed) == TrialScheduler.STOP
    searcher.on_trial_complete("a")
    assert searcher.suggest("b") == Searcher.FINISHED


def test_a_callback_that_fails_ends_the_study_with_the_first_error(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = study.bridge()
    searcher, scheduler = _RaySearcher(bridge), _RayScheduler(bridge)
    searcher.suggest("a")
    (study.folder / "trials" / "0" / "metrics.jsonl").unlink()
    (study.folder / "trials" / "0" / "metrics.jsonl").mkdir()
    assert scheduler.on_trial_result(None, RayTrial(), report(1)) == TrialScheduler.STOP
    assert isinstance(bridge.error, IsADirectoryError)
    assert searcher.suggest("b") == Searcher.FINISHED
    first = bridge.error
    assert scheduler.on_trial_result(None, RayTrial(), report(1)) == TrialScheduler.STOP
    assert bridge.error is first


def test_the_studys_time_is_kept_also_while_no_trial_reports(study: Study) -> None:
    bridge = study.bridge()
    _RayClock(bridge).on_step_end(1, [])
    assert study.ticks == 1


@pytest.mark.parametrize("seam", [_RayClock, _RaySearcher, _RayScheduler])
def test_what_ray_pickles_of_a_seam_holds_no_study(study: Study, seam: Any) -> None:
    made = seam(study.bridge())
    assert made.__getstate__() == {}
    assert len(pickle.dumps(made)) < 200
