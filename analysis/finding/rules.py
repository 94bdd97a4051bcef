"""Rules of how instances of classes may lie to each other: overlap first, then containment.

An overlap rule says how the instances of a class may lie among themselves: of two that break it the
weaker one is removed. A containment rule says in which class the instances of another must lie:
each needs one surviving instance of that class that holds enough of it, and where there is none of
that class at all, none is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from analysis.errors import FindingError
from analysis.finding.dedupe import suppress
from analysis.finding.overlaps import Overlaps, overlaps
from analysis.finding.pool import Pool
from analysis.finding.settings import OverlapRule, RuleSettings, by_index, class_index
from trainables.datasets import geometry

_AT_WILL: Final = 0.9
"""Limit from which on it does not count for a class whose instances may overlap."""


@dataclass(frozen=True)
class Rules:
    """Rules by the 0-based indices of the model's classes.

    Attributes:
        classes: Class names.
        overlap: Class to the rule for its instances among themselves.
        inside: Class to the class in which its instances must lie; holders come before what must
            lie in them.
        least_inside: Share of an instance that must lie in one holder.
    """

    classes: Sequence[str]
    overlap: Mapping[int, OverlapRule]
    inside: Mapping[int, int]
    least_inside: float

    def apply(self, pool: Pool) -> tuple[Pool, dict[str, int]]:
        """Remove what breaks a rule.

        Args:
            pool: Instances of one picture.

        Returns:
            Those that stay, and rule to the number of instances that it removed, 0 included.
        """
        removed: dict[str, int] = {}
        for one, rule in self.overlap.items():
            kept = self._apart(pool, one, rule)
            removed[f"overlap of {self.classes[one]}"] = int((~kept).sum())
            pool = pool.take(kept)
        for child, parent in self.inside.items():
            kept = self._held(pool, child, parent)
            removed[f"{self.classes[child]} in {self.classes[parent]}"] = int((~kept).sum())
            pool = pool.take(kept)
        return pool, removed

    def _apart(self, pool: Pool, one: int, rule: OverlapRule) -> npt.NDArray[np.bool_]:
        """Whether each instance stays by the overlap rule of a class."""
        own = np.flatnonzero(pool.classes == one)
        of_class = pool.take(own)
        limit = rule.max_iou_threshold
        if rule.allow_overlap and limit >= _AT_WILL:
            limit = 1.0
        pairs = overlaps(of_class.boxes, of_class.masks)
        breaks = pairs.iou > limit
        first, second = pairs.first[breaks], pairs.second[breaks]
        if not rule.allow_touch:
            touching = _touching(of_class)
            first, second = np.append(first, touching.first), np.append(second, touching.second)
        broken = Overlaps(first, second, np.ones(len(first)))
        kept = np.ones(len(pool), np.bool_)
        kept[own] = False
        kept[own[suppress(of_class.ranked(), broken, 0.0).kept]] = True
        return kept

    def _held(self, pool: Pool, child: int, parent: int) -> npt.NDArray[np.bool_]:
        """Whether each instance stays by the containment rule of a class."""
        pairs = overlaps(pool.boxes, pool.masks)
        shared = pairs.shared(pool.areas)
        held = np.zeros(len(pool))
        for inner, outer in ((pairs.first, pairs.second), (pairs.second, pairs.first)):
            fits = (pool.classes[inner] == child) & (pool.classes[outer] == parent)
            np.maximum.at(held, inner[fits], shared[fits] / pool.areas[inner[fits]])
        enough = held >= self.least_inside - 1e-9
        return np.asarray((pool.classes != child) | enough)


def make_rules(settings: RuleSettings, classes: Sequence[str]) -> Rules:
    """The rules of a model's classes.

    Raises:
        FindingError: A rule is for a class that the model does not know, or classes must lie in
            themselves.
    """
    where = "finding.rules.containment_rules"
    overlap = by_index(settings.overlap_rules, classes, "finding.rules.overlap_rules")
    given = by_index(settings.containment_rules, classes, where)
    inside = {
        child: class_index(parent, classes, f"{where}.{classes[child]}")
        for child, parent in given.items()
    }
    order = _holders_first(inside, classes, where)
    if not settings.enabled:
        return Rules(classes, {}, {}, settings.containment_threshold)
    sorted_inside = {child: inside[child] for child in order}
    return Rules(classes, overlap, sorted_inside, settings.containment_threshold)


def _holders_first(inside: Mapping[int, int], classes: Sequence[str], where: str) -> list[int]:
    """The classes that must lie in another, each after the one it lies in.

    Raises:
        FindingError: They lie in themselves.
    """
    sorter = TopologicalSorter({child: [parent] for child, parent in inside.items()})
    try:
        return [one for one in sorter.static_order() if one in inside]
    except CycleError as error:
        names = " in ".join(classes[i] for i in reversed(error.args[1]))
        raise FindingError(
            f"{where}: expected classes that lie in other ones, got {names}; no instance could stay"
        ) from error


def _touching(pool: Pool) -> Overlaps:
    """Pairs of instances that overlap or lie side by side, corner to corner included."""
    if pool.masks is None:
        grown = pool.boxes + np.array([-1, -1, 1, 1])
        return overlaps(grown)
    n = len(pool)
    wider = [_grown(dict(mask)) for mask in pool.masks]
    boxes = np.concatenate([pool.boxes + np.array([-1, -1, 1, 1]), pool.boxes])
    found = overlaps(boxes, [*wider, *pool.masks])
    mixed = (found.first < n) & (found.second >= n) & (found.first != found.second - n)
    one, other = found.first[mixed], found.second[mixed] - n
    once = np.unique(np.sort(np.stack([one, other], axis=1), axis=1), axis=0)
    return Overlaps(once[:, 0], once[:, 1], np.ones(len(once)))


def _grown(rle: geometry.Rle) -> geometry.Rle:
    """A mask with one more pixel all around, as far as the picture goes."""
    height, width = rle["size"]
    crop, (x, y) = geometry.crop(rle)
    wide = cv2.dilate(np.pad(crop, 1), np.ones((3, 3), np.uint8))
    top, left = max(0, 1 - y), max(0, 1 - x)
    wide = wide[top : height - y + 1, left : width - x + 1]
    return geometry.encode_crop(wide, (x - 1 + left, y - 1 + top), height, width)
