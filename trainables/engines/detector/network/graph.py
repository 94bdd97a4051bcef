"""torchvision's detectors as graphs of ONNX: their inference, with sizes that no picture changes.

torchvision keeps as many boxes as a picture has, which PyTorch's exporter refuses. Here every step
has as many places as there may be at most, and what is suppressed has a score of 0.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from trainables.engines.detector.network.names import Family
from trainables.graphs.pooling import Pooling
from trainables.graphs.suppression import kept_scores, longer, strongest_of_class, taken

_NEVER: Final = -1e30
"""Objectness of a place that holds no region."""

_LEAST_REGION_PX, _LEAST_BOX_PX = 1e-3, 1e-2
"""Boxes with a shorter side are dropped; torchvision's."""

Size = tuple[Any, Any]
"""Height and width, which a trace has as symbols."""

Features = Sequence[tuple[str, Tensor]]
"""Maps of the levels with their names, finest first."""

Found = tuple[Tensor, Tensor, Tensor]
"""location (B, N, 4), score (B, N) and category (B, N), 1-based."""


class FindingGraph(nn.Module):
    """A network with everything from a scaled picture to objects.

    Args:
        network: torchvision's, in evaluation mode.
        family: Kind of its head.
        n: Number of places for objects in the outputs.
    """

    def __init__(self, network: Any, family: Family, n: int) -> None:
        super().__init__()
        self.network = network
        self.n = n
        find: dict[Family, Callable[..., Found]] = {
            "faster_rcnn": _by_regions,
            "retinanet": _by_levels,
            "fcos": _by_levels,
            "ssd": _of_fixed_anchors,
        }
        self._find = find[family]

    def forward(self, picture: Tensor, sides: Tensor) -> Found:
        """Find objects.

        Args:
            picture: (B, 3, h, w), scaled and normalised.
            sides: (4,) width, height, width and height of the pictures given, px.
        """
        height, width = picture.shape[-2:]
        divisor = self.network.transform.size_divisible
        padded = nn.functional.pad(picture, (0, -width % divisor, 0, -height % divisor))
        features = list(self.network.backbone(padded).items())
        location, score, category = self._find(
            self.network, features, (padded.shape[-2], padded.shape[-1]), (height, width), self.n
        )
        across, down = sides[0] / width, sides[1] / height
        found = location * torch.stack([across, down, across, down])
        return torch.minimum(found, sides), score, category


def _by_regions(net: Any, features: Features, padded: Size, size: Size, n: int) -> Found:
    """A Faster R-CNN's: regions are proposed, and each is looked at again."""
    regions, real = _regions(net.rpn, [feature for _, feature in features], padded, size)
    heads = net.roi_heads
    names = heads.box_roi_pool.featmap_names
    pooled = _pooled(heads.box_roi_pool, [f for name, f in features if name in names], regions)
    logits, deltas = heads.box_predictor(heads.box_head(pooled))
    batch, n_regions = regions.shape[:2]
    n_classes = logits.shape[1] - 1
    boxes = heads.box_coder.decode_single(deltas, regions.flatten(0, 1))
    boxes = boxes.reshape(batch, n_regions, n_classes + 1, 4)[:, :, 1:].flatten(1, 2)
    boxes = _inside(boxes, size)
    scores = logits.softmax(dim=1)[:, 1:].reshape(batch, n_regions, n_classes)
    usable = _sides(boxes).amin(dim=2) >= _LEAST_BOX_PX
    scores = (scores * real[..., None]).flatten(1) * usable
    numbers = torch.arange(n_classes).repeat(n_regions)
    limits = (heads.nms_thresh, heads.score_thresh)
    return strongest_of_class(boxes, scores, numbers, (n, n_classes), limits)


