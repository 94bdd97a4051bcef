"""Suppression of overlapping boxes as one step of a graph, for any number of pictures.

PyTorch's exporter refuses networks whose numbers of boxes depend on the picture. Here the number
stays: what is suppressed keeps its place with a score of 0.
"""

import importlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_MOST = 2**31 - 1


@torch.library.custom_op("segtune::keep_strongest", mutates_args=())
def keep_strongest(boxes: Tensor, scores: Tensor, iou: float, floor: float) -> Tensor:
    """Set the scores of suppressed boxes to 0: of overlapping boxes of a class the weaker ones.

    Args:
        boxes: (B, A, 4) x1 y1 x2 y2.
        scores: (B, K, A) by class.
        iou: Overlap above which the weaker one is suppressed.
        floor: Scores of no more than this are suppressed, too.

    Returns:
        (B, K, A) the scores that are left.
    """
    nms = importlib.import_module("torchvision.ops").nms
    left = torch.zeros_like(scores)
    for i, k in itertools.product(*map(range, scores.shape[:2])):
        (sure,) = torch.where(scores[i, k] > floor)
        kept = sure[nms(boxes[i, sure], scores[i, k, sure], iou)]
        left[i, k, kept] = scores[i, k, kept]
    return left


@keep_strongest.register_fake
def _(boxes: Tensor, scores: Tensor, iou: float, floor: float) -> Tensor:
    del boxes, iou, floor
    return torch.empty_like(scores)


def suppression_translation(op: Any) -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """The step in operators of ONNX.

    Args:
        op: The operators, of onnxscript.
    """

    def strongest(boxes: Any, scores: Any, iou: float, floor: float) -> Any:
        most = op.Constant(value_ints=[_MOST])
        limits = op.Constant(value_floats=[iou]), op.Constant(value_floats=[floor])
        chosen = op.NonMaxSuppression(boxes, scores, most, *limits)
        return op.ScatterND(op.Sub(scores, scores), chosen, op.GatherND(scores, chosen))

    return {torch.ops.segtune.keep_strongest.default: strongest}


def kept_scores(
    boxes: Tensor, scores: Tensor, category: Tensor, n_classes: int, limits: tuple[float, float]
) -> Tensor:
    """The scores (B, A) that are left after suppression within each class; the others are 0.

    Args:
        boxes: (B, A, 4) x1 y1 x2 y2 of all candidates.
        scores: (B, A), above 0 where there is a candidate.
        category: (A,) or (B, A) class of each, 0-based.
        n_classes: Number of classes.
        limits: Overlap above which the weaker of two is dropped, and the score to exceed.
    """
    every = torch.arange(n_classes, device=scores.device)[:, None]
    of_class = torch.where(category[..., None, :] == every, scores[:, None], 0.0)
    kept: Tensor = torch.ops.segtune.keep_strongest(boxes, of_class, *limits)
    return kept.amax(dim=1)


def strongest_instances(
    boxes: Tensor, scores: Tensor, n: int, limits: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The `n` strongest boxes after suppression, each of its most probable class.

    Args:
        boxes: (B, A, 4) x1 y1 x2 y2 of all candidates.
        scores: (B, A, K) of each class.
        n: Number of places in the result; those that are not used are 0.
        limits: Overlap above which the weaker of two is dropped, and the score to exceed.

    Returns:
        location (B, n, 4), score (B, n), category (B, n) int64 from 1 on, and the places (B, n) of
        the candidates, for `taken`.
    """
    best, category = scores.max(dim=2)
    kept = kept_scores(boxes, best, category, scores.shape[2], limits)
    score, place = longer(kept, n).topk(n, dim=1)
    category = torch.where(score > 0, longer(category, n).gather(1, place) + 1, 0)
    return taken(boxes, place, score), score, category, place


def strongest_of_class(
    boxes: Tensor,
    scores: Tensor,
    category: Tensor,
    sizes: tuple[int, int],
    limits: tuple[float, float],
) -> tuple[Tensor, Tensor, Tensor]:
    """As `strongest_instances`, where each candidate is of one class.

    Args:
        boxes: (B, A, 4) x1 y1 x2 y2 of all candidates.
        scores: (B, A).
        category: (A,) or (B, A) class of each, 0-based.
        sizes: Number of places in the result, and number of classes.
        limits: Overlap above which the weaker of two is dropped, and the score to exceed.
    """
    n, n_classes = sizes
    kept = kept_scores(boxes, scores, category, n_classes, limits)
    score, place = longer(kept, n).topk(n, dim=1)
    number = longer(category.expand_as(scores), n).gather(1, place)
    return taken(boxes, place, score), score, torch.where(score > 0, number + 1, 0)


def taken(values: Tensor, place: Tensor, score: Tensor) -> Tensor:
    """Values (B, n, C) of the candidates (B, A, C) at some places; 0 where the score is 0."""
    n, width = place.shape[1], values.shape[2]
    found = longer(values, n).gather(1, place[..., None].expand(-1, -1, width))
    return found * (score > 0)[..., None]


def longer(values: Tensor, n: int, fill: float = 0) -> Tensor:
    """Lengthen (B, A) or (B, A, C) along A by `n`, so that there are as many places at least."""
    after = (*(0, 0) * (values.ndim - 2), 0, n)
    return torch.nn.functional.pad(values, after, value=fill)
