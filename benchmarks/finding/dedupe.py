"""De-duplication of thousands of masks of one picture, against libraries that do the same.

    python -m benchmarks.finding.dedupe [--masks 5000 20000] [--side 4096] [--turns 3]

Discs of 6 to 30 px radius anywhere in a picture, every second one a copy of the last that is moved
by up to a pixel. Printed are CPU seconds (the least of the turns), the memory that was taken beyond
the masks themselves, and ratios in the same run: to pycocotools on all pairs (only where its table
of pairs takes less than 1 GB) and to supervision's suppression on compact masks, if installed.
"""

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from analysis.finding.dedupe import dedupe
from analysis.finding.pool import Pool, pool_of
from trainables.datasets import geometry

IOU = 0.5

MOST_PAIRS = 120_000_000  # of 8 bytes each


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    for n in given.masks:
        found = drawn(n, given.side)
        before = peak_mb()
        seconds, kept = least(partial(suppressed, found), given.turns)
        print(
            f"{n} masks: {kept} stay, {seconds:.2f} CPU s, {peak_mb() - before:.0f} MB more than "
            "the masks"
        )
        if n * n <= MOST_PAIRS:
            compare("pycocotools, all pairs", partial(all_pairs, found), seconds)
        if find_spec("supervision"):
            compare("supervision", partial(supervised, found), seconds)


def drawn(n: int, side: int) -> Pool:
    """Instances with distinct scores."""
    rng = np.random.default_rng(0)
    masks: list[dict[str, Any]] = []
    for i in range(n):
        if i % 2 == 0:
            x, y, radius = *rng.uniform(0, side, 2), rng.uniform(6, 30)
        dx, dy = rng.uniform(-1, 1, 2)
        masks.append(geometry.disc(x + dx, y + dy, radius, side, side))
    return pool_of(np.zeros((n, 4)), rng.permutation(n) / n, np.zeros(n), masks)


def compare(name: str, run: Callable[[], int], ours: float) -> None:
    """Measure another way once, and print how much longer it took."""
    seconds, kept = least(run, 1)
    print(f"    {name}: {kept} stay, {seconds:.2f} CPU s, {seconds / ours:.1f} times ours")


def suppressed(found: Pool) -> int:
    """Our own suppression."""
    return len(dedupe(found, IOU).kept)


def all_pairs(found: Pool) -> int:
    """Suppression over the whole table of overlaps."""
    order = np.argsort(-found.scores, kind="stable")
    masks = [dict((found.masks or ())[i]) for i in order]
    same = np.asarray(coco_mask.iou(masks, masks, [0] * len(masks))) > IOU
    free = np.ones(len(masks), np.bool_)
    for i in range(len(masks)):
        if free[i]:
            free[i + 1 :] &= ~same[i, i + 1 :]
    return int(free.sum())


def supervised(found: Pool) -> int:
    """The suppression of supervision on its compact masks, their making included."""
    library = import_module("supervision")
    masks = library.CompactMask.from_coco_rle(
        [{**mask, "counts": mask["counts"].decode()} for mask in found.masks or ()],
        found.boxes,
        tuple((found.masks or ())[0]["size"]),
    )
    table = np.column_stack([found.boxes, found.scores, found.classes])
    return int(library.mask_non_max_suppression(table, masks, IOU).sum())


def least(run: Callable[[], int], turns: int) -> tuple[float, int]:
    """CPU seconds of the fastest turn, and what it returned."""
    took = []
    for _ in range(turns):
        started = time.process_time()
        result = run()
        took.append(time.process_time() - started)
    return min(took), result


def peak_mb() -> float:
    """Most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
