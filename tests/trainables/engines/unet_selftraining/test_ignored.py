"""A pixel of which nothing is known, from the augmented tile to loss, gradient and metrics."""

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="needs the extra unet")

from trainables.engines.unet_selftraining.augment import (
    Augmentation,
    augment,
)
from trainables.engines.unet_selftraining.network.losses import SegmentationLoss
from trainables.engines.unet_selftraining.rounds.pseudo import IGNORED
from trainables.metrics.pixels import PixelCounts

TURNED = Augmentation(rotate_p=1, elastic_p=1, noise_p=0, contrast_p=0, blur_p=0, ice_p=0)


def turned(seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Labels with an ignored block, turned and deformed, and where that block has gone."""
    labels = np.zeros((64, 64), np.float32)
    labels[8:30, 8:30], labels[30:50, 20:60] = 1, IGNORED
    image = (labels == IGNORED).astype(np.float32)
    found = augment(image, labels, TURNED, np.random.default_rng(seed))
    return found.labels, found.image


@pytest.mark.parametrize("seed", range(4))
def test_the_ignored_block_turns_with_the_picture(seed: int) -> None:
    labels, block = turned(seed)
    assert (labels[block > 0.99] == IGNORED).all()
    assert (block[(labels == 0) | (labels == 1)] < 0.6).all()


@pytest.mark.parametrize("seed", range(4))
def test_after_a_turn_the_unknown_has_neither_loss_nor_gradient_nor_metric(seed: int) -> None:
    labels, _ = turned(seed)
    unknown = labels == IGNORED
    assert 800 < np.count_nonzero(unknown) < 3000
    rng = np.random.default_rng(seed)
    first = rng.normal(0, 2, labels.shape).astype(np.float32)
    other = np.where(unknown, rng.normal(0, 9, labels.shape), first).astype(np.float32)
    losses, metrics = [], []
    for values in (first, other):
        logits = torch.from_numpy(values)[None, None].requires_grad_()
        loss = SegmentationLoss()(logits, torch.from_numpy(labels)[None, None])
        loss.backward()
        assert logits.grad is not None
        assert not logits.grad[0, 0][torch.from_numpy(unknown)].any()
        assert logits.grad[0, 0][torch.from_numpy(~unknown)].all()
        losses.append(float(loss.detach()))
        counts = PixelCounts()
        counts.add(torch.sigmoid(logits).detach().numpy()[0, 0], labels)
        metrics.append(counts.as_metrics())
    assert losses[0] == losses[1]
    assert metrics[0] == metrics[1]
