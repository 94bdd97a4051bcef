"""What only a GPU can show: mixed precision, channels-last, repeatable kernels, several GPUs."""

from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra unet")

import torch
from torch import nn

from tests.trainables.engines.unet_selftraining.conftest import SMALL, MakeTrial
from trainables.contract import Device
from trainables.engines.unet_selftraining.data import make_lessons, open_micrographs
from trainables.engines.unet_selftraining.engine import UnetEngine
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import MapReading, scene_picture
from trainables.engines.unet_selftraining.run import UnetRun, choose_kernels
from trainables.trials.memory import MemoryTrial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

GPU = Device("cuda:0", cpus=2)
TIMES = {"epoch_seconds", "gpu_memory_gb"}
WIDE: dict[str, Any] = {"width": 16, "depth": 3, "rounds": 0}


def _run(make_trial: MakeTrial, device: Device = GPU, **changes: Any) -> tuple[UnetRun, Any]:
    """A training and its lessons, without the engine around it."""
    trial = make_trial(changes, epochs=3, seed=1, device=device)
    params = UnetParams.model_validate({**SMALL, **changes})
    choose_kernels(params, torch.device(device.name))
    run = UnetRun(trial, params)
    return run, make_lessons(open_micrographs(trial, params), params, seed=1)


def _weights(trial: MemoryTrial) -> dict[str, torch.Tensor]:
    assert trial.checkpoint is not None
    weights: dict[str, torch.Tensor] = torch.load(trial.checkpoint / "model.pt")["weights"]
    return weights


def test_weights_and_activations_are_channels_last_and_half_in_the_network_only(
    make_trial: MakeTrial,
) -> None:
    run, lessons = _run(make_trial, **WIDE, ema_decay=0.9)
    seen: list[torch.Tensor] = []
    network = run.network
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels > 1:
            layer.register_forward_hook(lambda _layer, _given, made: seen.append(made))
    run.train_epoch(lessons, 0)
    assert seen
    assert all(made.is_contiguous(memory_format=torch.channels_last) for made in seen)
    assert {made.dtype for made in seen} == {torch.float16}
    for weights in (network.state_dict(), run.validated.state_dict()):
        assert {w.dtype for w in weights.values() if w.is_floating_point()} == {torch.float32}
    assert run.scaler.get_scale() > 1


def test_mixed_precision_learns_what_full_precision_learns(make_trial: MakeTrial) -> None:
    losses = {}
    for amp in (True, False):
        run, lessons = _run(make_trial, **WIDE, amp=amp, tiles=64)
        losses[amp] = [run.train_epoch(lessons, epoch) for epoch in range(3)]
    assert losses[True] == pytest.approx(losses[False], rel=0.05)
    assert losses[True][-1] < losses[True][0]


def test_a_gpu_trains_and_predicts_what_the_cpu_does(make_trial: MakeTrial) -> None:
    maps, losses = [], []
    for device in (Device(cpus=2), GPU):
        changes = {**WIDE, "amp": False, "deterministic": True, "optimizer": "sgd"}
        run, lessons = _run(make_trial, device, **changes)
        losses.append(run.train_epoch(lessons, 0))
        reading = MapReading(run.params, 6.0, run.device)
        scene = lessons.sampler.scenes[0]
        maps.append(torch.from_numpy(reading.logits(run.validated, scene_picture(scene))))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    torch.testing.assert_close(maps[1], maps[0], rtol=0.02, atol=0.02)  # TF32 in convolutions


def test_repeatable_kernels_repeat_to_the_bit(make_trial: MakeTrial) -> None:
    params = {**WIDE, "deterministic": True, "rounds": 1, "ema_decay": 0.9}
    trials = [make_trial(params, epochs=3, seed=4, device=GPU) for _ in range(2)]
    for trial in trials:
        UnetEngine().train(trial)
    first, second = (_weights(trial) for trial in trials)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for epoch in range(1, 4):
        values = (trial.reported[epoch] for trial in trials)
        once, again = ({k: v for k, v in value.items() if k not in TIMES} for value in values)
        assert once == again


def test_a_trial_leaves_no_kernels_to_the_next_one(make_trial: MakeTrial) -> None:
    _run(make_trial, **WIDE, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    _run(make_trial, **WIDE)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.deterministic


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("amp", [False, True])
def test_two_gpus_train_what_one_trains(amp: bool, make_trial: MakeTrial) -> None:
    """Over NCCL, with torch's own synchronised batch norm; the last batch is a single tile."""
    params = {**WIDE, "optimizer": "sgd", "learning_rate": 0.05, "tiles": 9, "batch_size": 4}
    params |= {"rounds": 1, "batch_multiplier": 2, "deterministic": True, "amp": amp}
    found = []
    for gpus in (1, 2):
        device = Device("cuda:0", cpus=2, gpus=gpus)
        trial = make_trial(params, epochs=3, seed=1, device=device)
        UnetEngine().train(trial)
        found.append([values["train/loss"] for values in trial.reported.values()])
    assert found[1] == pytest.approx(found[0], rel=0.02 if amp else 2e-3)
