"""Hyperparameters of Detectron2's Mask R-CNN, without importing Detectron2.

Names are Detectron2's own in small letters where it has one (`base_lr`, `ims_per_batch`,
`batch_size_per_image`, ...). Whatever Detectron2 counts in iterations of a training is a fraction
of the epochs here, so that trials of any length follow the same schedule. The defaults train from
scratch.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from search_spaces.schema import Hyperparameters
from trainables.contract import Circumstances, EngineInfo, Framework
from trainables.engines.mask_rcnn.network.zoo import COCO, COMBO, UNTRAINED
from trainables.engines.mask_rcnn.proposal import default_space, remarks

AUGMENTS = ("none", "flip", "seed", "strong")

ZOO_WIDTHS = {
    "fpn_channels": 256,
    "box_head_dim": 1024,
    "mask_head_dim": 256,
    "mask_head_convs": 4,
    "anchor_scales": 1,
}
"""Values that the model zoo's weights fit; `anchor_ratio` must not be 1, either."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class MaskRcnnParams(Hyperparameters):
    """Hyperparameters of a Mask R-CNN training."""

    aliases: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("lr", "lr0", "learning_rate"), "base_lr"),
        **dict.fromkeys(("batch", "batch_size"), "ims_per_batch"),
        **dict.fromkeys(("image_size", "img_size", "imgsz"), "min_size"),
        **dict.fromkeys(("model", "encoder", "network"), "backbone"),
        "warmup_epochs": "warmup_fraction",
    }
    alternatives: ClassVar[Sequence[frozenset[str]]] = (
        frozenset({"warmup_iters", "warmup_fraction"}),
    )

    backbone: Literal["r18", "r50", "r101", "combo"] = Field(
        "r50", description="ResNet-FPN of that depth; `combo` trains r50 and r101 and fuses them"
    )
    weights: str = Field(
        UNTRAINED,
        description="`none` (from scratch), `coco` (the model zoo's, for r50, r101 and combo with "
        "BN or FrozenBN and download; from scratch where it cannot be reached), or a local file: "
        ".pkl or .pth of Detectron2, model.pt of this engine",
    )
    download: bool = Field(False, description="allow Detectron2 to fetch the model zoo's weights")
    norm: Literal["GN", "BN", "FrozenBN"] = Field(
        "GN", description="normalisation of backbone and FPN; FrozenBN needs weights"
    )
    freeze_at: int = Field(
        0, ge=0, le=5, description="backbone stages kept as they are, from the first on"
    )
    min_size: int = Field(800, ge=32, le=8192, description="shorter image side, px")
    max_size: int = Field(1333, ge=32, le=16384, description="the longer side is not above it, px")
    scale_jitter: float = Field(
        0.0, ge=0, lt=1, description="largest relative change of min_size in training"
    )
    augment: Literal["none", "flip", "seed", "strong"] = Field(
        "flip",
        description="flip: left-right; seed: both flips, 20 degrees, brightness; strong: both "
        "flips, quarter turns, crops, brightness, contrast",
    )
    keep_empty: bool = Field(True, description="train on images without objects, too")
    ims_per_batch: int = Field(2, ge=1, le=1024, description="images a step")
    optimizer: Literal["SGD", "AdamW"] = Field("AdamW", description="SGD is Detectron2's own")
    base_lr: float = Field(0.0003, gt=0, le=10, description="learning rate after the warm-up")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD momentum, or AdamW's beta1")
    weight_decay: Fraction = Field(0.0001, description="of all weights but those of norms")
    clip: float = Field(5.0, ge=0, le=1e6, description="largest norm of the gradient; 0 for any")
    warmup_iters: int | None = Field(
        None, ge=0, le=1_000_000, description="steps of the warm-up; null: by warmup_fraction"
    )
    warmup_fraction: Fraction = Field(
        0.05, description="length of the warm-up, fraction of all steps"
    )
    schedule: Literal["steps", "cosine"] = Field(
        "steps", description="the learning rate falls by gamma at two steps, or along a cosine to 0"
    )
    gamma: Fraction = Field(0.1, description="factor on the learning rate at each step")
    first_step: Fraction = Field(
        0.6, description="when it falls first, fraction of the epochs; 1 for never"
    )
    second_step: Fraction = Field(
        0.5, description="when it falls again, fraction of what is left by then; 1 for never"
    )
    anchor_px: float = Field(
        32.0, ge=2, le=1024, description="smallest anchor, px; doubled four times over the levels"
    )
    anchor_scales: int = Field(1, ge=1, le=4, description="anchor sizes an octave")
    anchor_ratio: float = Field(
        2.0, ge=1, le=10, description="anchors are that much longer than wide, too; 1 for squares"
    )
    rpn_batch_size_per_image: int = Field(
        256, ge=2, le=4096, description="anchors an image that the region proposals learn from"
    )
    proposals: int = Field(
        1000, ge=1, le=20_000, description="regions proposed in an image; in use, max_det at least"
    )
    rpn_nms_thresh: float = Field(
        0.7, gt=0, le=1, description="overlap above which the weaker of two regions is dropped"
    )
    batch_size_per_image: int = Field(
        64, ge=2, le=4096, description="regions an image that the heads learn from"
    )
    positive_fraction: Fraction = Field(
        0.25, gt=0, description="most of those regions that show an object"
    )
    fpn_channels: int = Field(256, ge=32, le=1024, multiple_of=32, description="width of the FPN")
    box_head_dim: int = Field(1024, ge=16, le=4096, description="width of the box head")
    mask_head_dim: int = Field(256, ge=16, le=1024, description="width of the mask head")
    mask_head_convs: int = Field(4, ge=0, le=8, description="convolutions in the mask head")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="moving average of the weights that is validated; 0 for none"
    )
    ema_warmup: bool = Field(
        True,
        description="let that average forget its untrained start: t steps decay by "
        "(1 + t) / (10 + t) at most",
    )
    amp: bool = Field(True, description="mixed precision on a GPU")
    workers: int | None = Field(
        None, ge=0, le=256, description="loader processes; null: as the trial's CPUs allow"
    )
    max_det: int = Field(300, ge=1, le=20_000, description="most instances found in an image")
    score_thresh: float = Field(
        0.01, ge=0, lt=1, description="instances with a lower score are not reported"
    )
    nms_thresh: float = Field(
        0.5, gt=0, le=1, description="overlap above which the weaker of two boxes is dropped"
    )
    combo_weight: Fraction = Field(
        0.5, description="say of r50 in `combo`; r101 has the rest; 0 or 1 leaves one of them out"
    )
    combo_iou: float = Field(
        0.5, gt=0, le=1, description="mask overlap from which `combo` takes two finds for one"
    )

    @property
    def backbones(self) -> tuple[str, ...]:
        """Backbones that are trained: two of a `combo`."""
        return COMBO if self.backbone == "combo" else (self.backbone,)

    @classmethod
    def without_effect(cls, params: Mapping[str, Any]) -> dict[str, str]:
        """Keys of `params` that do nothing beside the other ones, with the reason."""
        reasons: dict[str, str] = {}
        for key, value, ignored, reason in _IDLE:
            if _possible(params, key) == {value}:
                reasons |= dict.fromkeys(ignored, reason)
        if None not in _possible(params, "warmup_iters"):
            reasons["warmup_fraction"] = "warmup_iters says how long the warm-up is"
        if "combo" not in _possible(params, "backbone"):
            reasons |= dict.fromkeys(("combo_weight", "combo_iou"), "there is one backbone")
        elif _possible(params, "combo_weight") <= {0, 1}:
            reasons["combo_iou"] = "combo_weight lets one backbone alone have a say"
        if COCO not in _possible(params, "weights"):
            reasons["download"] = "nothing is fetched but the weights of weights=coco"
        return {key: reason for key, reason in reasons.items() if key in params}

    @classmethod
    def beginning(cls, params: Mapping[str, Any], epochs: int, n_train: int) -> float:
        """Epochs of the warm-up, which is counted in steps or is a fraction of all."""
        steps = _possible(params, "warmup_iters")
        an_epoch = max(1, math.ceil(n_train / max(_possible(params, "ims_per_batch"))))
        lengths = [n / an_epoch for n in steps if n is not None]
        if None in steps:
            lengths.append(max(_possible(params, "warmup_fraction")) * epochs)
        return float(max(lengths))

    @classmethod
    def problems(cls, fixed: Mapping[str, Any], searched: frozenset[str]) -> list[tuple[str, str]]:
        """List combinations to refuse: weights and what cannot hold them, sizes, warm-ups."""
        given = {**cls().model_dump(), **fixed}
        rules = (
            ({"weights", "backbone"}, "weights", weights_problem(given)),
            ({"weights", "norm"}, "norm", norm_problem(given)),
            ({"weights", "freeze_at"}, "freeze_at", _freeze_problem(given)),
            ({"min_size", "max_size"}, "max_size", _size_problem(given)),
            ({"weights", "anchor_ratio", *ZOO_WIDTHS}, "weights", _zoo_problem(given)),
        )
        found = [(key, text) for keys, key, text in rules if text and not keys & searched]
        both = {"warmup_iters", "warmup_fraction"} & (searched | fixed.keys())
        counted = "warmup_iters" in searched or given["warmup_iters"] is not None
        if len(both) == 2 and counted:
            message = "expected warmup_iters or warmup_fraction, got both; leave one out"
            found.append(("warmup_fraction", message))
        return found


