"""All instances of a picture of any size: windows, scales, passes, models and rules together."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.errors import FindingError
from analysis.finding.dedupe import Deduped, dedupe
from analysis.finding.ensemble import (
    CALIBRATED_CONFIDENCE,
    check_ensemble,
    elected,
    uncalibrated,
    votes_needed,
)
from analysis.finding.models import FindingModel, all_classes
from analysis.finding.overlaps import Floats, Indices
from analysis.finding.passes import goes_on, variants
from analysis.finding.pool import Pool, together
from analysis.finding.quality import confidence_factor, quality
from analysis.finding.rules import make_rules
from analysis.finding.searching import AT_ONCE, Asked, Ready, Search, found_together
from analysis.finding.settings import ClassLimits, FindingSettings, class_limits
from analysis.finding.windows import Picture, View, Window, whole
from trainables.contract import Adjustable, Reporting
from trainables.datasets import geometry
from trainables.results import Instances

log = logging.getLogger(__name__)

_LEAST_FACTOR: Final = 0.7  # of `confidence_factor`

_HELD: Final = 0.6
"""Share of an instance inside another of alike size, found in another search, from which on the two
are one object: at a coarse scale the outline of a small particle may be much too wide."""

_ALIKE: Final = 0.25
"""Least ratio of two areas that are alike: a smaller particle may well lie on a larger one."""

_MARGIN: Final = 1e-6
"""Below the confidence that is told to a model: some leave out a score that equals it."""


_OUT_OF_MEMORY: Final = "OutOfMemoryError"  # torch's, by its name: no framework is imported here


@dataclass(frozen=True)
class Found:
    """The instances of a picture, and how they were found.

    Attributes:
        instances: The instances, best first, each once; classes are indices in `Finder.classes`.
            Boxes are those of the masks, where there are masks.
        capped: Whether a model met its limit of instances with some that count: weaker ones may be
            missing.
        windows: Windows that models were shown, of all scales and passes.
        passes: Passes.
        scales: Scales that were searched.
        n_cut: Instances of which only a part was seen: a window cut them, and no other had the
            rest.
        removed: Rule to the number of instances that it removed: minimum sizes, regions that are
            not searched, and the rules between classes.
        confidence: Class name to the lowest score that counted in this picture.
        quality: Quality of the picture in [0, 1].
    """

    instances: Instances
    capped: bool
    windows: int
    passes: int
    scales: tuple[float, ...]
    n_cut: int
    removed: Mapping[str, int]
    confidence: Mapping[str, float]
    quality: float


class Finder:
    """Finds all instances of pictures with one model or several.

    Models are told what to report (`Adjustable`): all that the settings count, and as many
    instances as they ask for.

    Attributes:
        classes: Names of the classes; of several models each once, the first model's first.
        settings: Settings.
    """

    def __init__(
        self, models: Sequence[FindingModel], settings: FindingSettings, at_once: int = AT_ONCE
    ) -> None:
        """Check settings and models against each other.

        Args:
            models: The models.
            settings: Settings.
            at_once: Pictures or windows that are shown to a model in one call; halved where the
                device's memory is too small for them.

        Raises:
            FindingError: They do not belong together.
        """
        self.classes = all_classes(models)
        self.settings = settings
        self._models = tuple(models)
        self._at_once = at_once
        if len(models) > 1:
            check_ensemble(models, settings.ensemble, settings.confidence is not None)
        self._votes = len(models) > 1 and settings.ensemble.scores == "vote"
        self._calibrates = len(models) > 1 and not self._votes
        self._limits = tuple(self._limits_of(model) for model in models)
        self._rules = make_rules(settings.rules, self.classes)
        for model, limits in zip(models, self._limits, strict=True):
            _tell(model, settings.max_det, self._floor(model, limits, _LEAST_FACTOR))

    def find(self, picture: Picture, excluded: Sequence[Window] = ()) -> Found:
        """Find the instances of a picture.

        Args:
            picture: (H, W, 3) uint8 RGB, of any size.
            excluded: Rectangles that are not searched, such as a microscope's data bar: a strip
                along a border is cut off before, and no instance has its centroid in one.

        Raises:
            FindingError: Nothing of the picture is left to search.
        """
        return self.find_all([picture], [excluded])[0]

    def find_all(
        self, pictures: Sequence[Picture], excluded: Sequence[Sequence[Window]] | None = None
    ) -> list[Found]:
        """Find the instances of several pictures, which models are shown together.

        What is found in a picture does not depend on the others, but for the rounding of scores.

        Args:
            pictures: (H, W, 3) uint8 RGB each.
            excluded: Rectangles of each that are not searched; None for none.

        Raises:
            FindingError: Nothing of a picture is left to search.
        """
        regions = excluded if excluded is not None else [()] * len(pictures)
        while True:
            try:
                return self._find_all(pictures, regions)
            except Exception as error:
                if type(error).__name__ != _OUT_OF_MEMORY or self._at_once == 1:
                    raise
            self._at_once = -(-self._at_once // 2)
            log.info("the device's memory is too small: now %d pictures at once", self._at_once)

    def _find_all(
        self, pictures: Sequence[Picture], regions: Sequence[Sequence[Window]]
    ) -> list[Found]:
        """As `find_all`, with so many at once as are now held to be possible."""
        parts = [_part(*given) for given in zip(pictures, regions, strict=True)]
        asked = self._asked(1.0)
        ready = found_together([part for _, part in parts], asked, self.settings, self._at_once)
        return [
            self._found(whole(picture), *part, holes, known)
            for picture, part, holes, known in zip(pictures, parts, regions, ready, strict=True)
        ]

    def _found(
        self,
        picture: Window,
        region: Window,
        part: Picture,
        excluded: Sequence[Window],
        ready: Ready,
    ) -> Found:
        """The instances of one picture, of which the part in a region is searched."""
        value = quality(part)
        factor = confidence_factor(value) if self.settings.confidence_by_quality else 1.0
        search = Search(part, self._asked(factor), self.settings, ready, self._at_once)
        holes = [_moved(hole.meets(region), region) for hole in excluded]
        found, removed, totals = self._passes(search, holes)
        found, by_rules = self._rules.apply(found)
        return Found(
            _in_picture(found, region, picture),
            search.capped,
            search.n_windows,
            len(totals),
            tuple(sorted(search.scales)),
            int(found.cut.sum()),
            {**removed, **by_rules},
            self._confidences(factor),
            value,
        )

    def _passes(
        self, search: Search, holes: Sequence[Window]
    ) -> tuple[Pool, dict[str, int], list[int]]:
        """Search until a further pass is not worth it."""
        plain, *further = variants(self.settings.passes, search.windowed)
        search.look(plain, None)
        found, removed = self._once(search, holes)
        totals = [len(found)]
        for variant in further:
            if not goes_on(totals, self.settings.passes):
                break
            search.look(variant, found)
            found, removed = self._once(search, holes)
            totals.append(len(found))
        return found, removed, totals

    def _once(self, search: Search, holes: Sequence[Window]) -> tuple[Pool, dict[str, int]]:
        """Every object of all searches so far once, without those that do not count."""
        pool = together(search.pools)
        if self._votes:
            pool = self._elected(pool, np.array(search.owners))
        else:
            pool = pool.take(self._deduped(pool).kept)
        large = pool.areas >= self._limits[0].min_size_px[pool.classes]
        outside = ~_centred_in(pool, holes)
        removed = {
            "minimum size": int((~large).sum()),
            "excluded regions": int((large & ~outside).sum()),
        }
        return pool.take(large & outside), removed

    def _elected(self, pool: Pool, owners: Indices) -> Pool:
        """The objects that enough models found, each model's finds once before."""
        each = []
        for number in range(len(self._models)):
            own = pool.take(owners[pool.sources] == number)
            each.append(own.take(self._deduped(own).kept).of_source(number))
        all_found = together(each)
        needed = votes_needed(self.settings.ensemble, len(self._models))
        return elected(all_found, self._deduped(all_found), needed, len(self._models))

    def _deduped(self, pool: Pool) -> Deduped:
        """Each object once: by its class's limit in one search, by the one between searches."""
        iou, between = self._limits[0].iou, self.settings.between_searches_iou

        def limit(first: Indices, second: Indices) -> Floats:
            """Overlap above which the second of each pair is the first found once more."""
            one, other = pool.classes[first], pool.classes[second]
            most = iou[one, other]
            closer = (one == other) & (pool.sources[first] != pool.sources[second])
            same = np.minimum(between, _held_iou(pool, first, second))
            return np.where(closer, np.minimum(most, same), most)

        return dedupe(pool, limit)

    # --- confidences

    def _limits_of(self, model: FindingModel) -> ClassLimits:
        """What counts for a model: its own best confidence where the settings give none.

        Raises:
            FindingError: Nobody gives one, or the settings name an unknown class.
        """
        default = CALIBRATED_CONFIDENCE if self._calibrates else model.confidence
        limits = class_limits(self.settings, self.classes, default)
        unsaid = [self.classes[i] for i in np.flatnonzero(np.isnan(limits.confidence))]
        if unsaid:
            raise FindingError(
                f"finding.confidence: expected one for {', '.join(unsaid)}, as no best confidence "
                f"is known of {model.name}, got none"
            )
        return limits

    def _floor(self, model: FindingModel, limits: ClassLimits, factor: float) -> float:
        """Lowest own score of a model that counts for any of its classes."""
        known = [self.classes.index(name) for name in model.predictor.classes]
        if not self.settings.confidence_by_quality:
            factor = 1.0
        lowest = float(limits.confidence[known].min()) * factor
        if self._calibrates and model.confidence is not None:
            return uncalibrated(lowest, model.confidence)
        return lowest

    def _asked(self, factor: float) -> list[Asked]:
        return [
            Asked(
                model,
                np.array([self.classes.index(name) for name in model.predictor.classes], np.int64),
                limits.confidence * factor,
                limits.scaled,
                self._calibrates,
                self._floor(model, limits, factor),
            )
            for model, limits in zip(self._models, self._limits, strict=True)
        ]

    def _confidences(self, factor: float) -> dict[str, float]:
        """Lowest score that counted by class; where models vote, the lowest of any model."""
        lowest = np.min([limits.confidence for limits in self._limits], axis=0) * factor
        return {name: float(value) for name, value in zip(self.classes, lowest, strict=True)}


