"""Hyperparameters of torchvision's detectors, without importing torchvision.

Names are those of our training loops (`search_spaces.training`) or torchvision's own. Where the
learning rate falls is a fraction of the training, so that trials of any length follow the same
schedule; the warm-up is counted in steps. The defaults train from scratch.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from search_spaces.schema import Hyperparameters
from search_spaces.training import (
    BatchMultiplier,
    BatchSize,
    LearningRate,
    Momentum,
    Optimizer,
    WeightDecay,
)
from trainables.contract import Circumstances, EngineInfo, Framework
from trainables.engines.detector.network.names import ARCHITECTURES, UNTRAINED, Architecture
from trainables.engines.detector.proposal import default_space

Fraction = Annotated[float, Field(ge=0, le=1)]

Jitter = Annotated[float, Field(ge=0, lt=1)]

Model = Literal[
    "small_fpn",
    "efficientnet_b0_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
]

Freeze = Literal["none", "backbone", "fpn", "rpn", "all"]


class DetectorParams(Hyperparameters):
    """Hyperparameters of a detector's training."""

    model_config = ConfigDict(allow_inf_nan=False)

    aliases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("lr", "lr0", "base_lr"), "learning_rate"),
        "sgd_lr": "sgd_learning_rate",
        **dict.fromkeys(("batch", "ims_per_batch"), "batch_size"),
        **dict.fromkeys(("schedule", "lr_scheduler"), "scheduler"),
        **dict.fromkeys(("image_size", "img_size", "imgsz"), "min_size"),
        **dict.fromkeys(("backbone", "network", "architecture"), "model"),
        **dict.fromkeys(("warmup_epochs", "warmup_iters"), "warmup_steps"),
        "accumulate": "batch_multiplier",
    }

    model: Model = Field(
        "fasterrcnn_mobilenet_v3_large_fpn",
        description="torchvision's detector of that name; `efficientnet_b0_fpn` and `small_fpn` "
        "are Faster R-CNNs on an EfficientNet-B0 and on a few residual blocks",
    )
    weights: str = Field(
        UNTRAINED,
        description="`none` (from scratch) or a local file: .pth with torchvision's weights of "
        "that detector or its backbone, or model.pt of this engine; nothing is downloaded",
    )
    norm: Literal["GN", "BN", "FrozenBN"] = Field(
        "GN",
        description="normalisation wherever torchvision has batch norms; files of torchvision's "
        "weights need BN or FrozenBN",
    )
    freeze: Freeze = Field(
        "none",
        description="what keeps the weights it starts from: the backbone; fpn: the feature "
        "pyramid, too; rpn: and the region proposals; all: everything but the predictors",
    )
    width: int = Field(32, ge=8, le=256, multiple_of=8, description="first channels of small_fpn")
    fpn_channels: int = Field(
        128, ge=16, le=512, multiple_of=8, description="width of our own networks' feature pyramid"
    )
    box_head_dim: int = Field(
        256, ge=16, le=4096, description="width of our own networks' box head"
    )
    min_size: int = Field(480, ge=32, le=8192, description="shorter image side, px")
    max_size: int = Field(800, ge=32, le=16384, description="the longer side is not above it, px")
    anchor_px: float | None = Field(
        None,
        ge=2,
        le=2048,
        description="smallest anchor, px of the network; doubled from level to level. null: as "
        "small as the data's small boxes; with weights, as those were trained",
    )
    anchor_scales: int = Field(1, ge=1, le=4, description="anchor sizes an octave")
    anchor_ratio: float = Field(
        2.0, ge=1, le=10, description="anchors are that much longer than wide, too; 1 for squares"
    )
    proposals: int = Field(1000, ge=1, le=20_000, description="regions proposed in an image")
    regions: int = Field(
        128, ge=2, le=4096, description="regions an image that the box head learns from"
    )
    positive_fraction: Fraction = Field(
        0.25, gt=0, description="most of those regions that show an object"
    )
    keep_empty: bool = Field(True, description="train on images without objects, too")
    batch_size: BatchSize = 4
    batch_multiplier: BatchMultiplier = 1
    optimizer: Optimizer = "adamw"
    learning_rate: LearningRate = 0.0005
    sgd_learning_rate: float | None = Field(
        None,
        gt=0,
        description="learning rate of sgd, which needs a larger one; null: learning_rate",
    )
    backbone_lr_ratio: float = Field(
        1.0, gt=0, le=10, description="the backbone's learning rate, as a share of all others'"
    )
    momentum: Momentum = 0.9
    nesterov: bool = Field(False, description="Nesterov's momentum of sgd")
    weight_decay: WeightDecay = 0.0001
    norm_decay: bool = Field(
        False, description="let weight decay act on norms and biases, too, as torchvision does"
    )
    clip: float = Field(10.0, ge=0, le=1e6, description="largest norm of the gradient; 0 for any")
    warmup_steps: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="steps over which the learning rate rises from a tenth, however many an epoch "
        "has",
    )
    scheduler: Literal["cosine", "multistep", "none"] = Field(
        "cosine", description="how the learning rate falls after the warm-up"
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="factor of each drop of multistep")
    first_drop: Fraction = Field(
        0.62, description="when multistep drops first, fraction of all steps; 1 for never"
    )
    second_drop: Fraction = Field(
        0.6, description="when it drops again, fraction of what is left by then; 1 for never"
    )
    fliplr: Fraction = Field(0.5, description="probability of a left-right flip")
    flipud: Fraction = Field(0.0, description="probability of an upside-down flip")
    degrees: float = Field(
        0.0, ge=0, le=180, description="largest turn to either side, degrees; boxes turn with it"
    )
    scale: Jitter = Field(0.0, description="largest relative change of the objects' size")
    brightness: Jitter = Field(0.0, description="largest relative change of brightness")
    contrast: Jitter = Field(0.0, description="largest relative change of contrast")
    saturation: Jitter = Field(0.0, description="largest relative change of colour")
    mosaic: Fraction = Field(
        0.0,
        description="probability that a training picture is put together from parts of four, each "
        "at its own scale; of an object that was cut, three tenths and 2 px of either side must be "
        "left",
    )
    ema_decay: float = Field(
        0.9998,
        ge=0,
        lt=1,
        description="moving average of the weights; t steps decay by (1 + t) / (10 + t) at most. "
        "It and the raw weights are validated, and the better ones kept; 0 for none",
    )
    amp: bool = Field(True, description="mixed precision on a GPU")
    workers: int | None = Field(
        None, ge=0, le=256, description="loader processes; null: as the trial's CPUs allow"
    )
    max_det: int = Field(300, ge=1, le=20_000, description="most objects found in an image")
    score_thresh: float = Field(
        0.01, ge=0, lt=1, description="objects with a lower score are not reported"
    )
    nms_thresh: float = Field(
        0.5, gt=0, le=1, description="overlap above which the weaker of two boxes is dropped"
    )

    @property
    def rate(self) -> float:
        """Learning rate of the optimizer that is used."""
        if self.optimizer == "sgd" and self.sgd_learning_rate is not None:
            return self.sgd_learning_rate
        return self.learning_rate

    @property
    def architecture(self) -> Architecture:
        """What is known of the model."""
        return ARCHITECTURES[self.model]

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """Keys of `params` that do nothing beside the other ones, with the reason."""
        reasons = {**_idle_of_models(params), **_idle_of_weights(params)}
        for key, values, ignored, reason in _IDLE:
            if not _possible(params, key) & values:
                reasons |= dict.fromkeys(ignored, reason)
        if _possible(params, "optimizer") == {"sgd"} and None not in _possible(
            params, "sgd_learning_rate"
        ):
            reasons["learning_rate"] = "sgd has sgd_learning_rate"
        for key, value, ignored, reason in _IDLE_AT:
            if _possible(params, key) == {value}:
                reasons |= dict.fromkeys(ignored, reason)
        return {key: reason for key, reason in reasons.items() if key in params}

    @classmethod
    def without_effect_in(
        cls, params: Mapping[str, Any], epochs: int, *, grey: bool
    ) -> dict[str, str]:
        """Colour changes of pictures without colour."""
        del epochs
        return {"saturation": "no image has a colour"} if grey and "saturation" in params else {}

    @classmethod
    def beginning(cls, params: Mapping[str, Any], epochs: int, n_train: int) -> float:
        """Epochs of the warm-up, which is counted in steps."""
        del epochs
        pictures = max(_possible(params, "batch_size")) * max(_possible(params, "batch_multiplier"))
        return float(max(_possible(params, "warmup_steps")) / max(1, math.ceil(n_train / pictures)))

    @classmethod
    def problems(cls, fixed: Mapping[str, Any], searched: frozenset[str]) -> list[tuple[str, str]]:
        """List combinations to refuse: weights that are not there, norms, sizes, frozen parts."""
        given = {**cls().model_dump(), **fixed}
        rules = (
            ({"weights"}, "weights", _weights_problem(given)),
            ({"weights", "norm"}, "norm", _norm_problem(given)),
            ({"weights", "freeze"}, "freeze", _freeze_problem(given)),
            ({"model", "freeze"}, "freeze", _part_problem(given)),
            ({"min_size", "max_size"}, "max_size", _size_problem(given)),
        )
        return [(key, text) for keys, key, text in rules if text and not keys & searched]