_IDLE = (
    ("schedule", "cosine", ("gamma", "first_step", "second_step"), "schedule=cosine has no steps"),
    ("first_step", 1, ("gamma", "second_step"), "first_step=1 lets the learning rate never fall"),
    ("ema_decay", 0, ("ema_warmup",), "there is no average with ema_decay=0"),
)
"""Values of a key beside which other keys have no effect, with those keys and the reason."""


def _possible(params: Mapping[str, Any], key: str) -> set[Any]:
    value = params.get(key, MaskRcnnParams.model_fields[key].default)
    return set(value) if isinstance(value, tuple) else {value}


def weights_problem(given: Mapping[str, Any]) -> str | None:
    """Reason why a training's weights cannot be had here; None if they can.

    >>> weights_problem({"weights": "coco", "backbone": "r18", "download": True})
    'expected none or a file for backbone=r18, got coco: the model zoo has r50 and r101 only'
    """
    weights, backbone = given["weights"], given["backbone"]
    if weights == UNTRAINED:
        return None
    if weights == COCO and backbone == "r18":
        return f"expected none or a file for backbone={backbone}, got coco: {_ONLY}"
    if weights == COCO:
        return None if given["download"] else _NO_DOWNLOAD
    if backbone == "combo":
        return f"expected none or coco for backbone=combo, got {weights}, which is one model"
    if Path(weights).suffix not in {".pkl", ".pth", ".pt"}:
        return f"expected none, coco, or a .pkl, .pth or .pt file, got {weights}"
    return None if Path(weights).is_file() else f"expected an existing file, got {weights}"


