"""Nodes that are to take no trials, as Ray's words on its nodes tell."""

import time

import pytest

from cluster.machines.nodes import Node, Nodes


class Ray:
    """What Ray would say."""

    def __init__(self, *names: str) -> None:
        self.living = {name: Node(4, 0, address=f"address of {name}") for name in names}
        self.notices: dict[str, float] = {}

    def nodes(self) -> Nodes:
        """What a study knows of them."""
        made = Nodes(
            {}, lambda node: node.cpus > 1, lambda _: dict(self.living), lambda: dict(self.notices)
        )
        made.look()
        return made


def test_trials_leave_a_node_that_is_drained_and_none_begins_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ray = Ray("a", "b")
    nodes = ray.nodes()
    assert (set(nodes.usable), nodes.left_out) == ({"a", "b"}, ())
    ray.notices = {"b": time.time() + 30}
    nodes.look()
    nodes.look()
    assert (set(nodes.usable), nodes.left_out) == ({"a"}, ("b",))
    assert nodes.is_left("b")
    assert not nodes.is_left("a")
    (record,) = caplog.records
    assert record.getMessage().startswith("node address of b will be taken away in 30 s: no trial")
    del ray.living["b"]
    ray.notices = {}
    nodes.look()
    assert nodes.left_out == ()
    assert nodes.is_out("b"), "what stood there is not asked for again"


def test_trials_of_the_only_node_stay_until_another_one_joins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ray = Ray("a")
    ray.living["too small"] = Node(1, 0)
    ray.notices = {"a": 0.0, "too small": 0.0}
    nodes = ray.nodes()
    assert nodes.is_out("a")
    assert not nodes.is_left("a")
    ray.living["b"] = Node(4, 0)
    nodes.look()
    assert nodes.is_left("a")
    alone, joined = (record.getMessage() for record in caplog.records)
    assert "will be taken away, and there is no other one: its trials go on there" in alone
    assert "those that run there go on elsewhere" in joined


def test_a_node_that_cannot_run_trials_is_left_out_as_long_as_there_is_another() -> None:
    nodes = Ray("a", "b").nodes()
    assert nodes.leave_out("b")
    assert (set(nodes.usable), nodes.left_out) == ({"a"}, ("b",))
    assert nodes.leave_out("b"), "a second trial failed there at the same time"
    assert not nodes.leave_out("a")
