"""Copies of a network that compute the parts of a batch on several devices."""

import copy
import threading
from functools import partial
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

from trainables.contract import Device
from trainables.loop.split.replicas import Losses, Replicas

SAMPLES = 7


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, momentum=0.3), nn.Tanh(), nn.Dropout(0.5)
    )


def trained(device: Device, steps: int = 3) -> tuple[nn.Module, list[float]]:
    """A network after some steps of SGD, and the loss of each."""
    net, told = network(), []
    pictures = torch.randn(SAMPLES, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    replicas = Replicas(net, device, SAMPLES)

    def loss_of(net: nn.Module, part: slice) -> tuple[Tensor, Losses]:
        loss = (net(pictures[part]) - 1).square().mean()
        return loss * (part.stop - part.start) / SAMPLES, {"loss": loss}

    for step in range(steps):
        optimizer.zero_grad(set_to_none=True)
        told.append(float(replicas.backward(SAMPLES, loss_of, (5, step))["loss"]))
        optimizer.step()
    return net, told


@pytest.mark.parametrize("gpus", [2, 3, 4])
def test_parts_on_several_devices_train_what_parts_that_take_turns_train(gpus: int) -> None:
    turns, told = trained(Device(micro_batch=-(-SAMPLES // gpus)))
    together, others = trained(Device(gpus=gpus))
    assert others == pytest.approx(told, abs=1e-6)
    for mine, theirs in zip(
        together.state_dict().values(), turns.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    whole, _ = trained(Device())
    assert not torch.equal(whole[0].weight, together[0].weight), "the norms see a part alone"  # type: ignore[index]


def test_smaller_parts_than_the_devices_need_take_turns_in_groups() -> None:
    _, told = trained(Device(micro_batch=2))
    _, others = trained(Device(micro_batch=2, gpus=2))
    assert others == pytest.approx(told, abs=1e-6)


def test_the_random_numbers_of_the_training_go_on_as_before() -> None:
    torch.manual_seed(3)
    expected = torch.get_rng_state()
    net = network()
    torch.manual_seed(3)
    ones = torch.ones(4, 2, 6, 6)
    Replicas(net, Device(gpus=2), 4).backward(
        4, lambda net, part: (net(ones[part]).sum(), {}), (1,)
    )
    assert torch.equal(torch.get_rng_state(), expected)


def test_an_error_on_one_device_is_raised_after_the_others_have_ended() -> None:
    done, net = threading.Event(), network()

    def loss_of(net: nn.Module, part: slice) -> tuple[Tensor, Losses]:
        if part.start == 0:
            raise RuntimeError("out of memory")
        done.set()
        return net(torch.ones(2, 2, 6, 6)).sum(), {}

    with pytest.raises(RuntimeError, match="out of memory"):
        Replicas(net, Device(gpus=2), 4).backward(4, loss_of, (1,))
    assert done.is_set()


def test_a_copy_gets_what_is_no_parameter() -> None:
    net: Any = network()
    net.weight_of_loss = 2.0

    def follow(net: Any, twin: Any) -> None:
        twin.weight_of_loss = net.weight_of_loss

    seen = []

    def loss_of(net: Any, part: slice) -> tuple[Tensor, Losses]:
        seen.append(net.weight_of_loss)
        return net(torch.ones(2, 2, 6, 6)).sum(), {}

    replicas = Replicas(net, Device(gpus=2), 4, follow)
    replicas.backward(4, loss_of, (1,))
    net.weight_of_loss = 3.0
    replicas.backward(4, loss_of, (2,))
    assert sorted(seen) == [2, 2, 3, 3]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_what_one_trains_in_parts_and_compute_at_the_same_time() -> None:
    net = network().to("cuda:0")
    pictures = torch.randn(4, 2, 6, 6)
    both = threading.Barrier(2, timeout=60)

    def loss_of(meet: bool, net: nn.Module, part: slice) -> tuple[Tensor, Losses]:
        if meet:
            both.wait()
        loss = net(pictures[part].to(next(net.parameters()).device)).square().mean()
        return loss / 2, {"loss": loss}

    found = []
    for device in (Device("cuda:0", micro_batch=2), Device("cuda:0", gpus=2)):
        mine = copy.deepcopy(net)
        told = Replicas(mine, device, 4).backward(4, partial(loss_of, device.gpus > 1), (1,))
        gradients = [p.grad.cpu() for p in mine.parameters() if p.grad is not None]
        found.append([told["loss"].cpu(), *gradients])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
