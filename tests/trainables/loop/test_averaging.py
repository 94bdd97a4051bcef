import pytest
import torch
from torch import nn

from trainables.loop.averaging import WeightAverage


def model(value: float) -> nn.Module:
    """Two weights and the state of a norm, all of one value."""
    one = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))
    for tensor in one.state_dict().values():
        tensor.fill_(value)
    return one


@pytest.mark.parametrize(("steps", "share"), [(500, 0.905), (1300, 0.771), (10000, 0.135)])
def test_without_a_warm_up_a_short_training_keeps_its_initial_weights(
    steps: int, share: float
) -> None:
    average = WeightAverage(nn.Linear(1, 1, bias=False), 0.9998, warm_up=False)
    nn.init.ones_(average.model.get_parameter("weight"))
    trained = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(trained.weight)
    for _ in range(steps):
        average.update(trained)
    assert average.model.get_parameter("weight").item() == pytest.approx(share, abs=1e-3)


def test_with_a_warm_up_little_is_left_of_them_after_100_steps() -> None:
    average = WeightAverage(model(1.0), 0.9998)
    trained = model(0.0)
    for _ in range(100):
        average.update(trained)
    assert average.model.get_parameter("0.weight").abs().max().item() < 1e-6


def test_the_decay_rises_to_its_limit() -> None:
    average = WeightAverage(model(1.0), 0.5)
    rates = []
    for _ in range(12):
        rates.append(average.rate())
        average.update(model(1.0))
    assert rates[:3] == [1 / 10, 2 / 11, 3 / 12]
    assert rates[-1] == 0.5


def test_the_state_of_norms_is_copied_and_not_averaged() -> None:
    average = WeightAverage(model(1.0), 0.9, warm_up=False)
    average.update(model(3.0))
    assert average.model.get_buffer("1.running_mean").item() == 3.0
    assert average.model.get_buffer("1.num_batches_tracked").item() == 3
    assert average.model.get_parameter("0.weight")[0, 0].item() == pytest.approx(1.2)


def test_an_interrupted_average_goes_on_as_an_unbroken_one() -> None:
    whole, first = WeightAverage(model(1.0)), WeightAverage(model(1.0))
    for average in (whole, first):
        average.update(model(2.0))
    rest = WeightAverage(model(7.0))
    rest.load_state_dict(first.state_dict())
    for average in (whole, rest):
        average.update(model(3.0))
    assert rest.steps == whole.steps == 2
    for ours, theirs in zip(rest.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_average_is_not_trained_and_leaves_the_model_alone() -> None:
    trained = model(1.0)
    average = WeightAverage(trained)
    average.update(model(5.0))
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert not average.model.training
    assert trained.training
    assert all(float(tensor.max()) == 1 for tensor in trained.state_dict().values())
