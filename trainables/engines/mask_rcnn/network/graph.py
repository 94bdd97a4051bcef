"""A Mask R-CNN as a graph of ONNX: Detectron2's inference, with sizes that no picture changes.

Detectron2 keeps as many regions as a picture has, which PyTorch's exporter refuses. Here every step
has as many places as there may be at most, and what is suppressed has a score of 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.graphs.pooling import Pooling
from trainables.graphs.suppression import kept_scores, longer, strongest_of_class, taken

_NEVER: Final = -1e30
"""Objectness of a place that holds no region."""


class FindingGraph(nn.Module):
    """A network with everything from grey levels to instances.

    Args:
        network: Detectron2's `GeneralizedRCNN` in evaluation mode.
        n: Number of places for instances in the outputs.
    """

    def __init__(self, network: Any, n: int) -> None:
        super().__init__()
        self.network = network
        self.n = n

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Find instances in pictures (B, 3, H, W) uint8 RGB.

        Returns:
            location (B, N, 4), score (B, N), category (B, N) and masks (B, N, M, M) in their boxes.
        """
        size = image.shape[-2], image.shape[-1]
        pictures = (image.flip(1).float() - self.network.pixel_mean) / self.network.pixel_std
        features = self.network.backbone(_padded(pictures, self.network.backbone.size_divisibility))
        regions, real = _regions(self.network.proposal_generator, features, size)
        heads = self.network.roi_heads
        pooled = _pooled(heads.box_pooler, [features[f] for f in heads.box_in_features], regions)
        location, score, category = self._found(heads, pooled, regions, real, size)
        maps = [features[f] for f in heads.mask_in_features]
        logits = heads.mask_head.layers(_pooled(heads.mask_pooler, maps, location))
        if logits.shape[1] > 1:
            own = (category.flatten() - 1).clamp(min=0)[:, None, None, None]
            logits = logits.gather(1, own.expand(-1, 1, *logits.shape[2:]))
        shape = logits.sigmoid().reshape(*score.shape, *logits.shape[2:])
        return location, score, category, shape * (score > 0)[..., None, None]

    def _found(
        self, heads: Any, pooled: Tensor, regions: Tensor, real: Tensor, size: Sequence[Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        predictor = heads.box_predictor
        logits, deltas = predictor(heads.box_head(pooled))
        n_classes = logits.shape[1] - 1
        batch, n_regions = regions.shape[:2]
        boxes = _moved(regions.flatten(0, 1), deltas, predictor.box2box_transform)
        boxes = boxes.expand(-1, n_classes, -1).reshape(batch, n_regions * n_classes, 4)
        probability = logits.softmax(dim=1)[:, :-1].reshape(batch, n_regions, n_classes)
        scores = (probability * real[..., None]).flatten(1)
        numbers = torch.arange(n_classes).repeat(n_regions)
        limits = (predictor.test_nms_thresh, predictor.test_score_thresh)
        return strongest_of_class(
            _inside(boxes, size), scores, numbers, (self.n, n_classes), limits
        )


def _padded(pictures: Tensor, divisor: int) -> Tensor:
    """Pad below and on the right with 0 until both sides divide by `divisor`."""
    height, width = pictures.shape[-2:]
    return nn.functional.pad(pictures, (0, -width % divisor, 0, -height % divisor))


def _regions(
    proposals: Any, features: Mapping[str, Tensor], size: Sequence[Any]
) -> tuple[Tensor, Tensor]:
    """The regions (B, P, 4) in which objects may be, and whether each place holds one (B, P)."""
    maps = [features[name] for name in proposals.in_features]
    objectness, deltas = proposals.rpn_head(maps)
    most = proposals.pre_nms_topk[False]
    boxes, logits = [], []
    for level, (score, delta) in enumerate(zip(objectness, deltas, strict=True)):
        batch, n_anchors, height, width = score.shape
        anchors = _anchors(proposals.anchor_generator, level, (height, width))
        shifts = delta.reshape(batch, n_anchors, 4, height, width).permute(0, 3, 4, 1, 2)
        flat = longer(score.permute(0, 2, 3, 1).flatten(1), most, _NEVER)
        best, place = flat.topk(most, dim=1)
        moved = taken(shifts.flatten(1, 3), place, best - _NEVER)
        start = longer(anchors[None], most).squeeze(0)[place]
        box = _moved(start.flatten(0, 1), moved.flatten(0, 1), proposals.box2box_transform)
        boxes.append(box.reshape(batch, most, 4))
        logits.append(best)
    every, logit = _inside(torch.cat(boxes, dim=1), size), torch.cat(logits, dim=1)
    n_levels = len(boxes)
    level_of = torch.arange(n_levels).repeat_interleave(most)
    order = torch.arange(most, 0, -1, dtype=torch.float32).repeat(n_levels)  # sorted within each
    sides = every[..., 2:] - every[..., :2]
    usable = (logit > _NEVER) & (sides > proposals.min_box_size).all(dim=2)
    kept = kept_scores(every, usable * order, level_of, n_levels, (proposals.nms_thresh, 0.0))
    n = proposals.post_nms_topk[False]
    best, place = longer(torch.where(kept > 0, logit, _NEVER), n, _NEVER).topk(n, dim=1)
    return taken(every, place, best - _NEVER), best > _NEVER


def _anchors(generator: Any, level: int, size: tuple[Any, Any]) -> Tensor:
    """Anchors (H * W * A, 4) of a level's cells."""
    stride, offset = generator.strides[level], generator.offset
    down, right = (torch.arange(side) * stride + offset * stride for side in size)
    y, x = torch.meshgrid(down, right, indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=2).reshape(-1, 1, 4)
    cells: Tensor = next(c for i, c in enumerate(generator.cell_anchors) if i == level)
    return (shifts + cells[None]).reshape(-1, 4)


def _moved(boxes: Tensor, deltas: Tensor, rule: Any) -> Tensor:
    """Boxes (M, K, 4) moved and scaled by what a network says (M, 4 K); Detectron2's rule."""
    sides = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + 0.5 * sides
    dx, dy, dw, dh = (deltas[:, k::4] / weight for k, weight in enumerate(rule.weights))
    dw, dh = dw.clamp(max=rule.scale_clamp), dh.clamp(max=rule.scale_clamp)
    x, y = dx * sides[:, :1] + centre[:, :1], dy * sides[:, 1:] + centre[:, 1:]
    w, h = dw.exp() * sides[:, :1], dh.exp() * sides[:, 1:]
    return torch.stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], dim=2)


def _inside(boxes: Tensor, size: Sequence[Any]) -> Tensor:
    """Boxes (B, A, 4) clipped to the picture."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(min=0, max=width), boxes[..., 1::2].clamp(min=0, max=height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def _pooled(pooler: Any, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Features (B * P, C, S, S) of boxes (B, P, 4), each from the level that fits its size."""
    sides = (boxes[..., 2:] - boxes[..., :2]).reshape(-1, 2)
    side = (sides[:, 0] * sides[:, 1]).sqrt()
    level = torch.floor(
        pooler.canonical_level + torch.log2(side / pooler.canonical_box_size + 1e-8)
    )
    level = level.clamp(min=pooler.min_level, max=pooler.max_level) - pooler.min_level
    aligns = list(pooler.level_poolers)
    scales = [align.spatial_scale for align in aligns]
    (size, _), samples = aligns[0].output_size, aligns[0].sampling_ratio
    pooling = Pooling(scales, size, samples, aligned=aligns[0].aligned)
    return pooling(maps, boxes, level.long())
