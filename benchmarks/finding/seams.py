"""Areas of particles on the seams of windows, where every window sees its outlines a bit elsewhere.

    python -m benchmarks.finding.seams [--sets 5]

220 discs of 8 to 70 px radius, half of them touching another one, in a picture of 2400 px a side
that is searched in windows of 512 px. A model that knows them finds each in every window that shows
it: with its very pixels; moved by up to a pixel across and down, by whole pixels or by any part of
one; or with an outline whose 64 pieces lie up to a pixel in or out. Printed is how many discs stay
one each, how many of these have their area within 1 %, the same for discs above 20 px, and the
largest error, for windows that have 64 or 128 px in common. Discs that the picture's border cuts
count as found, not with their areas. Below each line stands the same of the single windows that
show a disc whole: no joining can make these better than they are.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from analysis.finding.pool import Pool, together
from analysis.finding.seams import Tiling, join
from analysis.finding.windows import View, filled, layout, whole
from tests.support.models.seen_particles import DiscFinder, packed, places
from trainables.datasets import geometry

SIDE, WINDOW, N = 2400, 512, 220

RADII: Final = (8.0, 70.0)

KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "very pixels": {},
    "moved by whole pixels, up to 1": {"moved_px": 1.0, "whole_px": True},
    "moved by up to 1 px": {"moved_px": 1.0},
    "outline up to 1 px off": {"noise_px": 1.0},
    "outline up to 0.25 px off": {"noise_px": 0.25},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=5)
    given = parser.parse_args()
    print("outlines | overlap | once | within 1 % | above 20 px | largest error")
    for kind, wrong in KINDS.items():
        for overlap in (64, 128):
            sets = [measured(seed, overlap, wrong) for seed in range(given.sets)]
            once = f"{sum(one.once for one in sets)} of {given.sets} sets"
            for what, lot in (("joined", [s.joined for s in sets]), ("", [s.views for s in sets])):
                print(
                    kind, overlap, once if what else "one view", *_cells(lot), sep=" | ", flush=True
                )


@dataclass(frozen=True)
class Result:
    """The discs of one set, as joined and as single windows show them whole.

    Attributes:
        once: Whether each disc is found once.
        joined: Radii of the discs inside the picture, and relative errors of their areas.
        views: The same of every view of a window that shows one whole.
    """

    once: bool
    joined: tuple[Any, Any]
    views: tuple[Any, Any]


def measured(seed: int, overlap: int, wrong: Mapping[str, Any]) -> Result:
    """What becomes of a set of discs."""
    discs = packed(N, SIDE, RADII, seed)
    model = DiscFinder(discs, **wrong)
    picture = places(SIDE, SIDE)
    region = whole(picture)
    windows = [filled(cut, WINDOW, region) for cut in layout(region, WINDOW, overlap / WINDOW)]
    pools: list[Pool] = []
    for number, window in enumerate(windows):
        view = View(window)
        pools.append(view.placed(model([view.pixels(picture)])[0], (SIDE, SIDE), number))
    seen = together(pools)
    joined = join(seen, Tiling(windows, region))
    at, masks = _matched(joined, discs)
    of_views, _ = _matched(seen, discs)
    frames = np.array(windows)[seen.sources]
    whole_ones = ((seen.boxes[:, :2] > frames[:, :2]) & (seen.boxes[:, 2:] < frames[:, 2:])).all(1)
    kept = whole_ones & (of_views >= 0)
    return Result(
        sorted(at.tolist()) == list(range(N)),
        _errors(joined.areas, at, masks, discs),
        _errors(seen.areas[kept], of_views[kept], masks, discs),
    )


def _matched(pool: Pool, discs: Any) -> tuple[npt.NDArray[np.int64], list[dict[str, Any]]]:
    masks = [geometry.disc(x, y, radius, SIDE, SIDE) for x, y, radius in discs]
    found = [dict(mask) for mask in pool.masks or ()]
    iou = np.asarray(coco_mask.iou(found, masks, [0] * len(masks)))
    return np.where(iou.max(axis=1) > 0.5, iou.argmax(axis=1), -1), masks


def _errors(areas: Any, at: Any, masks: list[dict[str, Any]], discs: Any) -> tuple[Any, Any]:
    x, y, radius = np.array(discs)[at].T
    inside = np.minimum.reduce([x, y, SIDE - x, SIDE - y]) > radius + 2
    true = np.array([geometry.area(mask) for mask in masks], float)[at]
    return radius[inside], np.abs(areas / true - 1)[inside]


def _cells(parts: list[tuple[Any, Any]]) -> list[str]:
    radii, errors = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    large = errors[radii > 20]
    return [
        f"{(errors <= 0.01).sum()} of {len(errors)}",
        f"{(large <= 0.01).sum()} of {len(large)}",
        f"{errors.max():.1%}",
    ]


if __name__ == "__main__":
    main()
