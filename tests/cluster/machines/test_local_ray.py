"""The Ray that a command runs on."""

from typing import Any

import pytest
import ray

from cluster.errors import ClusterError
from cluster.machines.local_ray import start_ray


def test_a_ray_that_a_busy_machine_does_not_start_in_time_is_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(**asked: Any) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(ClusterError) as raised:
        start_ray(1, 0)
    assert str(raised.value) == (
        "Ray cannot be started on this machine: The current node timed out during startup; "
        "`segtune doctor` says more"
    )