_IDLE: tuple[tuple[str, set[Any], tuple[str, ...], str], ...] = (
    ("model", {"small_fpn"}, ("width",), "only model small_fpn uses it"),
    (
        "optimizer",
        {"sgd"},
        ("sgd_learning_rate", "momentum", "nesterov"),
        "only optimizer sgd uses it",
    ),
    (
        "scheduler",
        {"multistep"},
        ("gamma", "first_drop", "second_drop"),
        "only scheduler multistep uses it",
    ),
    ("freeze", {"none"}, ("backbone_lr_ratio",), "the backbone is frozen"),
)
"""Values of a key without any of which other keys have no effect, with those and the reason."""

_IDLE_AT: tuple[tuple[str, Any, tuple[str, ...], str], ...] = (
    ("momentum", 0, ("nesterov",), "momentum is 0"),
    ("first_drop", 1, ("gamma", "second_drop"), "first_drop=1 is never"),
    ("weight_decay", 0, ("norm_decay",), "weight_decay is 0"),
)
"""A value of a key beside which other keys have no effect, with those and the reason."""


def _idle_of_weights(params: Mapping[str, Any]) -> dict[str, str]:
    """Keys that the weights a training starts from leave without effect, with the reason."""
    reasons: dict[str, str] = {}
    models = [ARCHITECTURES[name] for name in _possible(params, "model")]
    if not any(model.normed for model in models) and _torchvisions(params):
        reasons["norm"] = "with torchvision's weights this model has no norms"
    own = any(model.own for model in models)
    untrained = UNTRAINED in _possible(params, "weights")
    asked = _possible(params, "anchor_px") != {None}
    if not (asked or untrained or (own and _torchvisions(params))):
        keys = ("anchor_scales", "anchor_ratio")
        reasons |= dict.fromkeys(keys, "with weights and no anchor_px, anchors are theirs")
    return reasons


