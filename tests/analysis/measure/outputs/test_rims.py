"""Outlines along the edges of pixels, filled again by pycocotools."""

import numpy as np
import pytest

from analysis.measure.geometry.runs import runs_of
from analysis.measure.outputs.rims import Rims, rims
from trainables.datasets import geometry

MASKS = {
    "a pixel": ["1"],
    "touching at a corner": ["10", "01"],
    "touching at the other corner": ["01", "10"],
    "a ring": ["111", "101", "111"],
    "two holes that touch at a corner": ["1111", "1011", "1101", "1111"],
    "a hole at a corner of the rim": ["111", "101", "110"],
    "two parts": ["110011"],
    "a cross of diagonals": ["101", "010", "101"],
}


def drawn(rows: list[str]) -> np.ndarray:
    mask = np.zeros((12, 14), np.uint8)
    for y, row in enumerate(rows, start=2):
        mask[y, 3 : 3 + len(row)] = [int(letter) for letter in row]
    return mask


def outlines(mask: np.ndarray) -> Rims:
    [found] = rims(runs_of([geometry.encode_mask(mask)]))
    return found


def filled(mask: np.ndarray) -> np.ndarray:
    """The pixels whose centres lie inside an odd number of a mask's outlines."""
    outer, holes = outlines(mask)
    inside = np.zeros(mask.shape, int)
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    for rim in [*outer, *holes]:
        for (x0, y0), (x1, y1) in zip(rim, np.roll(rim, -1, axis=0), strict=True):
            if x0 == x1:  # a ray to the left crosses it
                between = (rows > min(y0, y1)) & (rows < max(y0, y1))
                inside += between & (columns > x0)
    return inside % 2


@pytest.mark.parametrize("rows", MASKS.values(), ids=MASKS)
def test_outlines_enclose_the_pixels_of_their_mask(rows: list[str]) -> None:
    mask = drawn(rows)
    assert (filled(mask) == mask).all()


@pytest.mark.parametrize(
    ("name", "parts", "holes"),
    [("touching at a corner", 2, 0), ("a ring", 1, 1), ("two parts", 2, 0), ("a pixel", 1, 0)],
)
def test_parts_and_holes_are_told_apart(name: str, parts: int, holes: int) -> None:
    outer, inner = outlines(drawn(MASKS[name]))
    assert (len(outer), len(inner)) == (parts, holes)


def test_an_outline_has_corners_alone() -> None:
    [rim], [] = outlines(drawn(["1111", "1111"]))
    assert sorted(map(tuple, rim.tolist())) == [(3, 2), (3, 4), (7, 2), (7, 4)]


def test_random_masks_are_enclosed_again() -> None:
    random = np.random.default_rng(0)
    for share in (0.2, 0.5, 0.8):
        mask = (random.random((30, 40)) < share).astype(np.uint8)
        assert (filled(mask) == mask).all()


def test_an_empty_mask_has_no_outline() -> None:
    assert outlines(np.zeros((4, 4), np.uint8)) == ([], [])
