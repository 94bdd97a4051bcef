"""One search of a picture: a model, a scale, a pass; and what it found, in the picture's pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.finding.ensemble import calibrated
from analysis.finding.models import FindingModel
from analysis.finding.overlaps import Floats, Indices
from analysis.finding.passes import PLAIN, Variant, painted, turned, turned_back
from analysis.finding.pool import Pool, together
from analysis.finding.scales import searched_scales, views_at
from analysis.finding.seams import EDGE_PX, Tiling, join
from analysis.finding.settings import FindingSettings
from analysis.finding.windows import Picture, View, whole
from trainables.results import Instances

AT_ONCE: Final = 4
"""Windows that are held in memory and shown to a model in one call, unless someone says another."""

Ready = dict[tuple[int, View], Instances]
"""What models found in views of the plain picture, by the model's index and the view."""


@dataclass(frozen=True)
class Asked:
    """A model, and what is asked of it.

    Attributes:
        model: The model.
        classes: (K,) index in the list of all classes of each of the model's own.
        confidence: (C,) lowest score of each class of all, after calibration.
        scaled: (C,) whether each class is looked for at scales other than 1.
        calibrate: Whether scores are brought to the scale that all models share.
        floor: Lowest own score of the model that can count for any class.
    """

    model: FindingModel
    classes: Indices
    confidence: Floats
    scaled: npt.NDArray[np.bool_]
    calibrate: bool
    floor: float


@dataclass
class Search:
    """The searches of one picture, and what they came to.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        asked: The models.
        settings: Settings.
        ready: What was found in some views before, together with other pictures.
        at_once: Windows that are shown to a model in one call.
        pools: What each search found, in the pixels of the picture.
        owners: Index of the model of each search; its position is the search's number.
        n_windows: Windows that were shown to a model so far.
        capped: Whether a model met its limit with instances that count.
        scales: Scales that were searched.
    """

    picture: Picture
    asked: Sequence[Asked]
    settings: FindingSettings
    ready: Ready = field(default_factory=dict)
    at_once: int = AT_ONCE
    pools: list[Pool] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    n_windows: int = 0
    capped: bool = False
    scales: set[float] = field(default_factory=set)

    @property
    def windowed(self) -> bool:
        """Whether some model is shown more than one window in a pass."""
        scales = (1.0, 1.5) if isinstance(self.settings.scales, str) else self.settings.scales
        shape = self.picture.shape
        return any(
            len(views_at(scale, shape, one.model.picture_px, self.settings.windows)) > 1
            for scale in scales
            for one in self.asked
        )

    def look(self, variant: Variant, found: Pool | None) -> None:
        """Search once more, with all models and at all scales.

        Args:
            variant: How this pass differs.
            found: What was found so far; None before the first pass.
        """
        picture = self.picture
        if variant.masked and found is not None:
            picture = painted(picture, found)
        shown = turned(picture, variant)
        for number in range(len(self.asked)):
            at_scale = partial(self._at_scale, shown, number, variant)
            scales = searched_scales(self.settings, at_scale)
            self.scales |= set(scales)

    def _at_scale(self, shown: Picture, number: int, variant: Variant, scale: float) -> int:
        """Search with a model at a scale; returns how many instances were found."""
        one = self.asked[number]
        side, windows = one.model.picture_px, self.settings.windows
        views = views_at(scale, shown.shape, side, windows, variant.shift)
        found = self._seen(shown, number, views, variant == PLAIN)
        tiling = Tiling([view.window for view in views], whole(shown), EDGE_PX / min(scale, 1.0))
        pool = join(found, tiling)
        if scale > 1:  # a part of a large particle, which smaller scales show whole
            pool = pool.take(~pool.cut)
        if scale != 1:
            pool = pool.take(one.scaled[pool.classes])
        pool = turned_back(pool, variant, shown.shape).of_source(len(self.pools))
        self.pools.append(pool)
        self.owners.append(number)
        return len(pool)

    def _seen(self, shown: Picture, number: int, views: Sequence[View], plain: bool) -> Pool:
        """What a model finds in some views of a picture; the views are the sources.

        Args:
            shown: The picture as this pass shows it.
            number: Index of the model.
            views: The views.
            plain: Whether the pass shows the picture as it is.
        """
        one, shape = self.asked[number], (shown.shape[0], shown.shape[1])
        parts = []
        for start in range(0, len(views), self.at_once):
            some = views[start : start + self.at_once]
            self.n_windows += len(some)
            results = [self.ready[number, view] for view in some if (number, view) in self.ready]
            if not plain or len(results) < len(some):
                results = one.model.predictor([view.pixels(shown) for view in some])
            for source, (view, result) in enumerate(zip(some, results, strict=True), start):
                self.capped |= _met_limit(result, one)
                parts.append(view.placed(_counting(result, one), shape, source))
        return together(parts)


def found_together(
    pictures: Sequence[Picture], asked: Sequence[Asked], settings: FindingSettings, at_once: int
) -> list[Ready]:
    """What models find first in pictures that are shown in a single view, several at a time.

    Args:
        pictures: The pictures.
        asked: The models.
        settings: Settings.
        at_once: Pictures that are shown to a model in one call.

    Returns:
        One a picture; empty for one that is shown in several views.
    """
    ready: list[Ready] = [{} for _ in pictures]
    first = 1.0 if isinstance(settings.scales, str) else settings.scales[0]
    for number, one in enumerate(asked):
        side = one.model.picture_px
        views = [views_at(first, picture.shape, side, settings.windows) for picture in pictures]
        single = [i for i, some in enumerate(views) if len(some) == 1]
        for start in range(0, len(single), at_once):
            some = single[start : start + at_once]
            results = one.model.predictor([views[i][0].pixels(pictures[i]) for i in some])
            for i, result in zip(some, results, strict=True):
                ready[i][number, views[i][0]] = result
    return ready


def _met_limit(found: Instances, one: Asked) -> bool:
    """Whether a model may have left out instances that count."""
    limit = one.model.limit
    full = found.capped or (limit is not None and len(found) >= limit)
    return bool(full and len(found) and found.scores[-1] >= one.floor)


def _counting(found: Instances, one: Asked) -> Instances:
    """The instances whose scores count, their classes among all, their scores as asked for."""
    scores = found.scores
    if one.calibrate and one.model.confidence is not None:
        scores = calibrated(scores.astype(np.float64), one.model.confidence).astype(np.float32)
    classes = one.classes[found.classes]
    # As scores are: 0.7 is more than a score of 0.7 otherwise.
    kept = np.flatnonzero(scores >= one.confidence[classes].astype(np.float32))
    masks = None if found.masks is None else tuple(found.masks[i] for i in kept.tolist())
    return Instances(found.boxes[kept].reshape(-1, 4), scores[kept], classes[kept], masks)