def _torchvisions(params: Mapping[str, Any]) -> bool:
    """Whether all trainings start from files of torchvision's."""
    return {Path(file).suffix for file in _possible(params, "weights")} == {".pth"}


def _idle_of_models(params: Mapping[str, Any]) -> dict[str, str]:
    """Keys that none of the models uses, with the reason."""
    models = [ARCHITECTURES[name] for name in _possible(params, "model")]
    reasons: dict[str, str] = {}
    if not any(model.own for model in models):
        why = "torchvision's own networks have their own widths"
        reasons |= dict.fromkeys(("fpn_channels", "box_head_dim"), why)
    if not any(model.has_regions for model in models):
        heads = ("proposals", "regions", "positive_fraction")
        reasons |= dict.fromkeys(heads, "only a Faster R-CNN proposes regions")
    if all(model.fixed_px for model in models):
        reasons |= dict.fromkeys(
            ("min_size", "max_size"), "an SSD brings every picture to its own size"
        )
    if not any(model.has_anchors for model in models):
        keys = ("anchor_px", "anchor_scales", "anchor_ratio")
        reasons |= dict.fromkeys(keys, "an FCOS has no anchors")
    elif all(model.family in ("ssd", "fcos") for model in models):
        reasons |= dict.fromkeys(("anchor_scales", "anchor_ratio"), "an SSD has its own ratios")
    return reasons


def _possible(params: Mapping[str, Any], key: str) -> set[Any]:
    value = params.get(key, DetectorParams.model_fields[key].default)
    return set(value) if isinstance(value, tuple) else {value}


def _weights_problem(given: Mapping[str, Any]) -> str | None:
    """Reason why a training's weights cannot be had here; None if they can.

    >>> _weights_problem({"weights": "COCO_V1"})
    'expected none, or a .pth or .pt file, got COCO_V1; nothing is downloaded'
    """
    weights = given["weights"]
    if weights == UNTRAINED:
        return None
    if Path(weights).suffix not in {".pth", ".pt"}:
        return f"expected none, or a .pth or .pt file, got {weights}; nothing is downloaded"
    return None if Path(weights).is_file() else f"expected an existing file, got {weights}"


