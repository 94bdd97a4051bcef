"""Fixtures of measuring: the threshold engine, and a Ray whose workers know it."""

import os
from collections.abc import Iterator

import pytest
import ray

from cluster.machines.local_ray import start_ray
from tests.support.places import THIRD_PARTY


@pytest.fixture(scope="module")
def threshold() -> Iterator[None]:
    """The third party's package, as if it were installed, here and in processes begun later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(THIRD_PARTY)
        patch.setenv("PYTHONPATH", str(THIRD_PARTY), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def local_ray(threshold: None) -> Iterator[None]:
    """A Ray on two cores."""
    start_ray(2, 0)
    yield
    ray.shutdown()