def _held_iou(pool: Pool, first: Indices, second: Indices) -> Floats:
    """Overlap from which the smaller of two instances lies in the other and is the same object.

    It is of alike size, or a part that a window cut; else the limit is 1.
    """
    areas = np.stack([pool.areas[first], pool.areas[second]])
    small, large = areas.min(axis=0), areas.max(axis=0)
    part = np.where(areas[0] < areas[1], pool.cut[first], pool.cut[second])
    held = _HELD * small / ((1 - _HELD) * small + large)
    return np.where((small >= _ALIKE * large) | part, held, 1.0)


def _part(picture: Picture, excluded: Sequence[Window]) -> tuple[Window, Picture]:
    """The region of a picture that is searched, and its pixels.

    Raises:
        FindingError: There is none.
    """
    region = searched(whole(picture), excluded)
    if not region.width * region.height:
        raise FindingError(
            f"expected a part of the picture to search, got {picture.shape[1]} x "
            f"{picture.shape[0]} px of which all is left out"
        )
    return region, picture[region.top : region.bottom, region.left : region.right]


def searched(picture: Window, excluded: Sequence[Window]) -> Window:
    """The part of a picture that is left when excluded strips along its borders are cut off.

    Example:
        >>> searched(Window(0, 0, 100, 80), [Window(0, 70, 100, 80), Window(60, 60, 90, 70)])
        Window(left=0, top=0, right=100, bottom=70)
    """
    left = list(picture)
    for _ in excluded:  # a strip may lie along a border only once another one is cut off
        for hole in excluded:
            for axis in (0, 1):
                _cut_off(left, hole, axis)
    return Window(*left)


