"""Errors of Ray's, as a real Ray words them, and what they mean for a trial."""

import pytest
from ray.exceptions import RayActorError, RayError

from tune.driver.deaths import DOUBT_S, Death, Doubts, death_of

LOST = """The actor died unexpectedly before finishing this task.
\tpid: 23747
\tip: 192.0.2.2
The actor died because its node has died. Node Id: 81b2c58f15a51437c3f29917
\tthe actor's node was terminated unexpectedly: health check failed due to missing too many
heartbeats"""

KILLED = """The actor died unexpectedly before finishing this task.
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR"""


WITHOUT = """The actor died because of an error raised in its creation task, \
ray::ResourceTrainable.__init__() (pid=15366, ip=192.0.2.2, actor_id=5eb7, repr=<ray>)
RuntimeError: The actor with name ResourceTrainable failed to import on the worker:

ray::ResourceTrainable.__init__() (pid=15366, ip=192.0.2.2)
ModuleNotFoundError: No module named 'tune'"""


def actor_error(text: str, *, preempted: bool = False, begins: bool = False) -> RayActorError:
    return RayActorError("0", text, begins, preempted)


@pytest.mark.parametrize(
    ("error", "death"),
    [
        (actor_error(LOST), Death("its node was lost", of_node=True)),
        (actor_error("", preempted=True), Death("its node was preempted", of_node=True)),
        (actor_error(KILLED), Death("its worker died", node="node of 0")),
        (
            actor_error(WITHOUT, begins=True),
            Death(
                "a node of the cluster (192.0.2.2) cannot run trials: its Python cannot import "
                "tune, which segtune needs",
                unprepared=True,
                node="node of 0",
            ),
        ),
        (RayError("its node has died"), Death("its worker died")),
        (None, Death("its worker died")),
    ],
    ids=["lost", "preempted", "killed", "without segtune", "not an actor's", "unknown"],
)
def test_only_a_node_that_is_gone_excuses_a_trial(error: RayError | None, death: Death) -> None:
    assert death_of(error, lambda actor: f"node of {actor}", lambda: "the driver's") == death


def test_the_drivers_own_node_is_not_doubted() -> None:
    assert death_of(actor_error(KILLED), lambda actor: "here", lambda: "here") == Death()


def test_a_dead_worker_is_no_crash_of_its_trial_where_its_node_turns_out_to_be_gone() -> None:
    alive, seconds = {"a", "b"}, [0.0]
    doubts = Doubts(alive.__contains__, lambda: seconds[0])
    doubts.add(0, Death(node="a"))
    doubts.add(1, Death(node="b"))
    assert doubts.settled() == []
    seconds[0] = 5.0
    alive.remove("a")
    assert doubts.settled() == [(0, Death("its node was lost", of_node=True))]
    seconds[0] = DOUBT_S
    assert doubts.settled() == [(1, Death("its worker died"))]
    assert not doubts.open