def _norm_problem(given: Mapping[str, Any]) -> str | None:
    normed = given["model"] in ARCHITECTURES and ARCHITECTURES[given["model"]].normed
    if given["norm"] == "GN" and normed and Path(given["weights"]).suffix == ".pth":
        return (
            "expected BN or FrozenBN with torchvision's weights, which have no group norms, got GN"
        )
    if given["norm"] == "FrozenBN" and given["weights"] == UNTRAINED:
        return (
            "expected GN or BN with weights=none, got FrozenBN, whose statistics come with "
            "trained weights"
        )
    return None


def _freeze_problem(given: Mapping[str, Any]) -> str | None:
    if given["freeze"] != "none" and given["weights"] == UNTRAINED:
        return f"expected none with weights=none, got {given['freeze']}: random weights would stay"
    return None


def _part_problem(given: Mapping[str, Any]) -> str | None:
    model, part = ARCHITECTURES.get(given["model"]), given["freeze"]
    if model is None:
        return None
    if part == "rpn" and not model.has_regions:
        return f"expected none, backbone, fpn or all with {given['model']}, got rpn: it has no RPN"
    if part == "fpn" and model.family == "ssd":
        return f"expected none, backbone or all with {given['model']}, got fpn: it has no FPN"
    return None


def _size_problem(given: Mapping[str, Any]) -> str | None:
    if given["max_size"] < given["min_size"]:
        return f"expected at least min_size={given['min_size']}, got {given['max_size']}"
    return None


_STRIDE = 32
"""Picture pixels a pixel of the backbone's coarsest map."""


def data_problems(
    fixed: Mapping[str, Any], searched: frozenset[str], there: Circumstances
) -> list[tuple[str, str]]:
    """Batches of one picture so small that its batch norms would see one value."""
    given = {**DetectorParams().model_dump(), **fixed}
    size, n = min(given["batch_size"], there.data.n_train), there.data.n_train
    looked_at = {"norm", "max_size", "batch_size", "model"}
    small = given["max_size"] <= 4 * _STRIDE or ARCHITECTURES[given["model"]].fixed_px
    if given["norm"] != "BN" or not small or (n % size or size) != 1 or looked_at & searched:
        return []
    message = (
        f"expected GN where the last batch has one picture ({n} in batches of {size}) and the "
        "coarsest maps few pixels, got BN: its norms would see one value"
    )
    return [("norm", message)]


def native_config(params: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of torchvision's function, as far as they follow from hyperparameters.

    Args:
        params: Hyperparameters as in a study file; what is not given has its default.

    Raises:
        pydantic.ValidationError: `params` is not valid.
    """
    given = DetectorParams.model_validate(dict(params))
    known = given.architecture
    box = "box_" if known.has_regions else ""
    sizes = {} if known.fixed_px else {"min_size": given.min_size, "max_size": given.max_size}
    return {
        "model": given.model,
        "norm": given.norm,
        **sizes,
        f"{box}score_thresh": given.score_thresh,
        f"{box}nms_thresh": given.nms_thresh,
        f"{box}detections_per_img": given.max_det,
    }


def begins_from(params: Mapping[str, Any]) -> str:
    """What a training begins from, for the model card.

    >>> begins_from({"weights": "coco/ssd.pth"}), begins_from({})
    ('weights of ssd.pth', 'random weights')
    """
    weights = params.get("weights", UNTRAINED)
    return "random weights" if weights == UNTRAINED else f"weights of {Path(weights).name}"


def kept(metrics: Mapping[str, float]) -> str:
    """Which weights a model has, for the model card; "" where its metrics do not say.

    >>> kept({"val/averaged": 1.0}), kept({"val/averaged": 0.0}), kept({})
    ('averaged', 'raw', '')
    """
    averaged = metrics.get("val/averaged")
    return "" if averaged is None else "averaged" if averaged else "raw"


INFO = EngineInfo(
    name="detector",
    params=DetectorParams,
    metrics=("box_metrics",),
    objective="box_metrics/F1",
    preset="detector",
    frameworks=(Framework("torch>=2.7"), Framework("torchvision>=0.22")),
    extra="detector",
    backbone="model",
    max_gpus=8,
    batch="batch_size",
    data_problems=data_problems,
    default_space=default_space,
    sizes=("min_size", "max_size", "width", "fpn_channels"),
    native_config=native_config,
    begins_from=begins_from,
    kept=kept,
    opens_in="`torch.load` opens `best.pth` in the folder `native`: a state dict of torchvision's "
    "network that `best.yaml` beside it describes.",
    boxes_suffice=True,
)
