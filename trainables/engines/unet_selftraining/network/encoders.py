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


DECODER_NORMS: Final = ("batch", "instance", "none")
"""Norms that segmentation-models-pytorch has for its decoder."""

DEPTHS: Final = (3, 5)
"""Least and largest depth of its encoders."""

_NORM_AFTER: Final = ("inceptionv4", "efficientnet-", "mobilenet_v2")
"""Encoders whose batch norms see the level below the deepest one that is handed on."""

_NO_BATCH_NORM: Final = ("mit_b", TIMM)
"""Encoders without batch norms, or of which that is not known."""

_CENTRED: Final = "vgg"
"""Encoders whose deepest level goes through two convolutions with the decoder's norm."""

_COARSEST: Final = 5  # halvings that an encoder makes at most


def form_problems(encoder: str, depth: int, norm: str) -> list[tuple[str, str]]:
    """Reasons why an encoder cannot have that depth or norm, as (key, message) pairs.

    >>> form_problems("resnet18", 2, "batch")
    [('depth', 'expected 3 to 5 with encoder resnet18, got 2')]
    """
    if encoder == PLAIN:
        return []
    least, most = DEPTHS
    problems = []
    if not least <= depth <= most:
        depths = f"{least} to {most}"
        problems.append(("depth", f"expected {depths} with encoder {encoder}, got {depth}"))
    if norm not in DECODER_NORMS:
        norms = ", ".join(DECODER_NORMS)
        problems.append(("norm", f"expected one of {norms} with encoder {encoder}, got {norm}"))
    return problems


def normed_halvings(encoder: str, depth: int, norm: str) -> tuple[int, int]:
    """Halvings of the coarsest map that a batch norm sees, and of one that an instance norm sees.

    0 where there is no such norm, or none that is known.

    >>> normed_halvings("unet", 4, "instance"), normed_halvings("efficientnet-b0", 4, "none")
    ((0, 4), (5, 0))
    """
    instance = depth if norm == "instance" and encoder.startswith((PLAIN, _CENTRED)) else 0
    if encoder.startswith((PLAIN, _CENTRED)):
        return (depth if norm == "batch" else 0), instance
    if encoder.startswith(_NO_BATCH_NORM):
        return 0, instance
    return min(depth + encoder.startswith(_NORM_AFTER), _COARSEST), instance


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
