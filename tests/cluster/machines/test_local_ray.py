"""The Ray that a command runs on."""

import os
from typing import Any

import pytest
import ray

from cluster.errors import ClusterError
from cluster.machines.local_ray import start_ray

_VARIABLE = "RAY_raylet_start_wait_time_s"  # as Ray spells it


def test_a_ray_that_a_busy_machine_does_not_start_in_time_is_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def late(**asked: Any) -> None:
        given.append(os.environ.get(_VARIABLE))
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", late)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(_VARIABLE, "")  # so that it is set back afterwards
    monkeypatch.delenv(_VARIABLE)
    with pytest.raises(ClusterError) as raised:
        start_ray(1, 0)
    assert str(raised.value) == (
        "Ray cannot be started on this machine: The current node timed out during startup; "
        "`segtune doctor` says more"
    )
    assert given == ["120"], "seconds, where Ray's own limit is 30"
