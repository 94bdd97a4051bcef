"""How fast trials are: probed, kept beside the study, used for the first estimate."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.machines.machine import Machine
from tests.support.discs import prepare_discs
from tests.support.places import ROOT
from tests.support.servers.processes import command_of
from tests.support.study_samples import write_study
from trainables.files.whole import write_json
from trainables.registry import engine_info, engines
from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL, RESOLVED, STUDY
from tune.directory.writer import Recorder
from tune.driver.parts import controller_of
from tune.driver.probe import probe
from tune.errors import DriverError
from tune.plan.eta import StudyEta
from tune.plan.lines import plan_lines
from tune.plan.pace import Pace
from tune.plan.past_pace import PROBE, gpu_share, keep_probed, known_pace, probed_pace
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.plan.resolved import resolved, to_yaml
from tune.progress.lines import LineProgress

MACHINE = Machine(cpus=4, gpus=0)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_discs(tmp_path_factory.mktemp("discs")).root


def plan(folder: Path, discs: Path, **changes: Any) -> StudyPlan:
    path = write_study(folder, data=str(discs), **changes)
    return plan_file(path, machine=MACHINE)


def test_a_probe_measures_an_epoch(tmp_path: Path, discs: Path) -> None:
    made = plan(tmp_path, discs, fixed={"epoch_seconds": 0.2})
    pace = probe(made)
    assert 0.2 <= pace.epoch_s < 2
    assert pace.start_s >= 0
    assert pace.measured == "2 epochs"
    assert not made.directory.exists(), "it trains in a scratch folder"


def test_fewer_trials_share_a_gpu_where_a_probe_found_that_more_do_not_fit(
    tmp_path: Path, discs: Path
) -> None:
    made = plan(tmp_path, discs, resources={"concurrent": 8})
    assert gpu_share(made, 2) == 1 / 4
    keep_probed(made, Pace(1.0, memory=0.4))
    assert gpu_share(made, 2) == 1 / 2
    fixed = plan(tmp_path, discs, resources={"concurrent": 8, "gpus_per_trial": 0})
    keep_probed(fixed, Pace(1.0, memory=0.4))
    assert gpu_share(fixed, 2) == 0, "as the study says"


def test_a_probe_trains_as_many_at_once_as_the_study(tmp_path: Path, discs: Path) -> None:
    quick, slow = {"epoch_seconds": 0.1}, {"epoch_seconds": 0.5}
    made = plan(
        tmp_path,
        discs,
        search_space={"epoch_seconds": {"uniform": [0, 1]}},
        warm_start={"points": [quick, slow]},
        resources={"concurrent": 2},
    )
    started = time.monotonic()
    pace = probe(made)
    assert time.monotonic() - started < 2
    assert 0.3 <= pace.epoch_s < 0.5, "the mean of both"
    assert pace.measured == "2 epochs of 2 trials at once"


def test_a_probe_says_what_ended_one_of_its_trials(tmp_path: Path, discs: Path) -> None:
    made = plan(
        tmp_path,
        discs,
        search_space={"behaviour": {"choice": ["learns", "crash"]}},
        warm_start={"points": [{"behaviour": "learns"}, {"behaviour": "crash"}]},
        resources={"concurrent": 2},
    )
    with pytest.raises(DriverError, match=r"probe of simulated ended early: .*simulated crash"):
        probe(made)


@pytest.mark.slow
def test_a_probe_that_is_interrupted_leaves_no_process_behind(tmp_path: Path, discs: Path) -> None:
    path = write_study(
        tmp_path,
        data=str(discs),
        trainable="threshold",
        fixed={"epoch_seconds": 60.0},
        resources={"concurrent": 2, "cpus_per_trial": 1},
    )
    third_party = ROOT / "tests" / "contract" / "thirdparty"
    process = subprocess.Popen(
        [sys.executable, "-m", "tune.cli", "plan", str(path), "--probe"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{third_party}"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    probing = psutil.Process(process.pid)
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while len(children) < 3 and time.monotonic() < deadline:  # a tracker, a server, two trials
        time.sleep(0.5)
        children = [p for p in probing.children(recursive=True) if "forkserver" in command_of(p)]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "interrupted\n")
    assert len(children) == 3
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_what_decides_an_engines_pace_are_hyperparameters_of_its_own() -> None:
    infos = [engine_info(name) for name in engines()]
    assert {info.name for info in infos if info.sizes} >= {"yolo_seg", "mask_rcnn"}
    for info in infos:
        assert {*info.sizes, info.backbone} - {""} <= set(info.params.model_fields), info.name


def past(folder: Path, discs: Path, study: str, seconds: float, **changes: Any) -> None:
    """A study that has trained a trial of one epoch."""
    made = plan(folder, discs, study=study, trainable="unet_selftraining", **changes)
    made.directory.mkdir(parents=True)
    (made.directory / STUDY).write_text(to_yaml(made))
    write_json(made.directory / RESOLVED, resolved(made))
    journal = Journal(made.directory / JOURNAL, study, "max")
    controller = controller_of(made, journal)
    recorder = Recorder(made.directory, made.fixed)
    assignment = controller.next_trial()
    assert assignment is not None
    recorder.begin(assignment)
    values = {"particle_metrics/F1": 0.5, "epoch_seconds": seconds}
    recorder.report(0, 1, values)
    controller.report(0, 1, values)


def test_past_studies_tell_the_pace_where_network_sizes_and_shares_are_alike(
    tmp_path: Path, discs: Path
) -> None:
    like = {"fixed": {"encoder": "unet", "tile_px": 96}}
    past(tmp_path, discs, "like", 3.0, **like)
    past(tmp_path, discs, "larger", 60.0, fixed={"encoder": "unet", "tile_px": 512})
    past(tmp_path, discs, "deeper", 90.0, fixed={"encoder": "resnet18", "tile_px": 96})
    past(tmp_path, discs, "crowded", 9.0, resources={"concurrent": 4}, **like)
    pace = known_pace(plan(tmp_path, discs, study="new", trainable="unet_selftraining", **like))
    assert pace is not None
    assert (pace.epoch_s, pace.measured) == (3.0, "1 trial of past studies")
    assert plan_lines(plan(tmp_path, discs, study="other", seed=1), pace)[10].endswith(
        "by 1 trial of past studies"
    )


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
    left = progress._board.left(progress._board.began)
    assert left is not None
    assert left.seconds == pytest.approx(4 * (10 * 60 + 30), rel=0.2)


def test_what_the_trials_show_takes_the_place_of_what_was_probed() -> None:
    eta = StudyEta(trials=1, epochs=10, concurrent=1, prior=Pace(60.0))
    eta.started(0, 0.0)
    assert eta.trial(0, 0.0) == 600
    eta.reported(0, 1, 2.0)
    eta.reported(0, 2, 4.0)
    assert eta.trial(0, 4.0) == 16
