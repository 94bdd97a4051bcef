"""Ray's object store, filled up and held by somebody else: a study trains as ever."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from tests.support.discs import prepare_discs
from tests.support.servers.ray_clusters import ray_nodes
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]

BLOCK, STORE = 8 * 2**20, 80 * 2**20


@ray.remote(num_cpus=0.1)
class Hoarder:
    """Holds more objects than a node's store has room for, and looks at them all."""

    def __init__(self) -> None:
        self._held: list[Any] = []

    def fill(self) -> int:
        """Take all there is; returns the bytes that it holds."""
        while len(self._held) * BLOCK < STORE:
            reference = ray.put(np.ones(BLOCK, np.uint8))
            self._held.append((reference, ray.get(reference)))
        return sum(int(view.nbytes) for _, view in self._held)


def test_a_study_trains_where_the_object_store_is_full(tmp_path: Path) -> None:
    data = prepare_discs(tmp_path / "discs").root
    with ray_nodes(tmp_path, data, n=1, num_gpus=0) as nodes:
        try:
            hoarder = Hoarder.remote()  # type: ignore[attr-defined]
            assert ray.get(hoarder.fill.remote()) >= STORE
            driver = nodes.start("full", "{concurrent: 2, cpus_per_trial: 1}", trials=3)
            assert driver.wait(timeout=240) == 0, nodes.log("full")[-3000:]
            assert "Traceback" not in nodes.log("full")
            trials = StudyDir.open(nodes.study("full")).trials()
            assert [(trial.state, trial.epochs) for trial in trials] == [("complete", 6)] * 3
            assert len(nodes.trained("full")) == 18
        finally:
            nodes.end_studies()
