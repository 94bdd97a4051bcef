"""A best configuration trained to full length as a job, on the node that has room for it."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ray

from analysis.models.export import best_of
from cluster.errors import JobError
from cluster.jobs.nodes import why_no_worker
from cluster.jobs.watch import watched
from cluster.storage.opening import is_address
from trainables.contract import Device
from trainables.registry import engine_info
from tune.best.configuration import BestConfig
from tune.job.asked import RetrainAsked
from tune.job.nodes import check_nodes, has_gpus
from tune.job.order import CHECKED, Order, Place
from tune.job.sharing import proof_of_sharing
from tune.job.stopping import interrupted_by_sigterm
from tune.job.training import Trained, ask_to_stop, said, train_here
from tune.progress.conclusion import Conclusion
from tune.verbs.opening import open_study

_GOES_ON: Final = "the same command goes on with it"

_TRIES: Final = 3
"""Times that it goes on on another node where its own is lost."""

_WAIT_S: Final = 40.0
"""Time that it has to end after its present epoch when it is stopped, s."""

_TOLD_S: Final = 15.0


def run_job(
    order: Order, file: Path, tell: Callable[[str], None], refuse_if_stopped: Callable[[], None]
) -> Conclusion:
    """Check every node, then train on one of them; arguments as for a study."""
    asked = RetrainAsked.model_validate_json(file.read_text("utf-8"))
    config = _configuration(asked)
    place = Place("data", str(asked.data or config.data.path), _expected(asked, config))
    out = Path(asked.out).expanduser()
    with nullcontext(None) if is_address(asked.out) else proof_of_sharing(out) as proof:
        needs = [framework.distribution for framework in engine_info(config.engine).frameworks]
        nodes = check_nodes(replace(order, places=(place,), engine=config.engine), needs, proof)
    refuse_if_stopped()
    tell(f"{nodes}; {CHECKED}")
    tell(f"trains {config.engine} as {config.source}: {asked.out}")
    with watched(_GOES_ON), interrupted_by_sigterm():
        return _concluded(_trained(asked, config, tell), asked)


def _configuration(asked: RetrainAsked) -> BestConfig:
    """What is trained: as it was sent, or that of the best trial of a study on this cluster."""
    if asked.best is not None:
        return asked.best
    return best_of(open_study(Path(asked.study).expanduser()))[0]


def _expected(asked: RetrainAsked, config: BestConfig) -> str:
    """Fingerprint of the data to train on; "" for others than the configuration was tuned on."""
    return config.data.fingerprint if asked.data is None else ""


def _trained(
    asked: RetrainAsked, config: BestConfig, tell: Callable[[str], None]
) -> Trained | None:
    """How the training ended; None where it was cut in the middle of an epoch."""
    device, ticket = _device(config), uuid.uuid4().hex[:12]
    task = ray.remote(num_cpus=device.cpus, num_gpus=int(device.name != "cpu"), max_retries=_TRIES)(
        train_here
    )
    running = task.remote(asked, config, device, ticket)
    try:
        _follow(running, ticket, tell)
    except KeyboardInterrupt:
        ask_to_stop(ticket)
        if not _ended(running, _WAIT_S):
            ray.cancel(running, force=True)
            return None
    for line in said(ticket):
        tell(line)
    try:
        trained: Trained = ray.get(running)
    except ray.exceptions.RayError as error:
        raise JobError(f"{config.source}: {why_no_worker(error)}") from error
    return trained


def _device(config: BestConfig) -> Device:
    """What it gets of a node: a GPU where there is one, and as many cores as the trial had."""
    most = max(
        (node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0
    )
    cpus = max(1, min(config.cpus or 1, int(most)))
    return Device("cuda:0" if has_gpus() else "cpu", cpus=cpus)


def _follow(running: Any, ticket: str, tell: Callable[[str], None]) -> None:
    """Tell what a training says until it has ended, and once that it waits for its processors."""
    began, heard = time.monotonic(), False
    while not _ended(running, 1.0):
        for line in said(ticket):
            tell(line)
            heard = True
        if not heard and time.monotonic() - began > _TOLD_S:
            tell("waits for processors, which others hold or a node is to bring")
            heard = True


def _ended(running: Any, most_s: float) -> bool:
    return bool(ray.wait([running], timeout=most_s)[0])


def _concluded(trained: Trained | None, asked: RetrainAsked) -> Conclusion:
    if trained is None:
        return Conclusion((), (f"interrupted in the middle of an epoch; {_GOES_ON}",), 130)
    if trained.problem:
        return Conclusion((), (f"segtune: {trained.problem}",), 1)
    if trained.interrupted:
        return Conclusion((), trained.lines, 130)
    return Conclusion((*trained.lines, *_wrote(asked.out)))


def _wrote(out: str) -> Sequence[str]:
    if is_address(out):
        return (f"wrote {out}; `segtune sync {out} FOLDER` brings it to another machine",)
    return (f"wrote {out}",)
