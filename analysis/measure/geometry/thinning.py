"""Thinning of masks to skeletons, 64 pixels a step.

The rule for a pixel is a formula of its eight neighbours. Pixels are packed as bits, so that one
operation on a word applies it to 64 of them: six times faster than a table that is asked for each.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.measure.geometry.strips import Pixels

Words = npt.NDArray[np.uint64]
"""(h, L / 64) words, little-endian: bit k of word j of a row is pixel 64 j + k of the row."""

_BITS: Final = 64
_ONE: Final = np.uint64(1)
_LAST: Final = np.uint64(_BITS - 1)


def thinned(pixels: Pixels) -> Pixels:
    """Skeletons of the masks of a strip, one pixel wide; no part and no hole is lost.

    Source: Guo and Hall 1989, "Parallel thinning with two-subiteration algorithms", method A1.

    Args:
        pixels: (L, h) uint8 of 0 and 1 with empty rows and columns at its edges, a turned part of
            the picture.
    """
    length, height = pixels.shape
    row = -(-length // _BITS) * _BITS
    upright = np.zeros((height, row), np.uint8)
    upright[:, :length] = pixels.T
    words = np.packbits(upright, axis=1, bitorder="little").view("<u8")
    changed = True
    while changed:
        changed = _thin(words, first=True) | _thin(words, first=False)
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return np.ascontiguousarray(bits[:, :length].T)


def _thin(words: Words, *, first: bool) -> bool:
    """Half a step: delete pixels on one side of the masks; returns whether there were any."""
    left, right = _moved(words)
    p9, p2, p3 = left[:-2], words[:-2], right[:-2]
    p8, here, p4 = left[1:-1], words[1:-1], right[1:-1]
    p7, p6, p5 = left[2:], words[2:], right[2:]
    p23, p45, p67, p89 = p2 | p3, p4 | p5, p6 | p7, p8 | p9
    p34, p56, p78, p92 = p3 | p4, p5 | p6, p7 | p8, p9 | p2
    a, b, c, d = ~p2 & p34, ~p4 & p56, ~p6 & p78, ~p8 & p92
    one_part = (a ^ b ^ c ^ d) & ~((a & b) | (c & d))
    one_half, other_half = p92 & p34, p56 & p78
    two = one_half | other_half | ((p92 | p34) & (p56 | p78))
    one_other, other_other = p23 & p45, p67 & p89
    two &= one_other | other_other | ((p23 | p45) & (p67 | p89))
    four = one_half & other_half & one_other & other_other
    kept = ((p23 | ~p5) & p4) if first else ((p67 | ~p9) & p8)
    deleted = here & one_part & two & ~(four | kept)
    here ^= deleted
    return bool(deleted.any())


def _moved(words: Words) -> tuple[Words, Words]:
    """Every pixel's left, and every pixel's right neighbour in its place.

    The first and the last pixel of each row are empty, so it does not matter that what leaves a
    row enters the next one.
    """
    left, right = words << _ONE, words >> _ONE
    left.reshape(-1)[1:] |= words.reshape(-1)[:-1] >> _LAST
    right.reshape(-1)[:-1] |= words.reshape(-1)[1:] << _LAST
    return left, right
