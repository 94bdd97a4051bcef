"""A question to every node of the cluster that this process is connected to."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_LACKS: Final = "its Python cannot import {}, which segtune needs"

_LOOK_S: Final = 1.0

ANSWER_S = 120.0  # a node gets and unpacks the package first, and may be busy


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a node says.

    Attributes:
        node: Address of the node.
        value: Its answer; None where there is none.
        problem: Why there is none.
    """

    node: str
    value: T | None
    problem: str = ""


def ask_every_node(
    function: Callable[..., T],
    *arguments: Any,
    timeout_s: float = ANSWER_S,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[Answer[T]]:
    """The answers of all living nodes, by a task on each that asks for no share of it.

    Args:
        function: Importable by its name from the job's package.
        arguments: Of the function.
        timeout_s: Longest time to wait for all of them.
        meanwhile: Called every second while they are waited for; what it raises ends the waiting.
    """
    import ray  # put off: slow to import, and a process may have no use for it
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # as Ray

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    asked = {
        task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(*arguments): _named(node)
        for node in ray.nodes()
        if node["Alive"]
    }
    deadline, waiting = time.monotonic() + timeout_s, list(asked)
    while waiting and time.monotonic() < deadline:
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_LOOK_S)
        if waiting:
            meanwhile()
    answers = []
    for reference, node in asked.items():
        try:
            value = ray.get(reference, timeout=max(0.1, deadline - time.monotonic()))
            answers.append(Answer(node, value))
        except ray.exceptions.GetTimeoutError:
            ray.cancel(reference, force=True)
            answers.append(Answer[T](node, None, f"no answer within {timeout_s:.0f} s"))
        except ray.exceptions.RayError as error:
            answers.append(Answer[T](node, None, why_no_worker(error)))
    return answers


def why_no_worker(error: BaseException) -> str:
    """What a node's process failed with, in a sentence: above all that it lacks a package."""
    text = str(error)
    if lacking := re.findall(r"No module named '?([\w.]+)'?", text):
        return _LACKS.format(lacking[-1])
    if "RuntimeEnv" in type(error).__name__:
        return f"the job's package cannot be unpacked there: {_last_line(text)}"
    return _last_line(text)


def why_no_import(error: ImportError) -> str:
    """What an import failed with in this process, in the same words."""
    first: BaseException = error
    while isinstance(inner := first.__cause__ or first.__context__, ImportError):
        first = inner
    missing = isinstance(first, ModuleNotFoundError) and first.name
    return _LACKS.format(missing) if missing else f"segtune cannot be imported: {first}"


def _named(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
