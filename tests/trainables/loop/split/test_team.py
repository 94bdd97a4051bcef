"""Processes that train together: what they share, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest

from tests.support.places import ROOT

pytest.importorskip("torch", reason="needs the extra unet")

import torch
from torch import distributed, nn

from tests.support import followers
from trainables.contract import Device, InfeasibleParams, TransientError
from trainables.engines.unet_selftraining.network.losses import LossName, SegmentationLoss
from trainables.loop.split.team import Rank, Team


@pytest.mark.parametrize(("n", "of"), [(8, 2), (5, 2), (1, 2), (0, 3), (7, 4)])
def test_ranks_share_everything_once_and_evenly(n: int, of: int) -> None:
    shares = [list(Rank(number, of).share(n)) for number in range(of)]
    assert [index for share in shares for index in share] == list(range(n))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_each_rank_has_a_gpu_and_its_share_of_the_cpus() -> None:
    whole = Device("cuda:0", cpus=7, gpus=2)
    assert Rank(1, 2).device(whole) == Device("cuda:1", cpus=3, gpus=1)
    assert Rank().device(Device(cpus=4)) == Device(cpus=4)


def test_processes_work_together_and_leave_nothing_behind() -> None:
    with_two = Team(followers.sum_up, 10.0, 3, "cpu")
    try:
        assert with_two.rank == Rank(0, 3)
        pids = [process.pid for process in with_two._processes]
        for own in (1.0, 2.0):
            with_two.order("sum")
            total = torch.tensor([own])
            distributed.all_reduce(total)
            assert float(total) == own + 10 + 20
    finally:
        with_two.close()
    assert not distributed.is_initialized()
    assert all(not _is_alive(pid) for pid in pids if pid is not None)


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("refuse", InfeasibleParams, "batch_size=9 does not fit into the memory of cuda:1"),
        ("err", RuntimeError, r"process 2 of the 2 .* failed:\n[^$]*ZeroDivisionError: a bug"),
        ("be killed", TransientError, "process 2 of the 2 of this training was ended by SIGKILL"),
        pytest.param(
            "dawdle",
            TransientError,
            "waited for each other for more than 2 s",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_goes_wrong_in_a_follower_is_raised_in_the_leader(
    task: str, error: type[Exception], message: str
) -> None:
    team = Team(followers.misbehave, task, 2, "cpu", timeout_s=2)
    try:
        with pytest.raises(error, match=message):
            _work(team)
    finally:
        team._processes[0].kill()  # one that dawdles is not waited for
        team.close()


def _work(team: Team) -> None:
    team.order("work")
    with team.together():
        distributed.all_reduce(torch.ones(1))


def test_a_follower_that_cannot_begin_says_why() -> None:
    with pytest.raises(InfeasibleParams, match="does not fit"):
        Team(followers.misbehave, "refuse at once", 2, "cpu")
    assert not distributed.is_initialized()


_LEAD = """
import sys, time, torch
from torch import distributed
from tests.support import followers
from trainables.loop.split.team import Team
follow, task = {"computing": (followers.misbehave, "dawdle")}.get(
    sys.argv[1], (followers.sum_up, 1.0)
)
team = Team(follow, task, 2, "cpu")
if sys.argv[1] != "between steps":
    team.order("go on")  # in which the leader never takes part
print(team._processes[0].pid, team.folder, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["between steps", "in a step", "computing"])
def test_no_follower_outlives_a_leader_that_was_killed(where: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", _LEAD, where], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    ) as leader:
        assert leader.stdout is not None
        pid, folder = leader.stdout.readline().decode().split()
        follower = int(pid)
        time.sleep(0.3)
        assert _is_alive(follower)
        assert Path(folder).is_dir()
        leader.send_signal(signal.SIGKILL)
        leader.wait()
        deadline = time.monotonic() + 60
        while _is_alive(follower) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _is_alive(follower)
        assert not Path(folder).exists()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# --- sums over processes

_SHAPE = (3, 1, 6, 6)


def _maps() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(_SHAPE, generator=random)
    target = (torch.rand(_SHAPE, generator=random) < 0.3).float()
    target[0] *= torch.rand(_SHAPE[1:], generator=random) < 0.2  # halves of unlike Dice
    target[1, :, :2] = -1
    return logits, target


def test_a_loss_over_processes_is_that_of_the_whole_batch() -> None:
    """Value and gradient, the processes' mean being what DistributedDataParallel takes."""
    maps = _maps()
    team = Team(followers.follow_loss, maps, 2, "cpu")
    try:
        for name in get_args(LossName):
            loss = SegmentationLoss(name, tversky_fp=0.3, tversky_fn=0.7)
            whole = maps[0].clone().requires_grad_()
            expected = loss(whole, maps[1])
            expected.backward()
            team.order(loss)
            found, mine = followers.part_of_loss(loss, *maps, team.rank)
            theirs = torch.zeros(1, *_SHAPE[1:])
            distributed.broadcast(theirs, src=1)
            torch.testing.assert_close(found, expected.detach())
            torch.testing.assert_close(torch.cat([mine, theirs]) / 2, whole.grad)
    finally:
        team.close()


def test_the_dice_of_a_batch_is_not_the_mean_of_the_dices_of_its_parts() -> None:
    loss = SegmentationLoss("dice")
    logits, target = _maps()
    parts = [float(loss(logits[part], target[part])) for part in (slice(0, 2), slice(2, 3))]
    assert abs(sum(parts) / 2 - float(loss(logits, target))) > 0.01


@pytest.mark.parametrize("rows", [[[0, 1], [2]], [[0, 1, 2], []]], ids=["uneven", "one empty"])
def test_a_batch_norm_over_processes_is_that_of_the_whole_batch(rows: list[list[int]]) -> None:
    torch.manual_seed(0)
    features = torch.randn(3, 4, 5, 5) * 3 + 2
    norm = nn.BatchNorm2d(4)
    nn.init.normal_(norm.weight)
    alone = nn.BatchNorm2d(4)
    alone.load_state_dict(norm.state_dict())
    whole = features.clone().requires_grad_()
    normed = alone(whole)
    (normed**3 * torch.arange(1, 5)[:, None, None]).sum().backward()
    team = Team(followers.follow_norm, (norm, features, rows[1]), 2, "cpu")
    try:
        team.order("norm")
        found, gradient, shared = followers.part_of_norm(norm, features, rows[0])
    finally:
        team.close()
    assert whole.grad is not None
    torch.testing.assert_close(found, normed[rows[0]])
    # The processes' mean is what DistributedDataParallel takes.
    torch.testing.assert_close(gradient / 2, whole.grad[rows[0]], rtol=1e-4, atol=1e-4)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value)
    shared.eval()
    torch.testing.assert_close(shared(features), alone.eval()(features))
