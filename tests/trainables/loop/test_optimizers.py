import pytest
import torch
from torch import nn

from search_spaces.training import LoopParams
from trainables.loop.optimizers import build_optimizer, optimizer_values, set_learning_rate


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_what_is_read_back_is_what_was_asked_for(optimizer: str, model: nn.Module) -> None:
    values = {"optimizer": optimizer, "learning_rate": 0.02, "weight_decay": 0.03, "momentum": 0.7}
    built = build_optimizer(model, LoopParams.model_validate(values), spare_norms=True)
    if optimizer != "sgd":
        del values["momentum"]
    assert optimizer_values(built) == values


def test_groups_that_differ_are_not_read_as_one(model: nn.Module) -> None:
    built = build_optimizer(model, LoopParams(), spare_norms=True)
    built.param_groups[0]["initial_lr"] *= 2
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer_values(built)


def test_every_trained_parameter_is_in_one_group(model: nn.Sequential) -> None:
    model.get_parameter("3.bias").requires_grad_(False)
    for spare in (False, True):
        groups = build_optimizer(model, LoopParams(), spare_norms=spare).param_groups
        found = [parameter for group in groups for parameter in group["params"]]
        assert {id(p) for p in found} == {id(p) for p in model.parameters() if p.requires_grad}
        assert len(found) == 5


def test_norms_and_biases_can_be_spared_the_decay(model: nn.Module) -> None:
    params = LoopParams(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    groups = build_optimizer(model, params, spare_norms=True).param_groups
    assert [(g["name"], g["weight_decay"], len(g["params"])) for g in groups] == [
        ("weights", 0.5, 2),
        ("norms and biases", 0.0, 4),
    ]
    (group,) = build_optimizer(model, params).param_groups
    assert (group["name"], group["weight_decay"], len(group["params"])) == ("weights", 0.5, 6)


def test_all_groups_follow_the_schedule(model: nn.Module) -> None:
    optimizer = build_optimizer(model, LoopParams(learning_rate=0.02), spare_norms=True)
    set_learning_rate(optimizer, 0.25)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.01]


def test_sgd_steps_by_rate_momentum_and_decay() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    params = LoopParams(optimizer="sgd", learning_rate=0.1, momentum=0.5, weight_decay=0.1)
    optimizer = build_optimizer(model, params)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(1, 1)).sum().backward()
        optimizer.step()
    # v1 = 1 + 0.1 * 2 = 1.2, w1 = 1.88; v2 = 0.6 + 1 + 0.188 = 1.788, w2 = 1.7012
    assert model.weight.item() == pytest.approx(1.7012)
