"""Pictures through all stages on a real local Ray."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from analysis.measure.job.pipeline import NoSearcherError, Passed, Stages, Workers, passed
from cluster.machines.local_ray import start_ray
from trainables.files.errors import UserError

pytestmark = pytest.mark.ray

APART = Workers(actors=1, cpus=1, gpus=0, batch=3, on_their_way=6)
TOGETHER = replace(APART, on_their_way=None)
each_way = pytest.mark.parametrize("workers", [APART, TOGETHER], ids=["apart", "together"])


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    start_ray(2, 0)
    yield
    ray.shutdown()


def read(number: int) -> Any:
    if number % 10 == 6:
        raise UserError(f"picture {number} ends early")
    return f"read {number}"


class Search:
    """Finds a picture's own number in it; some cannot be searched."""

    def __init__(self, folder: Path) -> None:
        (folder / "made").open("a").write("once\n")

    def __call__(self, numbers: Sequence[int], read: Sequence[Any]) -> list[Any]:
        if any(number % 10 == 8 for number in numbers):
            raise RuntimeError("not expected")
        return [{"number": n, "read": known} for n, known in zip(numbers, read, strict=True)]


class Measure:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, number: int, read: Any, found: Any) -> None:
        if number % 10 == 9:
            raise UserError("no scale")
        (self._folder / f"{number}.txt").write_text(f"{found['number']}, {read}, {found['read']}")


def stages(folder: Path) -> Stages:
    return Stages(read, partial(Search, folder), Measure(folder))


@each_way
def test_each_picture_is_measured_once_and_what_fails_has_its_reason(
    workers: Workers, tmp_path: Path
) -> None:
    numbers = [*range(40), 100]
    done = sorted(passed(numbers, stages(tmp_path), workers), key=lambda p: p.number)
    reasons = {6: "picture {} ends early", 8: "RuntimeError: not expected", 9: "no scale"}
    assert done == [Passed(n, reasons.get(n % 10, "").format(n)) for n in numbers]
    written = {path.stem: path.read_text() for path in tmp_path.glob("*.txt")}
    assert written == {str(n): f"{n}, read {n}, read {n}" for n in numbers if n % 10 not in reasons}
    assert (tmp_path / "made").read_text() == "once\n", "the model is loaded once an actor"


@each_way
def test_the_first_picture_is_measured_before_the_last_one_is_read(
    workers: Workers, tmp_path: Path
) -> None:
    def last_waits(number: int) -> Any:
        end = time.monotonic() + 240
        while number == 30 and not list(tmp_path.glob("*.txt")):
            if time.monotonic() > end:
                raise UserError("nothing was measured")
            time.sleep(0.05)
        return f"read {number}"

    last_is_read = replace(stages(tmp_path), reader=last_waits)
    assert Passed(30, "") in list(passed(list(range(31)), last_is_read, workers))


@each_way
def test_a_picture_on_which_its_process_dies_is_left_out_with_the_reason(
    workers: Workers, tmp_path: Path
) -> None:
    def read_or_die(number: int) -> Any:
        if number == 3:
            os._exit(1)
        return f"read {number}"

    deadly = replace(stages(tmp_path), reader=read_or_die)
    done = {one.number: one.reason for one in passed(list(range(6)), deadly, workers)}
    assert "it died 3 times: a damaged file, or more memory" in done.pop(3)
    assert done == dict.fromkeys([0, 1, 2, 4, 5], "")


@each_way
def test_a_model_that_cannot_be_loaded_ends_the_job_with_its_reason(
    workers: Workers, tmp_path: Path
) -> None:
    def cannot() -> Any:
        raise UserError("model.pt: expected a model, got a text")

    broken = Stages(read, cannot, Measure(tmp_path))
    with pytest.raises(NoSearcherError, match="expected a model, got a text"):
        list(passed(list(range(5)), broken, workers))
