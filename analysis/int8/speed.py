"""Pictures per second of one core's time, in turns: a machine's other work hardly counts."""

import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from trainables.contract import Device, Picker, Predictor
from trainables.onnx.load import load_onnx
from trainables.onnx.session import Session

Pixels = Any

ROUNDS: Final = 3

_KNOWN: Final = {
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX-INT8",
    "asimddp": "SDOT",
    "i8mm": "I8MM",
}
"""Instructions that multiply and add 8-bit integers, by Linux' names of them."""


def rates(
    finds: Sequence[Callable[[int], object]],
    n: int,
    rounds: int = ROUNDS,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[list[float]]:
    """Pictures per second of several functions, round by round, one picture at a time.

    The seconds are those that the calling thread computed, in which what works on one core does
    all of its work. One more round goes before, which warms up and does not count.

    Args:
        finds: Each finds what is in the picture of a number.
        n: Number of pictures.
        rounds: Number of rounds that count.
        progress: Told how many of how many rounds are done.
    """
    found: list[list[float]] = [[] for _ in finds]
    for number in range(rounds + 1):
        for find, speeds in zip(finds, found, strict=True):
            begin = time.thread_time()
            for picture in range(n):
                find(picture)
            if number:
                speeds.append(n / (time.thread_time() - begin))
        progress(number + 1, rounds + 1)
    return found


def whole(predictor: Predictor, pictures: Sequence[Pixels]) -> Callable[[int], object]:
    """All that a model does with a picture, from grey levels to boxes, masks or a map."""
    if isinstance(predictor, Picker):
        return lambda number: predictor.probability(pictures[number])
    return lambda number: predictor([pictures[number]])


def alone(file: Path, pictures: Sequence[Pixels]) -> Callable[[int], object]:
    """What an ONNX file does with a picture that is brought to its size already, on one core."""
    device = Device("cpu", cpus=1)
    predictor, session = load_onnx(file, device), Session(file, device)
    given = [predictor.inputs(picture) for picture in pictures]
    outputs = [name for name in session.manifest.outputs if name not in given[0][0]]
    return lambda number: [session.run(outputs, **inputs) for inputs in given[number]]


def ratio(before: Sequence[float], after: Sequence[float]) -> float:
    """How much faster the second one is, in the median round.

    >>> ratio([10.0, 5.0, 10.0], [20.0, 10.0, 25.0])
    2.0
    """
    return statistics.median(b / a for a, b in zip(before, after, strict=True))


def this_cpu(about: Path = Path("/proc/cpuinfo")) -> str:
    """The processor, with its instructions for 8-bit integers as far as it says which it has."""
    if not about.is_file():
        return platform.processor() or platform.machine()
    text = about.read_text("utf-8", "replace")
    name = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)$", text, re.MULTILINE)
    there = set(flags[1].split()) if flags else set()
    has = ", ".join(words for flag, words in _KNOWN.items() if flag in there)
    return f"{name[1].strip() if name else platform.machine()} ({has or 'no 8-bit dot product'})"
