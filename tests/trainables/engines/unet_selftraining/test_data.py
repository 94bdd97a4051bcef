"""Batches of tiles: what is in them, and that they are made ahead of their use."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra unet")

import torch

from tests.trainables.engines.unet_selftraining.conftest import SMALL, MakeTrial
from trainables.engines.unet_selftraining.data import (
    Batch,
    Micrographs,
    make_lessons,
    open_micrographs,
    prefetched,
)
from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.rounds.rounds import read_labels
from trainables.loop.split.team import Rank

LONG_S = 20.0


@pytest.fixture
def micrographs(make_trial: MakeTrial) -> Micrographs:
    return open_micrographs(make_trial(), _params())


def _params(**changes: Any) -> UnetParams:
    return UnetParams.model_validate({**SMALL, **changes})


def _equal(batches: list[Batch], others: list[Batch]) -> bool:
    pairs = zip(batches, others, strict=True)
    return all(torch.equal(a, b) for pair in pairs for a, b in zip(*pair, strict=True))


# --- lessons


def test_an_epoch_has_as_many_tiles_as_cover_the_labelled_pictures(
    micrographs: Micrographs,
) -> None:
    pixels = sum(scene.grey.size for scene in micrographs.labelled)
    lessons = make_lessons(micrographs, _params(tiles=None, tile_px=32), seed=0)
    assert lessons.sampler.n_tiles == round(pixels / 32**2)
    sizes = [len(images) for images, _ in lessons.batches(0, workers=1)]
    assert sum(sizes) == lessons.sampler.n_tiles
    assert len(sizes) == len(lessons)
    assert set(sizes[:-1]) == {4}
    assert make_lessons(micrographs, _params(tiles=7), seed=0).sampler.n_tiles == 7


def test_batches_are_the_same_whoever_makes_them(micrographs: Micrographs) -> None:
    """In the seed's augmentation everything is random that can be."""
    lessons = make_lessons(micrographs, _params(augment="seed", tiles=18), seed=3)
    once = list(lessons.batches(2, workers=1))
    for workers in (2, 7):
        assert _equal(once, list(lessons.batches(2, workers)))
    assert not _equal(once, list(lessons.batches(3, workers=1)))
    other = make_lessons(micrographs, _params(augment="seed", tiles=18), seed=4)
    assert not _equal(once, list(other.batches(2, workers=1)))


def test_ranks_share_the_tiles_of_each_batch(micrographs: Micrographs) -> None:
    lessons = make_lessons(micrographs, _params(augment="seed", tiles=9), seed=3)
    whole = list(lessons.batches(1, workers=1))
    parts = [list(lessons.batches(1, 2, Rank(number, 2))) for number in range(2)]
    assert [len(images) for images, _ in parts[1]] == [2, 2, 0]
    joined = [
        (torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(*parts, strict=True)
    ]
    assert _equal(whole, joined)


def test_beyond_a_ring_around_particles_nothing_is_known(micrographs: Micrographs) -> None:
    plain, ring = (
        make_lessons(micrographs, _params(background=background, ring_scale=1.5), seed=0)
        for background in ("negative", "ring")
    )
    for (_, all_known), (_, known) in zip(plain.batches(0, 1), ring.batches(0, 1), strict=True):
        unknown = (known == -1) & (all_known != -1)
        assert unknown.any()
        assert (all_known[unknown] == 0).all()
        assert torch.equal(known[~unknown], all_known[~unknown])


def test_a_round_learns_what_it_is_taught(micrographs: Micrographs, tmp_path: Path) -> None:
    for number, scene in enumerate(micrographs.taught):
        labels = np.full(scene.size, (-1, 0, 1)[number % 3], np.float16)
        np.save(tmp_path / f"{scene.record.id}.npy", labels)
    pseudo = read_labels(tmp_path, micrographs.taught)
    lessons = make_lessons(micrographs, _params(augment="none"), seed=0, pseudo=pseudo)
    assert lessons.sampler.scenes == micrographs.taught
    places = lessons.sampler.places(0)
    taught = torch.cat([labels for _, labels in lessons.batches(0, 1)])
    for place, labels in zip(places, taught, strict=True):
        assert (labels == (-1, 0, 1)[place.scene % 3]).all()


# --- threads


def test_what_is_next_is_made_while_the_last_one_is_used() -> None:
    started = [threading.Event() for _ in range(10)]
    made = prefetched(_announcing(started), 10, workers=2)
    assert next(made) == 0
    for number in (1, 2, 3):  # two threads, and one that waits for the first of them
        assert started[number].wait(LONG_S)
    assert not started[4].is_set()
    assert list(made) == list(range(1, 10))


def test_threads_work_at_the_same_time() -> None:
    """Each of three waits until all three have begun."""
    all_there = threading.Barrier(3)

    def make(number: int) -> int:
        all_there.wait(LONG_S)
        return number

    assert list(prefetched(make, 3, workers=3)) == [0, 1, 2]


def test_an_error_comes_up_where_its_batch_would_have() -> None:
    def make(number: int) -> int:
        return number // (number - 3)

    made = prefetched(make, 6, workers=2)
    assert [next(made) for _ in range(3)] == [0, -1, -2]
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert not _threads()


def test_batches_that_nobody_wants_any_more_leave_no_thread(micrographs: Micrographs) -> None:
    lessons = make_lessons(micrographs, _params(tiles=400, augment="seed"), seed=0)
    batches = lessons.batches(0, workers=3)
    next(batches)
    assert len(_threads()) == 3
    batches.close()
    assert not _threads()


def _announcing(started: list[threading.Event]) -> Callable[[int], int]:
    def make(number: int) -> int:
        started[number].set()
        return number

    return make


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tiles")]


def test_nothing_to_make_is_made_by_nobody() -> None:
    assert list(prefetched(_announcing([]), 0, workers=2)) == []
