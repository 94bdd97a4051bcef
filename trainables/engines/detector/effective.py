"""Hyperparameters that will really be trained with, read back from what was built.

Each value comes from the network's layers, the optimizer, the loader, its augmentation or the
schedule that drives the optimizer, not from the arguments they were made from.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD

from trainables.engines.detector.data import TrainingPictures
from trainables.engines.detector.network.anchors import built_anchors
from trainables.engines.detector.network.build import backbone_prefix, reporter
from trainables.engines.detector.network.norms import norm_kinds
from trainables.engines.detector.optimizer import optimizer_values
from trainables.engines.detector.params import DetectorParams
from trainables.engines.detector.run import DetectorRun
from trainables.loop.asked import require_built

UNCHECKED: Final = frozenset({"workers", "weights"})
"""Keys that do not change what is trained, or of which a note says what was taken."""

Read = Callable[[DetectorRun, DetectorParams], Any]


def check_effective(run: DetectorRun, params: DetectorParams, ignored: Mapping[str, str]) -> None:
    """Compare a built training with the hyperparameters asked for, defaults included.

    Args:
        run: Training that is built and not yet begun.
        params: Hyperparameters asked for.
        ignored: Keys that are known to have no effect, with the reason.

    Raises:
        IneffectiveParam: Some value differs; the message names every such key.
    """
    wanted = params.model_dump(exclude=set(UNCHECKED | set(ignored)))
    built = effective_values(run, params, frozenset(wanted))
    require_built(wanted, built, "torchvision")


def effective_values(
    run: DetectorRun, params: DetectorParams, keys: frozenset[str]
) -> dict[str, Any]:
    """Read hyperparameters back as they were built.

    Args:
        run: The training.
        params: Hyperparameters asked for, where what was built can be said in several ways.
        keys: Names of those to read.
    """
    values: dict[str, Any] = optimizer_values(run.optimizer)
    values |= vars(_pictures(run).augmentation)
    values |= {key: read(run, params) for key, read in _READERS.items() if key in keys}
    return values


def _pictures(run: DetectorRun) -> TrainingPictures:
    pictures = run.loader.dataset
    assert isinstance(pictures, TrainingPictures)
    return pictures


_HEADS: Final = {FasterRCNN: "fasterrcnn", RetinaNet: "retinanet", FCOS: "fcos", SSD: "ssd"}


def _model(run: DetectorRun, params: DetectorParams) -> str:
    """The model asked for, where head and backbone are of its kind."""
    head = _HEADS.get(type(run.net), "")
    known = {"faster_rcnn": "fasterrcnn"}.get(
        params.architecture.family, params.architecture.family
    )
    return params.model if head == known and _body(run, params) else f"{head} of another kind"


def _body(run: DetectorRun, params: DetectorParams) -> bool:
    names = {type(module).__name__ for module in _backbone(run, params).modules()}
    wanted = {
        "small": "ResidualBlock",
        "efficientnet": "MBConv",
        "mobilenet": "InvertedResidual",
        "resnet50": "Bottleneck",
        "vgg16": "SSDFeatureExtractorVGG",
    }
    return all(kind in names for part, kind in wanted.items() if part in params.model)


def _backbone(run: DetectorRun, params: DetectorParams) -> nn.Module:
    return run.net.get_submodule(backbone_prefix(params.architecture).rstrip("."))


def _norm(run: DetectorRun, params: DetectorParams) -> str:
    kinds = norm_kinds(_backbone(run, params))
    return kinds.pop() if len(kinds) == 1 else str(sorted(kinds))


def _freeze(run: DetectorRun, params: DetectorParams) -> str:
    """The parts of which no weight is trained."""
    trained = [name for name, weight in run.net.named_parameters() if weight.requires_grad]
    prefix = backbone_prefix(params.architecture)

    def fixed(*parts: str) -> bool:
        return not any(name.startswith(parts) for name in trained)

    if not fixed(prefix):
        return "none"
    heads = {"roi_heads.box_head.", "head.classification_head.conv.", "head.regression_head.conv."}
    own = [n for n, _ in run.net.named_parameters() if n.startswith(tuple(heads))]
    if fixed("backbone.", "rpn.", *heads) and (own or params.freeze == "all"):
        return "all"
    if not fixed("backbone.") or params.architecture.family == "ssd":
        return "backbone"
    rpn = any(name.startswith("rpn.") for name, _ in run.net.named_parameters())
    return "rpn" if rpn and fixed("rpn.") else "fpn"


def _width(run: DetectorRun, params: DetectorParams) -> int:
    first: Any = next(m for m in run.net.modules() if isinstance(m, nn.Conv2d))
    return int(first.out_channels)


def _anchor_px(run: DetectorRun, params: DetectorParams) -> float | None:
    """Smallest size of an anchor; None where it was left to data or weights."""
    if params.anchor_px is None:
        return None
    net: Any = run.net
    if side := params.architecture.fixed_px:
        return float(net.anchor_generator.scales[0] * side)
    return min(min(level) for level in built_anchors(net).sizes)


def _anchor_scales(run: DetectorRun, params: DetectorParams) -> int:
    """Sizes of the first level below twice the smallest one."""
    sizes = built_anchors(run.net).sizes[0]
    return sum(size < 1.999 * min(sizes) for size in sizes)


def _anchor_ratio(run: DetectorRun, params: DetectorParams) -> float:
    return max(built_anchors(run.net).ratios)


def _sgd_learning_rate(run: DetectorRun, params: DetectorParams) -> float | None:
    """The rate of an SGD; None where it was left to `learning_rate`."""
    asked = params.sgd_learning_rate is not None
    return optimizer_values(run.optimizer)["learning_rate"] if asked else None


def _max_det(run: DetectorRun, params: DetectorParams) -> int:
    """Most objects an image that the head, and the regions it chooses from, allow."""
    net: Any = run.net
    most = reporter(net).detections_per_img
    return int(min(most, net.rpn._post_nms_top_n["testing"]) if hasattr(net, "rpn") else most)


def _keep_empty(run: DetectorRun, params: DetectorParams) -> bool:
    """Whether images without objects are trained on; as asked for where there are none."""
    found = _pictures(run).has_empty
    return params.keep_empty if found is None else found


def _drop(index: int) -> Read:
    """Make a reader of a drop: the fraction asked for, where it gives the step built."""

    def read(run: DetectorRun, params: DetectorParams) -> float:
        n, at = run.schedule.epochs, run.schedule.milestones[index]
        start = params.first_drop if index else 0.0
        wanted = (params.first_drop, params.second_drop)[index]
        if at == round((start + (1 - start) * wanted) * n):
            return wanted
        return (at / n - start) / (1 - start) if start < 1 else 1.0

    return read


def _layer(path: str) -> Read:
    """Make a reader of an attribute of the network."""

    def read(run: DetectorRun, params: DetectorParams) -> Any:
        value: Any = run.net
        for name in path.split("."):
            value = getattr(value, name)
        return value

    return read


def _of_reporter(name: str) -> Read:
    return lambda run, _: getattr(reporter(run.net), name)


_READERS: Final[Mapping[str, Read]] = {
    "model": _model,
    "norm": _norm,
    "freeze": _freeze,
    "width": _width,
    "fpn_channels": _layer("backbone.out_channels"),
    "box_head_dim": _layer("roi_heads.box_head.fc7.out_features"),
    "min_size": lambda run, _: run.net.transform.min_size[0],  # type: ignore[union-attr,index]
    "max_size": _layer("transform.max_size"),
    "anchor_px": _anchor_px,
    "anchor_scales": _anchor_scales,
    "anchor_ratio": _anchor_ratio,
    "proposals": lambda run, _: run.net.rpn._post_nms_top_n["training"],  # type: ignore[union-attr,index]
    "regions": _layer("roi_heads.fg_bg_sampler.batch_size_per_image"),
    "positive_fraction": _layer("roi_heads.fg_bg_sampler.positive_fraction"),
    "keep_empty": _keep_empty,
    "batch_size": lambda run, _: run.loader.batch_sampler.size,  # type: ignore[union-attr]
    "batch_multiplier": lambda run, _: run.multiplier,
    "sgd_learning_rate": _sgd_learning_rate,
    "clip": lambda run, _: run.clip,
    "warmup_steps": lambda run, _: run.schedule.warmup_epochs,
    "scheduler": lambda run, _: run.schedule.kind,
    "gamma": lambda run, _: run.schedule.gamma,
    "first_drop": _drop(0),
    "second_drop": _drop(1),
    "ema_decay": lambda run, _: 0.0 if run.average is None else run.average.decay,
    "amp": lambda run, _: run.scaler.is_enabled(),
    "max_det": _max_det,
    "score_thresh": _of_reporter("score_thresh"),
    "nms_thresh": _of_reporter("nms_thresh"),
}
