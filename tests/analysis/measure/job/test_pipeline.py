"""Pictures through both stages on a real local Ray."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from analysis.measure.job.pipeline import Passed, Stages, Workers, passed
from cluster.machines.local_ray import start_ray
from trainables.files.errors import UserError

pytestmark = pytest.mark.ray

WORKERS = Workers(actors=1, cpus=1, gpus=0, batch=3)


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    start_ray(2, 0)
    yield
    ray.shutdown()


class Search:
    """Finds a picture's own number in it; some cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "made").open("a").write("once\n")

    def __call__(self, number: int) -> Any:
        if number % 10 == 7:
            raise UserError(f"picture {number} ends early")
        if number % 10 == 8:
            raise RuntimeError("not expected")
        return {"number": number}


class Measure:
    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds

    def __call__(self, number: int, found: Any) -> None:
        if number % 10 == 9:
            raise UserError("no scale")
        time.sleep(self._seconds)
        (self._folder / f"{number}.txt").write_text(str(found["number"]))


def stages(folder: Path, seconds: float = 0.0) -> Stages:
    return Stages(partial(Search, folder), partial(Measure, folder, seconds))


def test_each_picture_is_measured_once_and_what_fails_has_its_reason(tmp_path: Path) -> None:
    numbers = [*range(40), 100]
    done = sorted(passed(numbers, stages(tmp_path), WORKERS), key=lambda p: p.number)
    reasons = {7: "picture {} ends early", 8: "RuntimeError: not expected", 9: "no scale"}
    assert done == [Passed(n, reasons.get(n % 10, "").format(n)) for n in numbers]
    written = {path.stem: path.read_text() for path in tmp_path.glob("*.txt")}
    assert written == {str(n): str(n) for n in numbers if n % 10 not in reasons}
    assert (tmp_path / "made").read_text() == "once\n", "the model is loaded once an actor"


def test_the_first_pictures_are_told_of_long_before_the_last(tmp_path: Path) -> None:
    started = time.monotonic()
    times = [
        time.monotonic() - started for _ in passed(list(range(40)), stages(tmp_path, 0.2), WORKERS)
    ]
    assert times[0] < times[-1] / 2