def _regions(
    rpn: Any, features: Sequence[Tensor], padded: Size, size: Size
) -> tuple[Tensor, Tensor]:
    """The regions (B, P, 4) in which objects may be, and whether each place holds one (B, P)."""
    most, n = rpn.pre_nms_top_n(), rpn.post_nms_top_n()
    every, logits = [], []
    for level, (logit, delta) in enumerate(zip(*rpn.head(list(features)), strict=True)):
        batch, n_anchors = logit.shape[:2]
        anchors = _anchors(rpn.anchor_generator, level, padded, features[level])
        deltas = delta.unflatten(1, (n_anchors, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        best, place = longer(logit.permute(0, 2, 3, 1).flatten(1), most, _NEVER).topk(most, dim=1)
        moved = taken(deltas, place, best - _NEVER).flatten(0, 1)
        start = longer(anchors[None], most).squeeze(0)[place].flatten(0, 1)
        every.append(rpn.box_coder.decode_single(moved, start).reshape(batch, most, 4))
        logits.append(best)
    boxes, best = _inside(torch.cat(every, dim=1), size), torch.cat(logits, dim=1)
    n_levels = len(every)
    level_of = torch.arange(n_levels).repeat_interleave(most)
    order = torch.arange(most, 0, -1, dtype=torch.float32).repeat(n_levels)  # sorted within each
    usable = (best > _NEVER) & (_sides(boxes).amin(dim=2) >= _LEAST_REGION_PX)
    kept = kept_scores(boxes, usable * order, level_of, n_levels, (rpn.nms_thresh, 0.0))
    probability = torch.where(kept > 0, best.sigmoid(), -1.0)
    score, place = longer(probability, n, -1.0).topk(n, dim=1)
    return taken(boxes, place, score + 1), score >= 0


def _by_levels(net: Any, features: Features, padded: Size, size: Size, n: int) -> Found:
    """A RetinaNet's or an FCOS's: each level's best boxes, a box as often as it has classes."""
    boxes, scores, numbers = [], [], []
    most = net.topk_candidates
    for level, (_, feature) in enumerate(features):
        said = net.head([feature])
        score = said["cls_logits"].sigmoid()
        if "bbox_ctrness" in said:
            score = (score * said["bbox_ctrness"].sigmoid()).sqrt()
        n_classes = score.shape[2]
        best, at = longer(score.flatten(1), most).topk(most, dim=1)
        place = at // n_classes
        moved = taken(said["bbox_regression"], place, best).flatten(0, 1)
        anchors = _anchors(net.anchor_generator, level, padded, feature)
        start = longer(anchors[None], most).squeeze(0)[place].flatten(0, 1)
        coder = net.box_coder
        decode = coder.decode_single if hasattr(coder, "decode_single") else coder.decode
        boxes.append(decode(moved, start).reshape(*best.shape, 4))
        scores.append(best)
        numbers.append(at % n_classes)
    limits = (net.nms_thresh, net.score_thresh)
    found = _inside(torch.cat(boxes, dim=1), size)
    return strongest_of_class(
        found, torch.cat(scores, dim=1), torch.cat(numbers, dim=1), (n, n_classes), limits
    )


def _of_fixed_anchors(net: Any, features: Features, padded: Size, size: Size, n: int) -> Found:
    """An SSD's: the best boxes of each class, from anchors that are the same in every picture."""
    maps = [feature for _, feature in features]
    said = net.head(maps)
    shape = (int(padded[0]), int(padded[1]))
    blank = ImageList(torch.zeros(1, 3, *shape), [shape])
    sizes = [torch.zeros(1, 1, *map(int, feature.shape[-2:])) for feature in maps]
    (anchors,) = net.anchor_generator(blank, sizes)
    scores = said["cls_logits"].softmax(dim=2)[..., 1:].transpose(1, 2)
    batch, n_classes, n_anchors = scores.shape
    starts = anchors.expand(batch, -1, -1).flatten(0, 1)
    moved = net.box_coder.decode_single(said["bbox_regression"].flatten(0, 1), starts)
    most = min(net.topk_candidates, n_anchors)
    best, place = scores.topk(most, dim=2)
    every = _inside(moved.reshape(batch, n_anchors, 4), size)
    boxes = taken(every, place.flatten(1), best.flatten(1))
    numbers = torch.arange(n_classes).repeat_interleave(most)
    limits = (net.nms_thresh, net.score_thresh)
    return strongest_of_class(boxes, best.flatten(1), numbers, (n, n_classes), limits)


def _anchors(generator: Any, level: int, padded: Size, feature: Tensor) -> Tensor:
    """Anchors (h * w * A, 4) of a level's cells."""
    down, right = (
        torch.arange(n) * (side // n) for side, n in zip(padded, feature.shape[-2:], strict=True)
    )
    y, x = torch.meshgrid(down, right, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=2).reshape(-1, 1, 4)
    cells: Tensor = generator.cell_anchors[level]
    return (shifts + cells[None]).reshape(-1, 4)


def _inside(boxes: Tensor, size: Size) -> Tensor:
    """Boxes (B, A, 4) clipped to the picture."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(min=0, max=width), boxes[..., 1::2].clamp(min=0, max=height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def _sides(boxes: Tensor) -> Tensor:
    """Widths and heights (B, A, 2)."""
    return boxes[..., 2:] - boxes[..., :2]


def _pooled(pooler: Any, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Features (B * P, C, S, S) of boxes (B, P, 4), each from the level that fits its size."""
    (size, _), samples = pooler.output_size, pooler.sampling_ratio
    level = pooler.map_levels([boxes.reshape(-1, 4)])
    return Pooling(pooler.scales, size, samples, aligned=False)(maps, boxes, level)
