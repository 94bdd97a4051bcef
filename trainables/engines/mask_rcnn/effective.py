"""Hyperparameters that will really be trained with, read back from what was built.

Each value comes from the network's layers, the optimizer, the loader, its augmentations or the
schedule that drives the optimizer, not from the arguments they were made from.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from trainables.engines.mask_rcnn.augmentation import augmentations
from trainables.engines.mask_rcnn.data import TrainingPictures
from trainables.engines.mask_rcnn.network.framework import FrozenBatchNorm2d
from trainables.engines.mask_rcnn.network.fusion import Fusion
from trainables.engines.mask_rcnn.params import MaskRcnnParams
from trainables.engines.mask_rcnn.run import MaskRcnnRun, MemberNetwork
from trainables.loop.asked import require_built, same

UNCHECKED = frozenset({"download", "workers"})
"""Keys that do not change what is trained."""

_DEPTHS: Mapping[tuple[str, tuple[int, ...]], str] = {
    ("BasicBlock", (2, 2, 2, 2)): "r18",
    ("BottleneckBlock", (3, 4, 6, 3)): "r50",
    ("BottleneckBlock", (3, 4, 23, 3)): "r101",
}

_NORMS = {torch.nn.GroupNorm: "GN", torch.nn.BatchNorm2d: "BN", FrozenBatchNorm2d: "FrozenBN"}


def check_effective(
    run: MaskRcnnRun, fusion: Fusion, params: MaskRcnnParams, ignored: Mapping[str, str]
) -> None:
    """Compare a built training with the hyperparameters asked for, defaults included.

    Args:
        run: Training that is built and not yet begun.
        fusion: Rule by which validation fuses the networks' instances.
        params: Hyperparameters asked for.
        ignored: Keys that are known to have no effect, with the reason.

    Raises:
        IneffectiveParam: Some value differs; the message names every such key.
    """
    built = effective_values(run, fusion, params)
    wanted = params.model_dump(exclude=set(UNCHECKED | set(ignored)))
    require_built(wanted, built, "Detectron2")


def effective_values(run: MaskRcnnRun, fusion: Fusion, params: MaskRcnnParams) -> dict[str, Any]:
    """Read every hyperparameter back as it was built.

    Where the networks of a `combo` differ, the value is the tuple of all.
    """
    values: dict[str, Any] = {key: read(run, params) for key, read in _OF_RUN.items()}
    for key, read in _OF_MEMBER.items():
        found = [read(member, params) for member in run.members.values()]
        values[key] = found[0] if all(same(found[0], f) for f in found) else tuple(found)
    if len(run.members) > 1:
        values["max_det"] = int(np.minimum(values["max_det"], fusion.max_det).min())
    return {**values, "combo_weight": fusion.weights.get("r50"), "combo_iou": fusion.iou}


def _backbone(run: MaskRcnnRun, params: MaskRcnnParams) -> str:
    depths = [_depth(member) for member in run.members.values()]
    return "combo" if depths == ["r50", "r101"] else " and ".join(depths)


def _depth(member: MemberNetwork) -> str:
    stages = member.net.backbone.bottom_up.stages
    built = type(stages[0][0]).__name__, tuple(len(stage) for stage in stages)
    return _DEPTHS.get(built, str(built))


def _norm(member: MemberNetwork, params: MaskRcnnParams) -> str:
    """Norm of the backbone's last stage, the last to be frozen; freezing turns BN to FrozenBN."""
    last = member.net.backbone.bottom_up.stages[-1][-1]
    found = {_NORMS.get(type(m), "") for m in last.modules()} - {""}
    kind = found.pop() if len(found) == 1 else str(sorted(found))
    fully_frozen = params.freeze_at == 5 and params.norm == "BN"
    return "BN" if fully_frozen and kind == "FrozenBN" else kind


def _freeze_at(member: MemberNetwork, params: MaskRcnnParams) -> int:
    body = member.net.backbone.bottom_up
    parts = [body.stem, *body.stages]
    frozen = [not any(p.requires_grad for p in part.parameters()) for part in parts]
    return frozen.index(False) if False in frozen else len(parts)


