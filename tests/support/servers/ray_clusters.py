"""Ray clusters of several nodes on one machine, with GPUs that Ray only counts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import placement_group_table

from cluster.templates.environment import HEARTBEAT
from tests.support.places import ROOT, THIRD_PARTY

PLACES = "AWKWARD_ENGINE_PLACES"
GATE = "AWKWARD_ENGINE_GATE"

STUDY = """
study: {name}
data: {data}
trainable: awkward
budget: {{trials: {trials}, epochs: {epochs}}}
fixed: {{epoch_seconds: {seconds}}}
search_space: {{lr0: {{uniform: [0.1, 0.9]}}}}
scheduler: none
plateau: none
resources: {resources}
tracking: {{wandb: {{mode: disabled}}}}
storage: {storage}
"""


class Nodes:
    """A cluster whose head trains nothing, and the studies on it, each with a driver of its own.

    Attributes:
        cluster: Ray's cluster; its first worker nodes have two GPUs each.
    """

    def __init__(self, folder: Path, data: Path, n: int, **node: Any) -> None:
        self._folder, self._data = folder, data
        self._drivers: list[subprocess.Popen[bytes]] = []
        self._node = {"num_cpus": 4, "object_store_memory": 80 * 2**20, **node}
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": False,
                "object_store_memory": 80 * 2**20,
            },
        )
        self.nodes = [self.add() for _ in range(n)]
        ray.init(self.cluster.address, log_to_driver=False)

    def add(self, attempts: int = 3, **node: Any) -> Any:
        """Add a node; returns Ray's handle of it.

        Ray gives a node 30 s to come up, which are too few where the machine is busy with others.
        """
        before = psutil.Process().children(recursive=True)
        try:
            return self.cluster.add_node(**{**self._node, **node})
        except Exception as error:
            if attempts == 1 or "timed out during startup" not in str(error):
                raise
        for process in set(psutil.Process().children(recursive=True)) - set(before):
            with suppress(psutil.Error):
                process.kill()
        return self.add(attempts - 1, **node)

    def start(
        self,
        name: str,
        resources: str,
        trials: int = 4,
        epochs: int = 6,
        seconds: float = 0.5,
    ) -> subprocess.Popen[bytes]:
        """Start a study; returns its driver."""
        file = self._folder / f"{name}.yaml"
        file.write_text(
            STUDY.format(
                name=name,
                data=self._data,
                trials=trials,
                epochs=epochs,
                seconds=seconds,
                resources=resources,
                storage=self._folder / "studies",
            )
        )
        return self._driver(name, "tune", str(file))

    def resume(self, name: str) -> subprocess.Popen[bytes]:
        """Start another driver for a study whose last one has ended; returns it."""
        return self._driver(name, "resume", str(self.study(name)))

    def _driver(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            driver = subprocess.Popen(
                [sys.executable, "-m", "tune.cli", *words],
                env={**os.environ, "RAY_ADDRESS": self.cluster.address},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                start_new_session=True,
            )
        self._drivers.append(driver)
        return driver

    def study(self, name: str) -> Path:
        """The directory of a study."""
        return self._folder / "studies" / name

    def log(self, name: str) -> str:
        """What a study's driver has shown."""
        return (self._folder / f"{name}.log").read_text()

    def trained(self, name: str = "") -> list[dict[str, Any]]:
        """Every epoch that an engine trained, in order: where and when; of one study, or of all."""
        places = self._folder / "places.jsonl"
        lines = places.read_text().splitlines() if places.is_file() else []
        epochs = [json.loads(line) for line in lines]
        return [epoch for epoch in epochs if epoch["trial"].startswith(f"{name}/" if name else "")]

    def held(self, name: str) -> int:
        """Number of GPUs that stand reserved for a study."""
        return sum(
            int(group["bundles"][0]["GPU"])
            for group in placement_group_table().values()
            if group["state"] == "CREATED" and group["name"].startswith(f"segtune/{name}/")
        )

    def end_studies(self) -> None:
        """End the drivers that a failed test has left."""
        for driver in self._drivers:
            if driver.poll() is None:
                driver.kill()
                driver.wait(timeout=60)

    def close(self) -> None:
        """End the cluster."""
        ray.shutdown()
        self.cluster.shutdown()


@contextmanager
def ray_nodes(folder: Path, data: Path, n: int = 2, **node: Any) -> Iterator[Nodes]:
    """A cluster of so many worker nodes, for a module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**HEARTBEAT, PLACES: str(folder / "places.jsonl")}.items():
            patch.setenv(key, value)
        patch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(THIRD_PARTY))))
        made = Nodes(folder, data, n, **node)
        try:
            yield made
        finally:
            made.close()


def until(what: str, holds: Callable[[], object], most_s: float = 180.0) -> float:
    """Wait until something holds; returns the seconds it took."""
    started = time.monotonic()
    while not holds():
        took = time.monotonic() - started
        assert took < most_s, f"after {took:.0f} s not yet: {what}"
        time.sleep(0.1)
    return time.monotonic() - started


def kill_raylet(node: Any) -> int:
    """Kill a node's raylet, with which Ray loses the node; returns its pid."""
    pid = int(node.all_processes["raylet"][0].process.pid)
    psutil.Process(pid).kill()
    return pid
