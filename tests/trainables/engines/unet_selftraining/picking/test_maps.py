"""From a network to a map of a whole picture, and to particles."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="needs the extra unet")

import torch
from torch import Tensor, nn

from trainables.engines.unet_selftraining.params import UnetParams
from trainables.engines.unet_selftraining.picking.maps import (
    MapReading,
    probabilities,
    standardised,
)

Map = npt.NDArray[np.float32]
CPU = torch.device("cpu")


def _reading(**params: Any) -> MapReading:
    return MapReading(UnetParams.model_validate(params), 6.0, CPU)


def _picture(*shape: int) -> Map:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


class _Shifted(nn.Module):
    """The neighbour to the right, so that a flipped picture gives something else."""

    def forward(self, tiles: Tensor) -> Tensor:
        return tiles.roll(-1, dims=-1)


@pytest.mark.parametrize("shape", [(50, 70), (1500, 1100), (1024, 1024)])
def test_a_map_covers_the_picture_whatever_its_size(shape: tuple[int, int]) -> None:
    picture = _picture(*shape)
    found = _reading().logits(nn.Identity(), picture)
    np.testing.assert_allclose(found, picture, atol=1e-5)


def test_tiles_overlap_so_that_no_seam_is_seen() -> None:
    """A network that sees 2 px around is right everywhere but at the picture's edge."""
    blur = nn.AvgPool2d(5, stride=1, padding=2, count_include_pad=False)
    picture = _picture(1400, 1100)
    found = _reading().logits(blur, picture)
    whole = blur(torch.from_numpy(picture)[None])[0].numpy()
    inner = (slice(3, -3), slice(3, -3))
    differing = np.abs(found - whole)[inner] > 1e-5
    # Where tiles overlap their rims have little weight, yet the outermost pixels some.
    assert differing.mean() < 0.01


def test_a_flip_average_does_not_prefer_a_side() -> None:
    picture = _picture(40, 60)
    for flips, is_even in ((True, True), (False, False)):
        reading = _reading(flip_average=flips)
        straight = reading.logits(_Shifted(), picture)
        for axes in ((0,), (1,), (0, 1)):
            turned = reading.logits(_Shifted(), np.flip(picture, axes).copy())
            same = np.allclose(np.flip(turned, axes), straight, atol=1e-6)
            assert same is (is_even or axes == (0,))


def test_nothing_is_random_in_a_prediction() -> None:
    norm = nn.BatchNorm2d(1)
    network = nn.Sequential(norm, nn.Dropout2d(0.5)).train()
    picture = _picture(64, 64)
    once, again = (_reading().logits(network, picture) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert int(norm.num_batches_tracked or 0) == 0


def test_picks_keep_the_distance_that_is_asked_for() -> None:
    logits = np.full((80, 80), -6, np.float32)
    for x in (26, 46):
        logits[38:43, x - 2 : x + 3] = 4
    probability = probabilities(logits)
    near = _reading(min_distance=0.5, target_scale=0.5).picks(probability)
    far = _reading(min_distance=4.0, target_scale=0.5).picks(probability)
    assert (len(near), len(far)) == (2, 1)


def test_a_standardised_picture_has_mean_0_and_deviation_1() -> None:
    grey = np.random.default_rng(1).integers(0, 255, (40, 40)).astype(np.uint8)
    found = standardised(grey, float(grey.mean()), float(grey.std()))
    assert found.dtype == np.float32
    assert (found.mean(), found.std()) == pytest.approx((0, 1), abs=1e-5)