def _momentum(member: MemberNetwork, params: MaskRcnnParams) -> float:
    found = {g["momentum"] if "momentum" in g else g["betas"][0] for g in _groups(member)}
    return float(found.pop()) if len(found) == 1 else math.nan


def _groups(member: MemberNetwork) -> list[dict[str, Any]]:
    return list(member.optimizer.param_groups)


def _anchors(member: MemberNetwork) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Sizes (square root of the area, px) and elongations of the anchors of each level."""
    found = []
    for level in member.net.proposal_generator.anchor_generator.cell_anchors:
        width, height = (level.double()[:, 2:] - level.double()[:, :2]).unbind(1)
        found.append(((width * height).sqrt(), height / width))
    return found


def _as_asked(wanted: float, found: float) -> float:
    """Value asked for, if what was found equals it in single precision."""
    return wanted if math.isclose(wanted, found, rel_tol=1e-4) else found


def _anchor_px(member: MemberNetwork, params: MaskRcnnParams) -> float:
    """Smallest size of an anchor, if each level's is twice that of the level before."""
    smallest = [float(sizes.min()) for sizes, _ in _anchors(member)]
    doubled = all(math.isclose(b, 2 * a, rel_tol=1e-4) for a, b in pairwise(smallest))
    return _as_asked(params.anchor_px, smallest[0]) if doubled else math.nan


def _anchor_scales(member: MemberNetwork, params: MaskRcnnParams) -> int:
    sizes, _ = _anchors(member)[0]
    return len({round(math.log2(size), 3) for size in sizes.tolist()})


def _anchor_ratio(member: MemberNetwork, params: MaskRcnnParams) -> float:
    _, ratios = _anchors(member)[0]
    return _as_asked(params.anchor_ratio, float(ratios.max()))


def _max_det(member: MemberNetwork, params: MaskRcnnParams) -> int:
    """Most instances an image that the heads, and the regions they choose from, allow."""
    regions, heads = member.net.proposal_generator, member.net.roi_heads
    at_most = min(regions.post_nms_topk[False], regions.pre_nms_topk[False])
    return int(min(heads.box_predictor.test_topk_per_image, at_most))


def _pictures(run: MaskRcnnRun) -> TrainingPictures:
    pictures = run.loader.dataset
    assert isinstance(pictures, TrainingPictures)
    return pictures


def _scale_jitter(run: MaskRcnnRun, params: MaskRcnnParams) -> float:
    """Half the spread of the shorter side, to whole pixels."""
    low, high = _pictures(run).transforms[0].short_edge_length
    jitter = params.scale_jitter
    wanted = [round(params.min_size * (1 + sign * jitter)) for sign in (-1, 1)]
    return jitter if [low, high] == wanted else (high - low) / (high + low)


def _min_size(run: MaskRcnnRun, params: MaskRcnnParams) -> float:
    low, high = _pictures(run).transforms[0].short_edge_length
    middle = (low + high) / 2
    return params.min_size if abs(middle - params.min_size) <= 1 else middle


def _augment(run: MaskRcnnRun, params: MaskRcnnParams) -> str:
    """Option whose augmentations these are, by their kinds and settings."""
    found = [repr(t) for t in _pictures(run).transforms[1:]]
    for option in ("none", "flip", "seed", "strong"):
        other = params.model_copy(update={"augment": option})
        if [repr(t) for t in augmentations(other)[1:]] == found:
            return option
    return f"{found}"


def _keep_empty(run: MaskRcnnRun, params: MaskRcnnParams) -> bool:
    """Whether images without objects are trained on; as asked for where there are none."""
    found = _pictures(run).has_empty
    return params.keep_empty if found is None else found


