"""Places of the objects of a simulated micrograph, and the pixels of each that are seen."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from trainables.datasets.simulate.shape import Shape, box_around, pixels
from trainables.datasets.simulate.spec import SimulationSpec
from trainables.datasets.simulate.truth import SimulatedObject

_ATTEMPTS = 60

_MOST_OBJECTS = 60_000  # a label picture of 16 bits can hold that many


@dataclass
class _Placed:
    """An object while others are put in front of it."""

    category: int
    shape: Shape
    in_picture: int
    cut: bool
    seen: int


class _Field:
    """The picture above the data bar while objects are placed, back to front.

    Attributes:
        spec: Description of the set.
        top: (H, W) which object is seen, 1-based; 0 background.
        placed: Back to front.
    """

    def __init__(self, spec: SimulationSpec) -> None:
        self.spec = spec
        self.top: npt.NDArray[np.int32] = np.zeros((spec.field_height, spec.width), np.int32)
        self.placed: list[_Placed] = []

    def try_to_add(self, category: int, shape: Shape) -> bool:
        """Put a shape in front of all others, unless that hides or shows too little."""
        box, whole = pixels(shape)
        inner = box.cut(self.spec.width, self.spec.field_height)
        mask = whole[inner.moved(-box.top, -box.left).slices]
        in_picture = int(mask.sum())
        cut = in_picture < int(whole.sum())
        if in_picture < self.spec.min_visible_px or (cut and self.spec.border == "inside"):
            return False
        below = self.top[inner.slices]
        hidden = np.bincount(below[mask], minlength=1)
        hidden[0] = 0
        losers = [(self.placed[index - 1], int(hidden[index])) for index in np.flatnonzero(hidden)]
        if any(self._too_hidden(item, lost) for item, lost in losers):
            return False
        for item, lost in losers:
            item.seen -= lost
        self.placed.append(_Placed(category, shape, in_picture, cut, in_picture))
        below[mask] = len(self.placed)
        return True

    def _too_hidden(self, item: _Placed, more: int) -> bool:
        least = (1 - self.spec.max_hidden_fraction) * item.in_picture
        return item.seen - more < max(least, self.spec.min_visible_px)


def place(
    spec: SimulationSpec, um_per_px: float, rng: np.random.Generator
) -> tuple[SimulatedObject, ...]:
    """Objects of one image, from the back to the front.

    An object for which no free place is found is left out.
    """
    field_ = _Field(spec)
    free = [index for index, item in enumerate(spec.classes) if item.on is None]
    drawn = [pair for index in free for pair in _draw(spec, index, um_per_px, rng)]
    for pick in rng.permutation(len(drawn)):
        category, shape = drawn[pick]
        _settle(field_, category, (_anywhere(shape, spec, rng) for _ in range(_ATTEMPTS)))
    for index, item in enumerate(spec.classes):
        hosts = [p.shape for p in field_.placed if spec.classes[p.category].name == item.on]
        for _, shape in _draw(spec, index, um_per_px, rng) if hosts else ():
            _settle(field_, index, (_on_one_of(hosts, shape, rng) for _ in range(_ATTEMPTS)))
    return tuple(_finished(field_, order) for order in range(len(field_.placed)))


def _settle(field_: _Field, category: int, places: Iterator[Shape]) -> bool:
    return any(field_.try_to_add(category, shape) for shape in places)


def _draw(
    spec: SimulationSpec, index: int, um_per_px: float, rng: np.random.Generator
) -> Iterator[tuple[int, Shape]]:
    """The shapes of one class, not placed yet."""
    item = spec.classes[index]
    left_px2 = (item.area_fraction or 0) * spec.field_height * spec.width
    most = _MOST_OBJECTS if item.number is None else int(rng.integers(*_closed(item.number)))
    for _ in range(most):
        if item.number is None and left_px2 <= 0:
            return
        shape = item.form.draw(item.size.draw_px(rng, um_per_px), rng)
        left_px2 -= shape.area_px2
        yield index, shape


def _closed(bounds: tuple[int, int]) -> tuple[int, int]:
    return bounds[0], bounds[1] + 1


def _anywhere(shape: Shape, spec: SimulationSpec, rng: np.random.Generator) -> Shape:
    return shape.at(rng.uniform(0, spec.width), rng.uniform(0, spec.field_height))


def _on_one_of(hosts: Sequence[Shape], shape: Shape, rng: np.random.Generator) -> Shape:
    """Move a shape so that its centroid lies on the outline of a host, seen from its centroid."""
    host = hosts[int(rng.integers(len(hosts)))]
    angle = rng.uniform(0, 2 * math.pi)
    steps = np.linspace(0, host.feret_px, 129)
    x, y = host.cx + steps * math.cos(angle), host.cy + steps * math.sin(angle)
    inside = np.flatnonzero(host.level(x, y) >= 0)
    last = int(inside[-1]) if len(inside) else 0
    return shape.at(float(x[last]), float(y[last]))


def _finished(field_: _Field, order: int) -> SimulatedObject:
    """The truth of one object, now that all are placed."""
    item, spec = field_.placed[order], field_.spec
    inner = box_around(item.shape).cut(spec.width, spec.field_height)
    whole = np.zeros((spec.height, spec.width), np.uint8, order="F")
    whole[inner.slices] = field_.top[inner.slices] == order + 1
    rle = coco_mask.encode(whole)
    x, y, width, height = (int(value) for value in coco_mask.toBbox(rle))
    return SimulatedObject(
        category=item.category,
        kind=spec.classes[item.category].form.kind,
        shape=item.shape,
        rle=rle,
        box=(x, y, width, height),
        visible_px=item.seen,
        hidden_px=item.in_picture - item.seen,
        cut=item.cut,
        order=order,
    )
