"""Features of boxes as one step of a graph, each box's from the level that fits its size."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pooling:
    """How features are taken from the maps of a pyramid.

    Attributes:
        scales: Of each map, cells per pixel.
        size: Rows and columns of a box's features.
        samples: Samples a cell along each side; 0 for as many as fit a box's size.
        aligned: Whether a cell's value is that of its middle, not of its corner.
    """

    scales: Sequence[float]
    size: int
    samples: int
    aligned: bool

    def __call__(self, maps: Sequence[Tensor], boxes: Tensor, level: Tensor) -> Tensor:
        """Features (B * P, C, S, S) of boxes.

        Args:
            maps: (B, C, h, w) of each level.
            boxes: (B, P, 4) x1 y1 x2 y2, px.
            level: (B * P,) int64 number of the map for each.
        """
        batch, n = boxes.shape[:2]
        owner = torch.arange(batch)[:, None].expand(-1, n).reshape(-1, 1)
        rois = torch.cat([owner.to(boxes.dtype), boxes.reshape(-1, 4)], dim=1)
        found: Tensor = torch.ops.segtune.pooled(
            list(maps), rois, level, list(self.scales), [self.size, self.samples, int(self.aligned)]
        )
        return found


@torch.library.custom_op("segtune::pooled", mutates_args=())
def pooled(
    maps: list[Tensor], rois: Tensor, level: Tensor, scales: list[float], form: list[int]
) -> Tensor:
    """Features (R, C, S, S) of boxes.

    Args:
        maps: (B, C, h, w) of each level.
        rois: (R, 5) a picture's number and x1 y1 x2 y2 each.
        level: (R,) int64 number of the map for each.
        scales: Of each map, cells per pixel.
        form: `size`, `samples` and `aligned` of a `Pooling`.
    """
    size, samples, aligned = form
    align = importlib.import_module("torchvision.ops").roi_align
    found = maps[0].new_zeros(len(rois), maps[0].shape[1], size, size)
    for number, (features, scale) in enumerate(zip(maps, scales, strict=True)):
        mine = level == number
        found[mine] = align(features, rois[mine], size, scale, samples, bool(aligned))
    return found


@pooled.register_fake
def _(
    maps: list[Tensor], rois: Tensor, level: Tensor, scales: list[float], form: list[int]
) -> Tensor:
    del level, scales
    return maps[0].new_empty(rois.shape[0], maps[0].shape[1], form[0], form[0])


def pooling_translation(op: Any) -> Mapping[Callable[..., Any], Callable[..., Any]]:
    """The step in operators of ONNX: each map is asked for its own boxes alone.

    Args:
        op: The operators, of onnxscript.
    """

    def translated(
        maps: Sequence[Any], rois: Any, level: Any, scales: Sequence[float], form: Sequence[int]
    ) -> Any:
        size, samples, aligned = form
        first, step = op.Constant(value_int=0), op.Constant(value_int=1)
        parts, places = [], []
        for number, (features, scale) in enumerate(zip(maps, scales, strict=True)):
            mine = op.Equal(level, op.Constant(value_int=number))
            place = op.Squeeze(op.NonZero(mine), op.Constant(value_ints=[0]))
            own = op.Gather(rois, place)
            parts.append(
                op.RoiAlign(
                    features,
                    op.Gather(own, op.Constant(value_ints=[1, 2, 3, 4]), axis=1),
                    op.Cast(op.Gather(own, first, axis=1), to=7),
                    coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
                    output_height=size,
                    output_width=size,
                    sampling_ratio=samples,
                    spatial_scale=scale,
                )
            )
            places.append(place)
        order = op.Concat(*places, axis=0)
        numbers = op.Range(first, op.Size(order), step)
        back = op.ScatterElements(order, order, numbers, axis=0)
        return op.Gather(op.Concat(*parts, axis=0), back)

    return {torch.ops.segtune.pooled.default: translated}
