"""How fast trials are: probed, kept beside the study, used for the first estimate."""

from pathlib import Path
from typing import Any

import pytest

from tests.discs import prepare_discs
from tests.study_samples import write_study
from tune.eta import StudyEta
from tune.machine import Machine
from tune.pace import PROBE, Pace, keep_probed, known_pace, probed_pace
from tune.plan import StudyPlan, plan_study
from tune.probe import probe
from tune.progress import LineProgress
from tune.study import load_study

MACHINE = Machine(cpus=4, gpus=0)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_discs(tmp_path_factory.mktemp("discs")).root


def plan(folder: Path, discs: Path, **changes: Any) -> StudyPlan:
    path = write_study(folder, data=str(discs), **changes)
    return plan_study(load_study(path, machine=MACHINE), machine=MACHINE)


def test_a_probe_measures_an_epoch(tmp_path: Path, discs: Path) -> None:
    made = plan(tmp_path, discs, fixed={"epoch_seconds": 0.2})
    pace = probe(made)
    assert 0.2 <= pace.epoch_s < 2
    assert pace.start_s >= 0
    assert not made.directory.exists(), "it trains in a scratch folder"


def test_a_probe_is_known_until_the_study_is_changed(tmp_path: Path, discs: Path) -> None:
    made = plan(tmp_path, discs)
    assert known_pace(made) is None
    keep_probed(made, Pace(1.5, 0.5))
    assert [path.name for path in made.directory.iterdir()] == [PROBE]
    assert known_pace(made) == probed_pace(plan(tmp_path, discs, seed=3)) == Pace(1.5, 0.5)
    assert known_pace(plan(tmp_path, discs, resources={"concurrent": 2})) is None


def test_a_study_that_was_probed_has_an_estimate_before_its_first_epoch(
    tmp_path: Path, discs: Path
) -> None:
    said: list[str] = []
    progress = LineProgress(said.append, every_s=0.0, clock_s=lambda: 0.0)
    made = plan(tmp_path, discs, budget={"trials": 4, "epochs": 10}, scheduler="none")
    keep_probed(made, Pace(60.0, 30.0))
    progress.study_started(made, resumed=False)
    with progress._watching.open() as board:
        left = board.left(board.began)
    assert left is not None
    assert left.seconds == pytest.approx(4 * (10 * 60 + 30), rel=0.2)


def test_what_the_trials_show_takes_the_place_of_what_was_probed() -> None:
    eta = StudyEta(trials=1, epochs=10, concurrent=1, prior=Pace(60.0))
    eta.started(0, 0.0)
    assert eta.trial(0, 0.0) == 600
    eta.reported(0, 1, 2.0)
    eta.reported(0, 2, 4.0)
    assert eta.trial(0, 4.0) == 16
