"""Each object once: suppression of the weaker of two instances that are one object.

Exact on masks (boxes where there are none), and whatever the order in which instances come: they
are ranked by score, then area, then position, with those that a window cut after all others, and
each is dropped that overlaps a better one which stays by more than the limit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.finding.overlaps import Floats, Indices, Overlaps, overlaps
from analysis.finding.pool import Pool

Limit = Callable[[Indices, Indices], Floats]
"""Function from the two indices of each pair, (P,) and (P,), to the overlap above which they are
one object; 1 where they are two in any case."""


@dataclass(frozen=True)
class Deduped:
    """The instances that stay, and for whose sake the others went.

    Attributes:
        kept: (K,) indices of those that stay, best first.
        keeper: (N,) index of the one that each stands for: itself, or the best that suppressed it.
    """

    kept: Indices
    keeper: Indices


def dedupe(pool: Pool, limit: float | Limit) -> Deduped:
    """Find each object once.

    Args:
        pool: Instances of one picture. Masks are compared where there are some, else boxes.
        limit: Intersection over union above which two instances are one object, or a function that
            says it of each pair.
    """
    rank = pool.ranked()
    rank = rank[np.argsort(pool.cut[rank], kind="stable")]
    return suppress(rank, overlaps(pool.boxes, pool.masks), limit)


def suppress(rank: Indices, pairs: Overlaps, limit: float | Limit) -> Deduped:
    """Drop of each overlapping pair the one that comes later, if the other stays.

    Args:
        rank: (N,) indices of the instances, best first.
        pairs: Pairs that overlap.
        limit: As `dedupe` takes it.
    """
    most = limit(pairs.first, pairs.second) if callable(limit) else limit
    same = pairs.iou > most
    place = np.empty(len(rank), np.int64)
    place[rank] = np.arange(len(rank))
    one, other = place[pairs.first[same]], place[pairs.second[same]]
    better, worse = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort([worse, better])
    keeper = np.arange(len(rank))
    for a, b in zip(better[order].tolist(), worse[order].tolist(), strict=True):
        if keeper[a] == a and keeper[b] == b:
            keeper[b] = a
    stands_for = np.empty(len(rank), np.int64)
    stands_for[rank] = rank[keeper]
    return Deduped(rank[keeper == np.arange(len(rank))], stands_for)
