"""Networks from an image to a map of particle logits: a U-Net, or one with another encoder.

Both take images of any size: they are padded to what the network's levels need, and the map is cut
back. Neither fetches anything unless told to.

Sources: Ronneberger et al. 2015, "U-Net", arXiv:1505.04597; Oktay et al. 2018, "Attention U-Net",
arXiv:1804.03999.
"""

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  as everybody names it

from trainables.contract import InfeasibleParams
from trainables.engines.unet_selftraining.network.encoders import (
    PLAIN,
    TIMM,
    encoder_problem,
    form_problems,
)
from trainables.loop.checkpoint import NOT_PLAIN

NormName = Literal["batch", "group", "instance", "none"]

_MAX_GROUPS: Final = 8

_NORMS: Final[Mapping[str, Callable[[int], nn.Module]]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(_MAX_GROUPS, channels), channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "none": lambda channels: nn.Identity(),
}

_DECODER_NORMS: Final[Mapping[str, str | bool | Mapping[str, Any]]] = {
    "batch": "batchnorm",
    "instance": {"type": "instancenorm", "affine": True},
    "none": False,
}


@dataclass(frozen=True)
class NetworkSettings:
    """Form of a network; plain values, kept with its weights.

    Attributes:
        encoder: Name of an encoder (`encoders.py`), or `unet` for our own U-Net.
        depth: Number of times the resolution is halved: from 1 for `unet`, 3 to 5 for others.
        width: Number of channels at full resolution; each level has twice those of the one above.
        norm: Norm after each convolution; other encoders keep their own before the decoder.
        dropout: Probability of dropping a channel of the two coarsest levels (`unet`), or of the
            coarsest one.
        attention: Whether gates weigh what the decoder takes over from the encoder (`unet`).
        in_channels: Number of channels of the image.
    """

    encoder: str = PLAIN
    depth: int = 4
    width: int = 64
    norm: NormName = "batch"
    dropout: float = 0.0
    attention: bool = False
    in_channels: int = 1


def build_network(
    settings: NetworkSettings, weights: Path | None = None, *, download: bool = False
) -> nn.Module:
    """Build a network of random weights, or with a pretrained encoder.

    It maps (N, in_channels, H, W) to logits (N, 1, H, W).

    Args:
        settings: Form of the network.
        weights: File of an encoder's weights (a state dictionary, .pt or .safetensors), or None.
        download: Whether the encoder's ImageNet weights may be fetched where no file is given.

    Raises:
        InfeasibleParams: There is no such network, or its weights do not fit.
    """
    problem = encoder_problem(settings.encoder)
    if problem is not None:
        raise InfeasibleParams(f"encoder: {problem}")
    if settings.encoder != PLAIN:
        return EncoderUNet(settings, weights, download=download)
    if weights is not None:
        raise InfeasibleParams(
            f"expected an encoder of a name for the pretrained weights {weights}, got encoder "
            f"{PLAIN}, which has none"
        )
    return UNet(settings)


class UNet(nn.Module):
    """U-Net of two convolutions a level on the way down and up, transposed ones between.

    With the default settings it has 31,042,369 parameters, with attention 31,393,901.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        channels = [settings.width * 2**level for level in range(settings.depth + 1)]
        norm = _NORMS[settings.norm]
        self.divisor: int = 2**settings.depth
        inputs = [settings.in_channels, *channels[:-1]]
        self.down = nn.ModuleList(
            _convolutions(before, after, norm)
            for before, after in zip(inputs, channels, strict=True)
        )
        self.dropout = nn.Dropout2d(settings.dropout)
        upward = channels[-2::-1]
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in upward)
        self.gates = nn.ModuleList(_Gate(c, norm) for c in upward if settings.attention)
        self.up = nn.ModuleList(_convolutions(2 * c, c, norm) for c in upward)
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits (N, 1, H, W) of images (N, C, H, W)."""
        height, width = image.shape[-2:]
        logits: Tensor = self.head(self._decode(self._encode(_pad(image, self.divisor))))
        return logits[..., :height, :width]

    def _encode(self, features: Tensor) -> list[Tensor]:
        levels: list[Tensor] = []
        for level, convolutions in enumerate(self.down):
            features = convolutions(F.max_pool2d(features, 2) if level else features)
            if level >= len(self.down) - 2:
                features = self.dropout(features)
            levels.append(features)
        return levels

    def _decode(self, levels: list[Tensor]) -> Tensor:
        features = levels.pop()
        for level, (enlarge, convolutions) in enumerate(zip(self.enlarge, self.up, strict=True)):
            features = enlarge(features)
            skipped = levels.pop()
            if self.gates:
                skipped = self.gates[level](features, skipped)
            features = convolutions(torch.cat([skipped, features], dim=1))
        return features


