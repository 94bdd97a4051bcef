"""A study's trials under Ray Tune, each started where its room is.

Ray Tune makes a placement group of its own for each trial. Trials that share GPUs start in the
placement group of their unit instead, by a resource manager of ours.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import ray.tune as ray_tune
import ray.tune.tune as ray_tune_run
from ray.air.execution.resources.placement_group import PlacementGroupAcquiredResources
from ray.air.execution.resources.request import AcquiredResources, ResourceRequest
from ray.air.execution.resources.resource_manager import ResourceManager
from ray.tune.execution.tune_controller import TuneController
from ray.util.placement_group import PlacementGroup

from cluster.machines.looking import Wish, fitting_cpus
from cluster.machines.nodes import NODE_ID, Node, Nodes, nodes_with
from cluster.machines.reservations import Reservations
from tune.driver.room import Cores
from tune.errors import DriverError
from tune.plan.past_pace import gpu_share
from tune.plan.plan import StudyPlan

log = logging.getLogger(__name__)

_MADE_AS: Final = "TuneController"  # the name by which Ray Tune's `run` makes its controller

Requests = Callable[[Mapping[str, Any]], ray_tune.PlacementGroupFactory]
"""Function from a trial's configuration to what Ray is asked for."""


def reservations_of(plan: StudyPlan, *, own: bool) -> Reservations | None:
    """The reservations of a study, none taken yet; None for a study that trains on the CPU.

    Args:
        plan: The study.
        own: Whether Ray was started for this study alone.

    Raises:
        DriverError: No node carries the labels, and none will.
    """
    resources = plan.study.resources
    nodes = nodes_with(resources.labels)
    if resources.labels and not nodes:
        _tell_of_no_node(resources.labels, own=own)
    share = gpu_share(plan, sum(node.gpus for node in nodes.values()))
    if share == 0:
        return None
    auto = resources.cpus_per_trial == "auto" and not own
    return Reservations(
        Wish(
            study=plan.study.study,
            share=share,
            cpus=fitting_cpus(nodes, share) if auto else plan.shares.cpus,
            most=resources.max_gpus,
            weight=resources.weight,
            labels=resources.labels,
        )
    )


def cores_of(plan: StudyPlan, *, own: bool) -> Cores:
    """The CPU cores of a study that trains without GPUs; Ray knows where they are.

    Args:
        plan: The study.
        own: Whether Ray was started for this study alone.
    """
    cpus, labels = plan.shares.cpus, plan.study.resources.labels
    most = max((node.cpus for node in nodes_with(labels).values()), default=0)

    def fits(node: Node) -> bool:
        return node.cpus >= cpus

    nodes = None if own else Nodes(labels, fits)
    return Cores(cpus, plan.study.resources.concurrent, max(1, most // cpus), nodes)


def _tell_of_no_node(labels: Mapping[str, str], *, own: bool) -> None:
    wanted = ", ".join(f"{key}: {value}" for key, value in labels.items())
    if own:
        raise DriverError(
            f"expected resources.labels ({wanted}) of this machine, which has none; leave them "
            "out, or name a cluster by RAY_ADDRESS"
        )
    log.warning("no node of the cluster has the labels %s; the study waits for one", wanted)


def requests(plan: StudyPlan, reservations: Reservations | None) -> Requests:
    """The function that says what each trial asks of Ray: a unit's part, or CPU cores."""
    labels = dict(plan.study.resources.labels)

    def on_cpu(config: Mapping[str, Any]) -> ray_tune.PlacementGroupFactory:
        cpus, without = config["task"].trial.device.cpus, config["task"].place
        where = {**({NODE_ID: f"!in({without})"} if without else {}), **labels}
        return ray_tune.PlacementGroupFactory(
            [{"CPU": cpus}], bundle_label_selector=[where] if where else None
        )

    def on_gpus(config: Mapping[str, Any]) -> ray_tune.PlacementGroupFactory:
        slots = config["task"].trial.device.cpus // cpus
        bundle = {name: slots * n for name, n in slot.items()}
        if slots > of_unit:  # whole units, which Ray counts without fractions
            bundle["GPU"] = config["task"].trial.device.gpus
        return _InUnit(bundle, config["task"].place)

    if reservations is None:
        return on_cpu
    # Ray pickles the function, which must not hold the reservations
    slot, cpus, of_unit = reservations.bundle, reservations.cpus, reservations.slots
    return on_gpus


class _InUnit(ray_tune.PlacementGroupFactory):
    """A request for a part of one unit; actors are reused within their unit alone."""

    def __init__(self, bundle: Mapping[str, float], unit: str) -> None:
        super().__init__([dict(bundle)], name=unit)
        self.unit = unit


class _InUnits(ResourceManager):
    """Starts actors in the placement groups of a study's units, which it neither makes nor ends."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """Nothing: the unit is reserved."""

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """Nothing: the unit stays reserved."""

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether the unit stands."""
        return self._group(resource_request) is not None

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        """A part of the unit."""
        group = self._group(resource_request)
        if group is None:
            return None
        return PlacementGroupAcquiredResources(
            placement_group=group, resource_request=resource_request
        )

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        """Nothing: Ray counts the parts, and the driver gives units back."""

    def clear(self) -> None:
        """Nothing: the driver gives units back."""

    def _group(self, request: ResourceRequest) -> PlacementGroup | None:
        assert isinstance(request, _InUnit)
        return self._reservations.group(request.unit)


@contextlib.contextmanager
def started_in(reservations: Reservations | None) -> Iterator[None]:
    """Have Ray Tune start its actors in these reservations, which are given back at the end.

    Its controller takes another resource manager; the Tuner has no argument to hand it one.
    """
    if reservations is None:
        yield
        return
    made = partial(TuneController, resource_manager_factory=lambda: _InUnits(reservations))
    setattr(ray_tune_run, _MADE_AS, made)
    try:
        yield
    finally:
        setattr(ray_tune_run, _MADE_AS, TuneController)
        reservations.close()
