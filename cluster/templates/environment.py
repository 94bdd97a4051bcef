"""The environment variables of every node of a cluster; none of them is a secret."""

from collections.abc import Mapping
from typing import Final

HEARTBEAT: Final[Mapping[str, str]] = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}
"""By these a node whose network is lost counts as dead after 10 s; Ray's own take over a minute."""

STOP_WAIT: Final[Mapping[str, str]] = {"RAY_JOB_STOP_WAIT_TIME_S": "60"}
"""Seconds that a job has to end in order, with its report written, before it is killed."""

MARKET_TYPE: Final = "RAY_NODE_MARKET_TYPE"
"""Variable that Ray makes a node's label `ray.io/market-type` from."""

MARKET_LABEL: Final = "ray.io/market-type"


def market(spot: bool) -> str:
    """Ray's word for spot machines, and for those that stay."""
    return "spot" if spot else "on-demand"
