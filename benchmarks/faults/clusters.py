"""Faults of the nodes of a cluster, its control store and its object store."""

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from benchmarks.faults.plain_study import LATE, Stock
from cluster.templates.environment import HEARTBEAT
from tests.faults.surroundings.test_object_store import STORE, Hoarder
from tests.faults.test_drain_notice import drain, raylet_of, take_away
from tests.faults.test_lost_cluster import victims
from tests.support.servers.bare_python import bare_python
from tests.support.servers.heads import Head, running_head


@contextlib.contextmanager
def nodes_for(stock: Stock, *cpus: int) -> Iterator[tuple[Cluster, list[Any]]]:
    """A cluster whose head trains nothing, and worker nodes of so many CPUs each."""
    room: dict[str, Any] = {"object_store_memory": STORE}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in HEARTBEAT.items():
            patch.setenv(key, value)
        head = {"num_cpus": 0, "include_dashboard": False, **room}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            nodes = [cluster.add_node(num_cpus=n, **room) for n in cpus]
            stock.environment["RAY_ADDRESS"] = cluster.address
            yield cluster, nodes
        finally:
            stock.kill()
            cluster.shutdown()


def node_lost(stock: Stock) -> None:
    """The raylet of a node with half of the trials is killed; nothing is restored."""
    with nodes_for(stock, 1, 1) as (_, nodes):
        driver = stock.start()
        stock.wait_for(LATE)
        psutil.Process(raylet_of(nodes[1])).kill()
        stock.finish(driver)


def node_lost_retried(stock: Stock) -> None:
    """The same with `max_failures=-1`."""
    stock.plan.failures = -1
    node_lost(stock)


def node_frozen(stock: Stock) -> None:
    """A node freezes, the driver is killed and restored, and the node's workers wake up."""
    with nodes_for(stock, 1, 1) as (_, nodes):
        driver = stock.start()
        stock.wait_for(LATE)
        raylet = raylet_of(nodes[1])
        with _frozen(raylet):
            driver.kill()
            driver.wait()
            restored = stock.start(restore=True)
            stock.wait_for(len(stock.diary()) + 6)
        _finish_with_sleepers(stock, restored, raylet)


def node_frozen_retried(stock: Stock) -> None:
    """A node freezes until its trial goes on elsewhere (`max_failures=-1`), and wakes up."""
    stock.plan.failures = -1
    with nodes_for(stock, 1, 1) as (_, nodes):
        driver = stock.start()
        stock.wait_for(LATE)
        raylet = raylet_of(nodes[1])
        with _frozen(raylet):
            stock.wait_for(LATE + 12)
        _finish_with_sleepers(stock, driver, raylet)


@contextlib.contextmanager
def _frozen(raylet: int) -> Iterator[None]:
    """Have a raylet and its workers do nothing for as long as the block takes."""
    parent = psutil.Process(raylet)
    frozen = [parent, *parent.children(recursive=True)]
    try:
        for process in frozen:
            process.suspend()
        yield
    finally:
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def _finish_with_sleepers(stock: Stock, driver: subprocess.Popen[bytes], raylet: int) -> None:
    """Wait for the driver's end, and tell what the workers of a raylet have trained since."""
    n = len(stock.diary())
    stock.finish(driver)
    late = [line for line in stock.diary()[n:] if line["raylet"] == raylet]
    print(f"    epochs of workers that woke up: {late}")


def node_drained(stock: Stock) -> None:
    """A node is taken away in the middle of its trial, with notice of 8 s; nothing is restored."""
    with nodes_for(stock, 2, 1) as (cluster, nodes):
        driver = stock.start()
        stock.wait_for(9)  # three of each trial, of which the node will have trained seven
        raylet = raylet_of(nodes[1])
        before = len(stock.diary())
        deadline = drain(cluster.address, nodes[1], 8)
        take_away(raylet, deadline)
        there = [line for line in stock.diary()[before:] if line["raylet"] == raylet]
        print(f"    epochs that were trained there after the notice: {there}")
        stock.finish(driver)


def node_drained_retried(stock: Stock) -> None:
    """The same with `max_failures=-1`."""
    stock.plan.failures = -1
    node_drained(stock)


def node_without_packages(stock: Stock) -> None:
    """A node of a Python that has Ray's own packages alone joins; nothing is restored."""
    with _head(stock, 1) as head:
        driver = stock.start()
        stock.wait_for(2)
        head.add_node(2, bare_python(stock.folder / "python"))
        stock.finish(driver)


def node_without_packages_retried(stock: Stock) -> None:
    """The same with `max_failures=3`."""
    stock.plan.failures = 3
    node_without_packages(stock)


def head_restarted(stock: Stock) -> None:
    """All of Ray is killed, and its head started again on the tables it kept on disk."""
    tables = {
        "RAY_gcs_storage": "rocksdb",
        "RAY_gcs_storage_path": str(stock.folder / "tables"),
    }
    with _head(stock, 2, **tables) as head:
        driver = stock.start()
        stock.wait_for(LATE)
        for process in victims(head, "all of Ray"):
            os.kill(process.pid, signal.SIGKILL)
        head.start(2)
        stock.finish(driver, 120)
        stock.finish(stock.start(restore=True))


@contextlib.contextmanager
def _head(stock: Stock, cpus: int, **variables: str) -> Iterator[Head]:
    with running_head(cpus=cpus, token="", **variables) as head:
        stock.environment["RAY_ADDRESS"] = f"{head.ip}:{head.port}"
        try:
            yield head
        finally:
            stock.kill()


def object_store_full(stock: Stock) -> None:
    """Somebody else holds all that the node's object store has room for; nothing is restored."""
    with nodes_for(stock, 3) as (cluster, _):
        ray.init(cluster.address, log_to_driver=False)
        try:
            hoarder = Hoarder.remote()  # type: ignore[attr-defined]
            assert ray.get(hoarder.fill.remote()) >= STORE
            began = time.monotonic()
            stock.finish(stock.start())
            print(f"    it took {time.monotonic() - began:.0f} s")
            print(f"    epochs of each worker: {Counter(e['pid'] for e in stock.diary())}")
        finally:
            ray.shutdown()