def _warmup_fraction(run: MaskRcnnRun, params: MaskRcnnParams) -> float:
    """Length of the warm-up: the one asked for, where it gives the number of steps built."""
    schedule = run.schedule
    expected = round(params.warmup_fraction * schedule.n_steps)
    found = schedule.warmup_steps
    return params.warmup_fraction if found == expected else found / schedule.n_steps


def _fall(index: int) -> Callable[[MaskRcnnRun, MaskRcnnParams], float]:
    """Make a reader of a falling step: the fraction asked for, where it gives the step built."""

    def read(run: MaskRcnnRun, params: MaskRcnnParams) -> float:
        n = run.schedule.n_steps
        wanted = (params.first_step, params.second_step)[index]
        at = run.schedule.milestones
        start = params.first_step if index else 0.0
        if len(at) < 2:
            return 1.0
        if at[index] == round((start + (1 - start) * wanted) * n):
            return wanted
        return (at[index] / n - start) / (1 - start) if start < 1 else 1.0

    return read


def _layer(path: str) -> Callable[[MemberNetwork, MaskRcnnParams], Any]:
    """Make a reader of an attribute of the network."""

    def read(member: MemberNetwork, params: MaskRcnnParams) -> Any:
        value = member.net
        for name in path.split("."):
            value = getattr(value, name)
        return value

    return read


_OF_RUN: Mapping[str, Callable[[MaskRcnnRun, MaskRcnnParams], Any]] = {
    "backbone": _backbone,
    "min_size": _min_size,
    "max_size": lambda run, _: _pictures(run).transforms[0].max_size,
    "scale_jitter": _scale_jitter,
    "augment": _augment,
    "keep_empty": _keep_empty,
    "ims_per_batch": lambda run, _: run.loader.batch_sampler.size,  # type: ignore[union-attr]
    "clip": lambda run, _: run.clip,
    "warmup_iters": lambda run, p: None if p.warmup_iters is None else run.schedule.warmup_steps,
    "warmup_fraction": _warmup_fraction,
    "schedule": lambda run, _: "cosine" if run.schedule.cosine else "steps",
    "gamma": lambda run, _: run.schedule.gamma,
    "first_step": _fall(0),
    "second_step": _fall(1),
}

_OF_MEMBER: Mapping[str, Callable[[MemberNetwork, MaskRcnnParams], Any]] = {
    "weights": lambda member, _: member.weights,
    "norm": _norm,
    "freeze_at": _freeze_at,
    "optimizer": lambda member, _: type(member.optimizer).__name__,
    "base_lr": lambda member, _: max(group["initial_lr"] for group in _groups(member)),
    "momentum": _momentum,
    "weight_decay": lambda member, _: max(group["weight_decay"] for group in _groups(member)),
    "anchor_px": _anchor_px,
    "anchor_scales": _anchor_scales,
    "anchor_ratio": _anchor_ratio,
    "rpn_batch_size_per_image": _layer("proposal_generator.batch_size_per_image"),
    "proposals": lambda member, _: member.net.proposal_generator.post_nms_topk[True],
    "rpn_nms_thresh": _layer("proposal_generator.nms_thresh"),
    "batch_size_per_image": _layer("roi_heads.batch_size_per_image"),
    "positive_fraction": _layer("roi_heads.positive_fraction"),
    "fpn_channels": _layer("backbone.fpn_output2.out_channels"),
    "box_head_dim": _layer("roi_heads.box_head.fc1.out_features"),
    "mask_head_dim": _layer("roi_heads.mask_head.deconv.out_channels"),
    "mask_head_convs": lambda member, _: len(member.net.roi_heads.mask_head.conv_norm_relus),
    "ema_decay": lambda member, _: 0.0 if member.average is None else member.average.decay,
    "ema_warmup": lambda member, _: member.average is not None and member.average.warm_up,
    "amp": lambda member, _: member.scaler.is_enabled(),
    "max_det": _max_det,
    "score_thresh": _layer("roi_heads.box_predictor.test_score_thresh"),
    "nms_thresh": _layer("roi_heads.box_predictor.test_nms_thresh"),
}
