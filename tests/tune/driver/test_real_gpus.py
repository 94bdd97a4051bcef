"""Trials on the GPUs of this machine, where it has any."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cluster.machines.machine import this_machine
from tests.support.discs import prepare_discs
from tests.support.places import ROOT, THIRD_PARTY
from tests.support.servers.ray_clusters import PLACES, STUDY
from tests.support.study_samples import write_study
from tune.driver.probe import probe
from tune.plan.planning import plan_file

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(this_machine().gpus == 0, reason="needs a CUDA device"),
]


def test_a_probe_measures_how_much_of_a_gpu_a_trial_takes(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        data=str(prepare_discs(tmp_path / "discs").root),
        trainable="unet_selftraining",
        search_space="smoke",
        fixed={},
        budget={"trials": 1, "epochs": 2},
    )
    assert 0 < probe(plan_file(study)).memory < 1


def test_two_trials_share_each_gpu_and_see_no_other(tmp_path: Path) -> None:
    n_gpus = this_machine().gpus
    halves = f"{{concurrent: {2 * n_gpus}, gpus_per_trial: 0.5, cpus_per_trial: 1}}"
    trained = trained_on(tmp_path, halves, 2 * n_gpus)
    seen = {t["trial"]: t["gpus"] for t in trained}
    assert sorted(Counter(seen.values()).values()) == [2] * n_gpus, seen


@pytest.mark.skipif(this_machine().gpus < 2, reason="needs two CUDA devices")
def test_the_last_trial_has_all_gpus(tmp_path: Path) -> None:
    n_gpus = min(8, this_machine().gpus)
    rungs = f"{{concurrent: {n_gpus}, gpus_per_trial: 1, cpus_per_trial: 1, shares: rungs}}"
    trained = trained_on(tmp_path, rungs, 1)
    assert [t["epoch"] for t in trained] == list(range(1, 11))
    assert len(trained[-1]["gpus"].split(",")) == n_gpus


def trained_on(tmp_path: Path, resources: str, trials: int) -> list[dict[str, Any]]:
    """Every epoch of a study on this machine, and on which GPUs it was."""
    places, file = tmp_path / "places.jsonl", tmp_path / "study.yaml"
    file.write_text(
        STUDY.format(
            name="real",
            data=prepare_discs(tmp_path / "discs").root,
            trials=trials,
            epochs=10,
            seconds=1.0,
            resources=resources,
            storage=tmp_path / "studies",
        )
    )
    path = os.pathsep.join((str(ROOT), str(THIRD_PARTY)))
    environ = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    subprocess.run(
        [sys.executable, "-m", "tune.cli", "tune", str(file)],
        env={**environ, PLACES: str(places), "PYTHONPATH": path},
        cwd=ROOT,
        check=True,
    )
    return [json.loads(line) for line in places.read_text().splitlines()]