_NO_DOWNLOAD = (
    "expected download: true beside coco, got false; the model zoo's weights are fetched once, or "
    "give the path of a local file"
)

_ONLY = "the model zoo has r50 and r101 only"


def norm_problem(given: Mapping[str, Any]) -> str | None:
    """Reason why a normalisation does not go with the weights; None if it does."""
    weights, norm = given["weights"], given["norm"]
    if norm == "FrozenBN" and weights == UNTRAINED:
        return (
            "expected GN or BN with weights=none, got FrozenBN, whose statistics come with "
            "trained weights"
        )
    if norm == "GN" and weights == COCO:
        return "expected FrozenBN or BN with weights=coco, which have no group norms, got GN"
    return None


def _freeze_problem(given: Mapping[str, Any]) -> str | None:
    if given["freeze_at"] and given["weights"] == UNTRAINED:
        return f"expected 0 with weights=none, got {given['freeze_at']}: random weights would stay"
    return None


def _size_problem(given: Mapping[str, Any]) -> str | None:
    if given["max_size"] < given["min_size"]:
        return f"expected at least min_size={given['min_size']}, got {given['max_size']}"
    return None


def _zoo_problem(given: Mapping[str, Any]) -> str | None:
    wrong = [f"{key}={given[key]}" for key, zoo in ZOO_WIDTHS.items() if given[key] != zoo]
    wrong += ["anchor_ratio=1"] if given["anchor_ratio"] == 1 else []
    if given["weights"] != COCO or not wrong:
        return None
    return f"expected layers as wide as in the model zoo with coco, got {', '.join(wrong)}"