def _cut_off(left: list[int], hole: Window, axis: int) -> None:
    """Cut a strip off what is left of a picture, if it lies along a border from end to end."""
    across, end = 1 - axis, axis + 2
    if hole[across] > left[across] or hole[across + 2] < left[across + 2]:
        return
    if hole[axis] <= left[axis]:
        left[axis] = max(left[axis], min(hole[end], left[end]))
    elif hole[end] >= left[end]:
        left[end] = min(left[end], max(hole[axis], left[axis]))


def _tell(model: FindingModel, max_det: int | None, floor: float) -> None:
    """Tell a model what to report.

    Raises:
        FindingError: It cannot report as many instances as are asked for.
    """
    predictor = model.predictor
    if isinstance(predictor, Adjustable):
        predictor.reporting = Reporting(
            max_det or predictor.reporting.max_det, max(0.0, floor - _MARGIN)
        )
        most = predictor.reporting.max_det
        if max_det is not None and most < max_det:  # an ONNX file has places for so many
            raise FindingError(
                f"finding.max_det: expected at most {most}, for which {model.name} has room, got "
                f"{max_det}"
            )
    elif max_det is not None and model.max_det is not None and model.max_det < max_det:
        raise FindingError(
            f"finding.max_det: expected at most {model.max_det}, the limit of {model.name}, which "
            f"cannot be changed, got {max_det}"
        )


def _moved(window: Window, region: Window) -> Window:
    left, top = region.left, region.top
    return Window(window.left - left, window.top - top, window.right - left, window.bottom - top)


def _centred_in(pool: Pool, holes: Sequence[Window]) -> npt.NDArray[np.bool_]:
    """Whether each instance has its centroid in one of some rectangles."""
    inside = np.zeros(len(pool), np.bool_)
    holes = [hole for hole in holes if hole.width and hole.height]
    if not holes or not len(pool):
        return inside
    x, y = np.array([_centroid(pool, i) for i in range(len(pool))]).T
    for hole in holes:
        inside |= (x >= hole.left) & (x < hole.right) & (y >= hole.top) & (y < hole.bottom)
    return inside


def _centroid(pool: Pool, index: int) -> tuple[float, float]:
    if pool.masks is None:
        x1, y1, x2, y2 = pool.boxes[index].tolist()
        return (x1 + x2) / 2, (y1 + y2) / 2
    crop, (left, top) = geometry.crop(dict(pool.masks[index]))
    rows, columns = np.nonzero(crop)
    return float(columns.mean()) + left + 0.5, float(rows.mean()) + top + 0.5


def _in_picture(pool: Pool, region: Window, picture: Window) -> Instances:
    """Instances of the searched part in the pixels of the whole picture."""
    if region == picture:
        return pool.instances()
    shape = (picture.height, picture.width)
    return View(region).placed(pool.instances(), shape).instances()
