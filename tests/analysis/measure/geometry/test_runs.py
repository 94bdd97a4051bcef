"""Run-length encodings as arrays of runs; pycocotools is the judge."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from analysis.measure.geometry.runs import Runs, runs_of
from trainables.datasets import geometry


def drawn(runs: Runs) -> np.ndarray:
    masks = np.zeros((runs.n_masks, runs.height, runs.width), np.uint8)
    for mask, column, first, end in zip(runs.mask, runs.column, runs.first, runs.end, strict=True):
        masks[runs.present[mask], first:end, column] += 1
    return masks


def test_runs_are_the_pixels_of_the_encodings() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((23, 31)) < share for share in (0, 0.02, 0.5, 0.98, 1) for _ in range(8)]
    rles = [geometry.encode_mask(mask) for mask in masks]
    runs = runs_of(rles)
    assert (drawn(runs) == np.array(masks)).all()
    kept = [i for i, mask in enumerate(masks) if mask.any()]
    assert runs.present.tolist() == kept
    assert runs.areas.tolist() == [masks[i].sum() for i in kept]
    boxes = np.array([coco_mask.toBbox(rles[i]) for i in kept])
    boxes[:, 2:] += boxes[:, :2]
    assert runs.boxes.tolist() == boxes.tolist()


def test_some_masks_are_taken_in_the_order_asked_for() -> None:
    masks = [np.eye(7, k=k, dtype=np.uint8) for k in range(4)]
    runs = runs_of([geometry.encode_mask(mask) for mask in masks]).take(np.array([3, 0]))
    assert runs.areas.tolist() == [4, 7]
    assert (drawn(runs)[[3, 0]] == np.array(masks)[[3, 0]]).all()


def test_text_and_lists_of_counts_are_read_too() -> None:
    mask = np.zeros((5, 4), np.uint8)
    mask[1:3, 1], mask[:, 2] = 1, 1
    rle = geometry.encode_mask(mask)
    spelt = {"size": [5, 4], "counts": rle["counts"].decode()}
    listed = {"size": [5, 4], "counts": [6, 2, 2, 5, 5]}
    for given in (rle, spelt, listed):
        assert (drawn(runs_of([given]))[0] == mask).all()


@pytest.mark.parametrize(
    ("rles", "message"),
    [
        ([{"size": [5, 4], "counts": b"0d0"}, {"size": [4, 5], "counts": b"0d0"}], "4 x 5, 5 x 4"),
        ([{"size": [5, 4], "counts": b"d0"}, {"size": [5, 4], "counts": b"5"}], "fill 5 x 4"),
        ([{"size": [5, 4], "counts": b"\x01"}], "expected compressed run-length encodings"),
        ([{"size": [5, 4], "counts": b"d"}], "expected compressed run-length encodings"),
        ([{"size": [2, 2], "counts": b"4O1"}], "at least 0"),
    ],
    ids=["two pictures", "too short", "no text", "ends early", "negative"],
)
def test_what_is_no_encoding_is_refused(rles: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runs_of(rles)