_STRIDE = 32
"""Picture pixels a pixel of the backbone's coarsest map."""


def data_problems(
    fixed: Mapping[str, Any], searched: frozenset[str], there: Circumstances
) -> list[tuple[str, str]]:
    """A last batch of one picture so small that its batch norms would see one value."""
    given = {**MaskRcnnParams().model_dump(), **fixed}
    size, n = min(given["ims_per_batch"], there.data.n_train), there.data.n_train
    single = (n % size or size) == 1 and (given["keep_empty"] or size == 1)
    looked_at = {"norm", "max_size", "ims_per_batch", "keep_empty"}
    if given["norm"] != "BN" or given["max_size"] > _STRIDE or not single or looked_at & searched:
        return []
    message = (
        f"expected above {_STRIDE} with norm=BN where the last batch has one picture ({n} in "
        f"batches of {size}), got {given['max_size']}: its batch norms would see one value"
    )
    return [("max_size", message)]


def native_config(params: Mapping[str, Any]) -> dict[str, Any]:
    """Network and optimizer of a training, in the words of Detectron2's configuration.

    Not in it: what depends on the length of the training, on the number of classes or on a file of
    weights, and AdamW, augmentations and averaging, which Detectron2's configurations have no words
    for. Of a `combo` it is the first network.

    Args:
        params: Hyperparameters as in a study file; what is not given has its default.

    Raises:
        pydantic.ValidationError: `params` is not valid.
    """
    given = MaskRcnnParams.model_validate(dict(params))
    backbone = given.backbones[0]
    return {
        "VERSION": 2,
        "MODEL": {**_network(given, backbone), **_regions(given), **_heads(given)},
        "INPUT": {
            "MIN_SIZE_TRAIN": [given.min_size],
            "MIN_SIZE_TEST": given.min_size,
            "MAX_SIZE_TRAIN": given.max_size,
            "MAX_SIZE_TEST": given.max_size,
            "MASK_FORMAT": "bitmask",
        },
        "DATALOADER": {"FILTER_EMPTY_ANNOTATIONS": not given.keep_empty},
        "SOLVER": {
            "BASE_LR": given.base_lr,
            "IMS_PER_BATCH": given.ims_per_batch,
            "MOMENTUM": given.momentum,
            "WEIGHT_DECAY": given.weight_decay,
            "GAMMA": given.gamma,
        },
        "TEST": {"DETECTIONS_PER_IMAGE": given.max_det},
    }


_DEPTHS = {"r18": 18, "r50": 50, "r101": 101}

_IMAGENET_STD = [57.375, 57.120, 58.395]
"""Standard deviations of blue, green and red in ImageNet. The zoo's weights were trained without
dividing by them, which is Detectron2's default; other weights bring their own
(`weights.Colours`)."""

_STAGES = ("res2", "res3", "res4", "res5")

_LEVELS = ("p2", "p3", "p4", "p5", "p6")
"""Levels of the FPN; regions are proposed from all, and looked at in all but the last."""


