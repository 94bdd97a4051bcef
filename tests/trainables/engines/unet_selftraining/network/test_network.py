import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.models.planted import Planted
from trainables.contract import InfeasibleParams
from trainables.engines.unet_selftraining.network.encoders import ENCODERS, encoder_problem
from trainables.engines.unet_selftraining.network.network import (
    EncoderUNet,
    NetworkSettings,
    NormName,
    UNet,
    build_network,
)

SMALL = NetworkSettings(depth=2, width=4)
ENCODER = NetworkSettings(encoder="resnet18", depth=3, width=4)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of the network; nothing is answered, and nobody tries again."""
    asked: list[Any] = []

    def refuse(*request: Any, **options: Any) -> None:
        asked.append((request, options))
        raise ValueError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def forward(model: nn.Module, *shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits: torch.Tensor = model(torch.randn(shape, generator=generator))
    return logits


@pytest.mark.parametrize(("attention", "n"), [(False, 31_042_369), (True, 31_393_901)])
def test_the_usual_unet_has_so_many_parameters(attention: bool, n: int) -> None:
    with torch.device("meta"):
        model = build_network(NetworkSettings(attention=attention))
    assert n_parameters(model) == n


@pytest.mark.parametrize("attention", [False, True], ids=["plain", "attention"])
@pytest.mark.parametrize("norm", ["batch", "group", "instance", "none"])
@pytest.mark.parametrize("depth", [1, 3])
def test_the_map_is_as_large_as_the_image_and_every_weight_learns(
    depth: int, norm: NormName, attention: bool
) -> None:
    settings = NetworkSettings(
        depth=depth, width=4, norm=norm, dropout=0.2, attention=attention, in_channels=2
    )
    model = build_network(settings).train()
    logits = forward(model, 2, 2, 37, 50)
    assert logits.shape == (2, 1, 37, 50)
    logits.square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (16, 16), (17, 31)])
def test_images_of_any_size_are_taken(size: tuple[int, int]) -> None:
    for settings in (NetworkSettings(depth=4, width=2), ENCODER):
        assert forward(build_network(settings).eval(), 1, 1, *size).shape == (1, 1, *size)


def test_the_border_is_repeated_as_far_as_needed_and_cut_off_again() -> None:
    model = build_network(SMALL).eval()
    image = torch.randn(1, 1, 9, 10)
    padded = torch.nn.functional.pad(image, (0, 2, 0, 3), mode="replicate")
    seen: list[torch.Tensor] = []
    model.get_submodule("down.0").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    assert torch.equal(model(image), model(padded)[..., :9, :10])
    assert torch.equal(seen[0], padded)
    assert torch.equal(seen[1], padded)


def test_the_memory_format_changes_nothing_but_the_speed() -> None:
    model = build_network(SMALL).eval()
    image = torch.randn(2, 1, 20, 24)
    last = model(image.to(memory_format=torch.channels_last))
    last_model = build_network(SMALL).eval().to(memory_format=torch.channels_last)
    last_model.load_state_dict(model.state_dict())
    assert torch.allclose(model(image), last, atol=1e-5)
    inner = last_model.get_submodule("down.0")(image.to(memory_format=torch.channels_last))
    assert inner.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(model(image), last_model(image), atol=1e-5)


def test_the_same_seed_gives_the_same_network() -> None:
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(forward(build_network(SMALL).eval(), 1, 1, 8, 8))
    assert torch.equal(*outputs)


def test_dropout_acts_in_training_only() -> None:
    model = build_network(NetworkSettings(depth=2, width=4, norm="none", dropout=0.5))
    trained = [forward(model.train(), 1, 1, 16, 16) for _ in range(2)]
    assert not torch.equal(*trained)
    assert torch.equal(*[forward(model.eval(), 1, 1, 16, 16) for _ in range(2)])


def test_a_gate_between_0_and_1_weighs_what_is_taken_over() -> None:
    gate = UNet(NetworkSettings(depth=1, width=4, attention=True)).gates[0]
    skipped = torch.rand(1, 4, 6, 6) + 0.5
    share = gate(torch.randn(1, 4, 6, 6), skipped) / skipped
    assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-6)
    assert 0 < share.min() < share.max() < 1


# --- other encoders


def test_the_names_of_the_encoders_are_those_of_their_package() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    known = smp.encoders.get_encoder_names()
    assert set(ENCODERS) == {name for name in known if not name.startswith("timm-")}


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2", "tu-resnet10t"])
def test_an_encoder_is_built_untrained_and_without_a_network(
    encoder: str, no_network: list[Any]
) -> None:
    settings = NetworkSettings(encoder=encoder, depth=4, width=4, dropout=0.2)
    model = build_network(settings).train()
    logits = forward(model, 2, 1, 50, 40)
    assert logits.shape == (2, 1, 50, 40)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in model.get_submodule("decoder").parameters())
    assert no_network == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (NetworkSettings(encoder="resnet81"), "encoder: .* got resnet81; did you mean resnet18"),
        (NetworkSettings(encoder="tu-nosuchmodel"), "encoder tu-nosuchmodel cannot be built"),
        (NetworkSettings(encoder="resnet18", attention=True), "attention: expected false"),
        (NetworkSettings(encoder="resnet18", norm="group"), "norm: .* batch, instance, none"),
        (NetworkSettings(encoder="resnet18", depth=2), "depth: expected 3 to 5 .* got 2"),
    ],
)
def test_what_cannot_be_built_is_told(settings: NetworkSettings, said: str) -> None:
    with pytest.raises(InfeasibleParams, match=said):
        build_network(settings)


def test_an_encoder_that_is_there_has_no_problem() -> None:
    assert [encoder_problem(name) for name in ("unet", "mit_b2", "tu-convnext_tiny")] == [None] * 3


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_of_a_file_become_the_encoders(suffix: str, tmp_path: Path) -> None:
    colour = EncoderUNet(NetworkSettings(encoder="resnet18", depth=3, width=4, in_channels=3))
    weights = colour.encoder.state_dict()
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save(weights, file)
    else:
        from safetensors.torch import save_file

        save_file(weights, file)
    grey = EncoderUNet(ENCODER, file).encoder.eval()
    image = torch.randn(1, 1, 32, 32)
    theirs = colour.encoder.eval()(image.expand(-1, 3, -1, -1))
    for ours, other in zip(grey(image)[1:], theirs[1:], strict=True):
        assert torch.allclose(ours, other, atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", b"no weights", "another network"])
def test_a_file_without_the_encoders_weights_is_refused(
    content: bytes | str | None, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(build_network(SMALL).state_dict(), file)
    with pytest.raises(
        InfeasibleParams, match=r"expected weights of encoder ResNetEncoder in .*\.pt"
    ):
        build_network(ENCODER, file)


def test_code_in_an_encoders_weights_does_not_run_and_is_refused_in_one_line(
    tmp_path: Path,
) -> None:
    file, trace = tmp_path / "weights.pt", tmp_path / "trace"
    torch.save({"weights": Planted(trace)}, file)
    words = r"^expected weights of encoder [^\n]*weights\.pt: it holds more than plain data[^\n]*$"
    with pytest.raises(InfeasibleParams, match=words):
        build_network(ENCODER, file)
    assert not trace.exists()


def test_weights_for_a_network_without_an_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleParams, match="got encoder unet, which has none"):
        build_network(SMALL, tmp_path / "weights.pt")


def test_weights_are_fetched_only_when_told_to(
    no_network: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    build_network(ENCODER)
    assert no_network == []
    with pytest.raises(InfeasibleParams, match="encoder resnet18 cannot be built"):
        build_network(ENCODER, download=True)
    assert no_network
