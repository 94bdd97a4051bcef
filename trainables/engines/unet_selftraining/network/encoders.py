"""Names of the encoders a U-Net may have, without importing their package."""

from typing import Final

from search_spaces.names import nearest_name

PLAIN: Final = "unet"
"""Name of our own U-Net, which needs no other package."""

TIMM: Final = "tu-"
"""Beginning of the name of a timm model that gives features; timm knows whether it exists."""

ENCODERS: Final = (
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    "resnext50_32x4d",
    *(f"resnext101_32x{width}d" for width in (4, 8, 16, 32, 48)),
    *(f"dpn{name}" for name in ("68", "68b", "92", "98", "107", "131")),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    "senet154",
    *(f"se_resnet{depth}" for depth in (50, 101, 152)),
    *(f"se_resnext{depth}_32x4d" for depth in (50, 101)),
    *(f"densenet{depth}" for depth in (121, 169, 201, 161)),
    "inceptionresnetv2",
    "inceptionv4",
    *(f"efficientnet-b{size}" for size in range(8)),
    "mobilenet_v2",
    "xception",
    *(f"mit_b{size}" for size in range(6)),
    *(f"mobileone_s{size}" for size in range(5)),
)
"""Encoders of segmentation-models-pytorch 0.6 other than its aliases of timm's."""


def encoder_problem(name: str) -> str | None:
    """Reason why there is no such encoder; None if there is.

    >>> encoder_problem("resnet81")
    'expected unet, an encoder such as resnet18, or tu-<timm model>, got resnet81; did you mean \
resnet18?'
    """
    if name in {PLAIN, *ENCODERS} or name.startswith(TIMM):
        return None
    hint = nearest_name(name, (PLAIN, *ENCODERS))
    return f"expected {PLAIN}, an encoder such as resnet18, or tu-<timm model>, got {name}{hint}"