def _network(params: MaskRcnnParams, backbone: str) -> dict[str, Any]:
    colours = {"PIXEL_STD": _IMAGENET_STD} if params.weights == UNTRAINED else {}
    fpn_norm = "" if params.norm == "FrozenBN" else params.norm
    return {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "MASK_ON": True,
        **colours,
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": params.freeze_at},
        "RESNETS": {
            "DEPTH": _DEPTHS[backbone],
            "NORM": params.norm,
            "OUT_FEATURES": [*_STAGES],
            "RES2_OUT_CHANNELS": 64 if backbone == "r18" else 256,
        },
        "FPN": {
            "IN_FEATURES": [*_STAGES],
            "NORM": fpn_norm,
            "OUT_CHANNELS": params.fpn_channels,
        },
    }


def _regions(params: MaskRcnnParams) -> dict[str, Any]:
    scales, ratio = params.anchor_scales, params.anchor_ratio
    sizes = [
        [params.anchor_px * 2 ** (level + k / scales) for k in range(scales)]
        for level in range(len(_LEVELS))
    ]
    in_use = max(params.proposals, params.max_det)  # an instance needs a region
    return {
        "ANCHOR_GENERATOR": {
            "SIZES": sizes,
            "ASPECT_RATIOS": [[1.0] if ratio == 1 else [1 / ratio, 1.0, ratio]],
        },
        "RPN": {
            "IN_FEATURES": [*_LEVELS],
            "POST_NMS_TOPK_TRAIN": params.proposals,
            "POST_NMS_TOPK_TEST": in_use,
            "PRE_NMS_TOPK_TRAIN": max(2000, params.proposals),
            "PRE_NMS_TOPK_TEST": max(1000, in_use),
            "BATCH_SIZE_PER_IMAGE": params.rpn_batch_size_per_image,
            "NMS_THRESH": params.rpn_nms_thresh,
        },
    }


def _heads(params: MaskRcnnParams) -> dict[str, Any]:
    return {
        "ROI_HEADS": {
            "NAME": "StandardROIHeads",
            "IN_FEATURES": [*_LEVELS[:-1]],
            "BATCH_SIZE_PER_IMAGE": params.batch_size_per_image,
            "POSITIVE_FRACTION": params.positive_fraction,
            "SCORE_THRESH_TEST": params.score_thresh,
            "NMS_THRESH_TEST": params.nms_thresh,
        },
        "ROI_BOX_HEAD": {
            "NAME": "FastRCNNConvFCHead",
            "NUM_FC": 2,
            "POOLER_RESOLUTION": 7,
            "FC_DIM": params.box_head_dim,
        },
        "ROI_MASK_HEAD": {
            "NAME": "MaskRCNNConvUpsampleHead",
            "POOLER_RESOLUTION": 14,
            "CONV_DIM": params.mask_head_dim,
            "NUM_CONV": params.mask_head_convs,
        },
    }


INFO = EngineInfo(
    name="mask_rcnn",
    params=MaskRcnnParams,
    metrics=("seg_metrics", "box_metrics", "measure"),
    objective="seg_metrics/F1",
    preset="mask_rcnn",
    frameworks=(
        Framework("torch>=2.7"),
        Framework("torchvision>=0.22"),
        Framework("detectron2>=0.6", module="detectron2.modeling"),
    ),
    extra="mask-rcnn",
    install="make setup, or pip install 'segtune[mask-rcnn]' and then python "
    "tools/install_detectron2.py, in segtune's checkout",
    backbone="backbone",
    max_gpus=8,
    batch="ims_per_batch",
    data_problems=data_problems,
    default_space=default_space,
    remarks=remarks,
    sizes=("min_size", "max_size", "fpn_channels"),
    native_config=native_config,
    trains_in="python native/train.py --config-file native.yaml --data DATA --epochs {epochs} "
    "--seed {seed}",
    opens_in="Detectron2's `DefaultPredictor` opens it with `best.yaml` in the folder `native`.",
)
