"""Batches that go through a network in parts."""

from functools import partial

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

from trainables.loop.split.parts import parts_of, whole_sums
from trainables.loop.split.shared import Sum, own


def ratio(net: nn.Module, samples: Tensor, sums: Sum) -> Tensor:
    """A loss that is no mean over samples, asked for its sums in two calls."""
    found: Tensor = net(samples)
    above = sums(torch.stack([(found * found).sum(), found.abs().sum()]))
    below = sums(found.sigmoid().sum()[None])
    return above[0] / (1 + below[0]) + above[1].sqrt()


def gradients(net: nn.Module) -> list[Tensor]:
    return [weight.grad.clone() for weight in net.parameters() if weight.grad is not None]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_parts_have_together_the_gradient_of_a_loss_of_the_whole_batch(dropout: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1), nn.Dropout(dropout))
    samples = torch.randn(7, 3)
    torch.manual_seed(1)
    whole = ratio(net, samples, own)
    whole.backward()
    expected = gradients(net)
    net.zero_grad()
    torch.manual_seed(1)
    parts = [partial(ratio, net, samples[part]) for part in parts_of(7, 3)]
    losses = [loss(sums) for loss, sums in zip(parts, whole_sums(parts), strict=True)]
    for loss in losses:
        loss.backward()
    assert torch.stack(losses).detach() == pytest.approx(float(whole.detach()))
    for found, gradient in zip(gradients(net), expected, strict=True):
        assert found == pytest.approx(gradient, abs=1e-6)


def test_the_means_of_the_parts_have_another_gradient() -> None:
    torch.manual_seed(0)
    net, samples = nn.Linear(3, 1), torch.randn(4, 3)
    ratio(net, samples, own).backward()
    expected = gradients(net)[0]
    net.zero_grad()
    for part in parts_of(4, 2):
        (ratio(net, samples[part], own) / 2).backward()
    assert gradients(net)[0] != pytest.approx(expected, abs=1e-3)
