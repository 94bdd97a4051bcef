import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import ROOT
from tests.support.rehearsed_study import rehearse
from tests.support.study_samples import write_study
from trainables.trials.layout import METRICS
from tune.directory.layout import read_metrics
from tune.directory.writer import metrics_line
from tune.plan.pace import Pace
from tune.plan.past_pace import disk_line, known_pace
from tune.plan.planning import plan_file


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """The directory of a study of three trials that ran; each epoch is said to have taken 2 s."""
    opened = rehearse(
        tmp_path,
        study="past",
        budget={"trials": 3, "epochs": 4},
        resources={"concurrent": 2},
        scheduler="none",
    )
    for table in opened.path.glob(f"trials/*/{METRICS}"):
        rows = read_metrics(table.parent)
        for number, row in enumerate(rows, start=1):
            row |= {"epoch_seconds": 2.0, "elapsed_s": 0.5 + 2 * number}
        table.write_text("".join(map(metrics_line, rows)))
    return opened.path


def pace(folder: Path, **changes: Any) -> Pace | None:
    """The pace known of the next study in a folder."""
    like = {"study": "next", "resources": {"concurrent": 2}, **changes}
    return known_pace(plan_file(write_study(folder, **like)))


def test_the_trials_of_a_past_study_tell_the_pace_of_the_next(tmp_path: Path, past: Path) -> None:
    assert pace(tmp_path) == Pace(2.0, 0.5, "3 trials of past studies")
    assert pace(tmp_path, resources={"concurrent": 1}) is None, "alone, trials are quicker"


def test_a_record_of_before_studies_were_kept_in_it_counts_too(tmp_path: Path, past: Path) -> None:
    record = json.loads((past / "resolved.json").read_text())
    del record["written"]
    (past / "resolved.json").write_text(json.dumps(record))
    assert pace(tmp_path) == Pace(2.0, 0.5, "3 trials of past studies")
    (past / "study.yaml").unlink()
    assert pace(tmp_path) is None


@pytest.mark.parametrize("damaged", ["resolved.json", f"trials/0/{METRICS}"])
def test_a_damaged_study_tells_nothing(tmp_path: Path, past: Path, damaged: str) -> None:
    (past / damaged).write_text("torn\n")
    assert pace(tmp_path) is None


def test_the_past_is_looked_at_without_optuna(tmp_path: Path, past: Path) -> None:
    path = write_study(tmp_path, study="next", resources={"concurrent": 2})
    code = (
        "import pathlib, sys\n"
        "from tune.plan.past_pace import known_pace; from tune.plan.planning import plan_file\n"
        "print(known_pace(plan_file(pathlib.Path(sys.argv[1]))).measured)\n"
        "print(sorted({'optuna', 'scipy', 'pandas', 'ray'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["3 trials of past studies", "[]"]


def test_room_is_estimated_by_past_trials_without_their_checkpoints(tmp_path: Path) -> None:
    past = rehearse(tmp_path, study="past", budget={"trials": 2, "epochs": 3}, scheduler="none")
    plan = plan_file(tmp_path / "study.yaml", ["study=next", "budget.trials=1000"])
    kept = [
        sum(
            path.stat().st_size
            for path in trial.directory.rglob("*")
            if path.is_file() and "checkpoint" not in path.parts
        )
        for trial in past.trials()
    ]
    size = sum(kept) / 2
    line = disk_line(plan)
    assert line.startswith(
        f"disk        about {size / 1e3:.1f} MB, {size / 1e3:.1f} kB a trial that has ended, by 2 "
        "trials of past studies; while it runs also its checkpoint; "
    )
    assert line.endswith(f" GB free in {past.path.parent}")


def test_where_no_trial_is_known_only_what_is_free_is_said(tmp_path: Path) -> None:
    study = rehearse(tmp_path, run=False)
    plan = plan_file(tmp_path / "study.yaml", ["study=next"])
    assert disk_line(plan).startswith("disk        unknown: no past trial of this kind beside it; ")
    assert disk_line(plan).endswith(f" GB free in {study.path.parent}")