class EncoderUNet(nn.Module):
    """The U-Net of segmentation-models-pytorch with an encoder of its choice."""

    def __init__(
        self, settings: NetworkSettings, weights: Path | None = None, *, download: bool = False
    ) -> None:
        """Build it; `weights` and `download` as for `build_network`.

        Raises:
            InfeasibleParams: As for `build_network`.
        """
        super().__init__()
        _check_decoder(settings)
        unet = _smp_unet(settings, fetch=download and weights is None)
        self.name: str = unet.name.removeprefix("u-")
        self.divisor: int = unet.encoder.output_stride
        self.encoder: nn.Module = unet.encoder
        self.decoder: nn.Module = unet.decoder
        self.head: nn.Module = unet.segmentation_head
        self.dropout = nn.Dropout2d(settings.dropout)
        if weights is not None:
            _load_encoder(self.encoder, weights)

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits (N, 1, H, W) of images (N, C, H, W)."""
        height, width = image.shape[-2:]
        *levels, coarsest = self.encoder(_pad(image, self.divisor))
        logits: Tensor = self.head(self.decoder([*levels, self.dropout(coarsest)]))
        return logits[..., :height, :width]


def _pad(image: Tensor, divisor: int) -> Tensor:
    """Repeat the last row and column until both sides divide by `divisor`."""
    height, width = image.shape[-2:]
    below, right = -height % divisor, -width % divisor
    return F.pad(image, (0, right, 0, below), mode="replicate") if below or right else image


def _convolutions(before: int, after: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        norm(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1),
        norm(after),
        nn.ReLU(inplace=True),
    )


class _Gate(nn.Module):
    """Gate that weighs each pixel of the encoder's features by what the decoder makes of them."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        inner = channels // 2
        self.decoded = nn.Sequential(nn.Conv2d(channels, inner, 1), norm(inner))
        self.skipped = nn.Sequential(nn.Conv2d(channels, inner, 1), norm(inner))
        self.weight = nn.Sequential(nn.Conv2d(inner, 1, 1), norm(1), nn.Sigmoid())

    def forward(self, decoded: Tensor, skipped: Tensor) -> Tensor:
        """Weigh `skipped` (N, C, H, W): each pixel times its weight in (0, 1)."""
        weight: Tensor = self.weight(F.relu(self.decoded(decoded) + self.skipped(skipped)))
        return skipped * weight


# --- segmentation-models-pytorch
def _check_decoder(settings: NetworkSettings) -> None:
    if settings.attention:
        raise InfeasibleParams(
            f"attention: expected false with encoder {settings.encoder}, got true; attention gates "
            f"are those of encoder {PLAIN}"
        )
    for key, message in form_problems(settings.encoder, settings.depth, settings.norm):
        raise InfeasibleParams(f"{key}: {message}")


def _smp_unet(settings: NetworkSettings, *, fetch: bool) -> Any:
    import segmentation_models_pytorch as smp  # seconds, and needed with an encoder only

    name = settings.encoder
    pretrained: bool | str = True if name.startswith(TIMM) else "imagenet"
    try:
        return smp.Unet(
            name,
            encoder_depth=settings.depth,
            encoder_weights=pretrained if fetch else None,
            decoder_use_norm=_DECODER_NORMS[settings.norm],
            decoder_channels=[settings.width * 2**n for n in reversed(range(settings.depth))],
            in_channels=settings.in_channels,
            classes=1,
        )
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise InfeasibleParams(f"encoder {name} cannot be built: {error}") from error


def _load_encoder(encoder: nn.Module, file: Path) -> None:
    """Load an encoder's weights; those of colour images are summed for grey ones.

    Raises:
        InfeasibleParams: The file cannot be read or is another network's.
    """
    try:
        weights = _read_weights(file)
        own = encoder.state_dict()
        fitted = {key: _as_channels(value, own.get(key)) for key, value in weights.items()}
        encoder.load_state_dict(fitted)
    except (RuntimeError, ValueError, LookupError, OSError, EOFError, pickle.PickleError) as error:
        raise InfeasibleParams(
            f"expected weights of encoder {type(encoder).__name__} in {file}: {error}"
        ) from error


def _read_weights(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError  # comes with the package of other encoders
        from safetensors.torch import load_file  # as above

        try:
            return load_file(file)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    try:
        content: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError(NOT_PLAIN) from error
    return content


def _as_channels(weight: Tensor, own: Tensor | None) -> Tensor:
    """Convert a first convolution to one over as many channels as ours."""
    if own is None or weight.ndim != 4 or weight.shape[1] == own.shape[1] or own.shape[1] != 1:
        return weight
    return weight.sum(dim=1, keepdim=True)
