"""One trial of the U-Net trained by two processes."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra unet")

import torch
from torch import nn

from tests.trainables.engines.unet_selftraining.conftest import MakeTrial
from trainables.contract import Device, InfeasibleParams, TrialStopped
from trainables.engines.unet_selftraining.engine import UnetEngine
from trainables.engines.unet_selftraining.network.network import NetworkSettings, build_network
from trainables.loop.split.shared import share_norms
from trainables.trials.memory import MemoryTrial

pytestmark = [pytest.mark.usefixtures("undrawn"), pytest.mark.slow]

TIMES = {"epoch_seconds", "gpu_memory_gb"}
UNEVEN: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.05, "tiles": 9, "batch_size": 4}
"""Two full batches and one of a single tile, in which one process has none."""


def _two(trial: MemoryTrial) -> MemoryTrial:
    trial.device = Device(gpus=2)
    return trial


def _trained(trial: MemoryTrial) -> dict[str, torch.Tensor]:
    UnetEngine().train(trial)
    assert trial.checkpoint is not None
    weights: dict[str, torch.Tensor] = torch.load(trial.checkpoint / "model.pt")["weights"]
    return weights


def _timeless(trial: MemoryTrial) -> dict[str, float]:
    return {
        f"{epoch} {key}": value
        for epoch, values in trial.reported.items()
        for key, value in values.items()
        if key not in TIMES
    }


@pytest.mark.parametrize(
    "params",
    [
        {"rounds": 1, "batch_multiplier": 2, "ema_decay": 0.9, "loss": "focal_dice"},
        {"rounds": 0, "norm": "instance", "loss": "tversky", "augment": "seed"},
    ],
    ids=["batch norm, a round, summed gradients", "instance norm, augmented"],
)
def test_two_processes_train_what_one_trains(params: dict[str, Any], make_trial: MakeTrial) -> None:
    alone, both = (make_trial({**UNEVEN, **params}, epochs=3, seed=1) for _ in range(2))
    expected, found = _trained(alone), _trained(_two(both))
    assert _timeless(both) == pytest.approx(_timeless(alone), rel=1e-4, abs=1e-4)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5, msg=name)
    assert both.notes == alone.notes


def test_two_processes_go_on_from_what_one_has_left(make_trial: MakeTrial) -> None:
    """The optimizer's state, too, is the leader's."""
    params = {**UNEVEN, "rounds": 1, "momentum": 0.95}
    unbroken = make_trial(params, epochs=3, seed=2)
    expected = _trained(unbroken)
    first = make_trial(params, epochs=3, seed=2, stop_after=1)
    with pytest.raises(TrialStopped):
        UnetEngine().train(first)
    rest = _two(make_trial(params, epochs=3, seed=2, resume_from=first.checkpoint))
    found = _trained(rest)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5, msg=name)


def test_a_follower_that_cannot_train_fails_the_trial_with_its_reason(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The follower does not find the encoder's weights that the leader has just read."""
    import segmentation_models_pytorch as smp

    file = tmp_path / "resnet18.pt"
    torch.save(smp.encoders.get_encoder("resnet18", in_channels=1, weights=None).state_dict(), file)
    params = {"encoder": "resnet18", "depth": 3, "weights": str(file), "rounds": 0}
    trial = _two(make_trial(params, epochs=1))
    from trainables.engines.unet_selftraining import ranks

    start = ranks.Leader.train_epoch

    def train_epoch(self: ranks.Leader, *args: Any) -> float:
        file.write_bytes(b"broken")
        return start(self, *args)

    monkeypatch.setattr(ranks.Leader, "train_epoch", train_epoch)
    with pytest.raises(InfeasibleParams, match=r"expected weights of encoder .*resnet18\.pt"):
        UnetEngine().train(trial)


def test_a_batch_norm_that_does_more_is_not_replaced_by_one_that_does_less() -> None:
    class Activated(nn.BatchNorm2d):
        pass

    with pytest.raises(InfeasibleParams, match=r"over several GPUs, got Activated; train this"):
        share_norms(nn.Sequential(Activated(2)), torch.device("cpu"))


def test_shared_norms_keep_the_names_of_the_weights() -> None:
    for norm in ("batch", "instance"):
        network = build_network(NetworkSettings(depth=1, width=2, norm=norm))
        before = network.state_dict()
        share_norms(network, torch.device("cpu"))
        after = network.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
