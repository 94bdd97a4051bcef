"""The nodes of the cluster that a job's process is connected to: checked, told of, swept."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import ray

from cluster.jobs.environment import Environment, differences, pins_hash
from cluster.jobs.leftovers import end_leftovers
from cluster.jobs.nodes import Answer, ask_every_node
from cluster.machines.local_ray import start_ray
from cluster.machines.machine import Machine
from tune.job.checks import (
    SECRETS,
    Findings,
    Question,
    look,
    refuse_other_nodes,
    tested_versions,
)
from tune.job.order import COMMAND, Order

ORDERLY_S: Final = 60.0
"""Time that a driver has to write its report when Ray has lost sight of it, s."""


_POLL_S: Final = 1.0


def connect() -> None:
    """Connect to the cluster that this process is a job of."""
    start_ray(0, 0)  # RAY_ADDRESS names it, and nothing is started


def has_gpus() -> bool:
    """Whether any node of the cluster has a GPU."""
    return bool(ray.cluster_resources().get("GPU"))


def free_processors(tell: Callable[[str], None], look: Callable[[], None]) -> Machine:
    """CPU cores and GPUs of all nodes that nobody holds, as soon as one is free.

    Where the cluster has GPUs, one of them is waited for.

    Args:
        tell: Takes a line that says what is waited for.
        look: Called now and then; raises where that is over.
    """
    waiting = False
    while True:
        kind, free = "GPU" if has_gpus() else "CPU", ray.available_resources()
        if free.get(kind, 0) >= 1:
            return Machine(max(1, int(free.get("CPU", 1))), int(free.get("GPU", 0)))
        if not waiting:
            tell(f"all {kind}s of the cluster are held by others; begins when one is free")
        waiting = True
        look()
        time.sleep(_POLL_S)


def check_nodes(order: Order, distributions: Sequence[str], proof: Path | None = None) -> str:
    """Hold every node against an order; returns a line about them.

    Args:
        order: What the job needs.
        distributions: Packages of its engine.
        proof: File in a folder that must be shared.

    Raises:
        JobError: A node is not as it must be; with a line for everything that is wrong.
    """
    pins = tested_versions(Path())
    question = Question(
        packages=tuple(pins),
        module=order.module,
        distributions=tuple(distributions),
        places=order.places,
        proof="" if proof is None else str(proof),
    )
    answers = ask_every_node(look, question)
    refuse_other_nodes(order, pins, answers)
    n = "1 node" if len(answers) == 1 else f"{len(answers)} nodes"
    return f"{n}: Python {order.python}, Ray {order.ray}, constraints {pins_hash(pins)}"


def node_lines(order: Order) -> tuple[list[str], bool]:
    """What each node has and lacks, in lines; and whether jobs can run on all of them."""
    pins = tested_versions(Path())
    answers = ask_every_node(look, Question(packages=tuple(pins), module=order.module))
    wanted = Environment(order.python, order.ray, pins)
    lines = [line for answer in answers for line in _lines_of(answer, wanted)]
    return lines, not any(line.startswith("fail") for line in lines)


def swept_lines(job_id: str) -> tuple[list[str], bool]:
    """What a job had left on the nodes and was ended there; and whether none of it is left."""
    answers = ask_every_node(end_leftovers, job_id, COMMAND[-1], ORDERLY_S)
    found = [(a.node, a.value) for a in answers if a.value is not None]
    ended = [f"{node}: ended {process}" for node, left in found for process in left.ended]
    alive = [f"{node}: cannot be ended: {p}" for node, left in found for p in left.there]
    silent = [f"{a.node}: cannot be looked at: {a.problem}" for a in answers if a.value is None]
    free, there = ray.available_resources(), ray.cluster_resources()
    kinds = [kind for kind in ("CPU", "GPU") if kind in there]
    shares = ", ".join(f"{free.get(kind, 0):g} of {there[kind]:g} {kind}s" for kind in kinds)
    nodes = "1 node" if len(found) == 1 else f"{len(found)} nodes"
    gone = [] if alive else [f"no process of it is left on {nodes}; free: {shares or 'nothing'}"]
    return [*ended, *alive, *silent, *gone], not (alive or silent)


def _lines_of(answer: Answer[Findings], wanted: Environment) -> Iterator[str]:
    found = answer.value
    if found is None:
        yield f"fail  {answer.node}: {answer.problem}"
        return
    if found.trouble:
        yield f"fail  {answer.node}: {found.trouble}"
    if others := differences(found.environment, wanted):
        yield f"fail  {answer.node}: {'; '.join(others)}"
    if not found.trouble and not others:
        there = found.environment
        yield f"ok    {answer.node}: Python {there.python}, Ray {there.ray}, packages as tested"
    lacking = [name for name in SECRETS if name not in found.secrets]
    if lacking:
        yield f"warn  {answer.node}: has no {' and no '.join(lacking)} in its environment"
    else:
        yield f"ok    {answer.node}: has {' and '.join(SECRETS)}"
