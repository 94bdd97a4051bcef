"""Losses of a particle map against labels of which some pixels are unknown.

Everywhere `logits` and `target` are equally shaped, usually (N, 1, H, W). A target is 0 for
background, 1 for particle, in between for soft targets, and `IGNORED` where nothing is known:
such a pixel changes neither loss nor gradient, whatever is predicted there. A batch in which all is
ignored has loss 0 and a gradient of 0. Everything is computed in float32, under AMP too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  as everybody names it

from trainables.contract import InfeasibleParams
from trainables.loop.split.shared import Sum, own

IGNORED: Final = -1

SMOOTH: Final = 1.0
"""Smoothing of the overlap losses (s): pixels added to numerator and denominator."""

_SLIGHT: Final = 1e-6  # an error of 0 has no gradient where gamma is below 1

LossName = Literal["focal_dice", "ce_dice", "focal", "dice", "bce", "tversky"]


@dataclass(frozen=True)
class Known:
    """Known part of a prediction and its labels; ignored pixels are numbers of weight 0.

    Attributes:
        logits: Predicted logits, float32, 0 at ignored pixels.
        target: Labels, float32, 0 at ignored pixels.
        weight: Weight of each pixel, float32: 1 where it is known, else 0.
        sums: Function from the sums over this prediction to those over the whole batch, of which
            other processes may have the rest.
    """

    logits: Tensor
    target: Tensor
    weight: Tensor
    sums: Sum = own

    @classmethod
    def of(cls, logits: Tensor, target: Tensor, sums: Sum = own) -> "Known":
        """Take the known part of a prediction and its labels.

        Raises:
            ValueError: Their shapes differ.
        """
        if logits.shape != target.shape:
            raise ValueError(
                f"expected logits and target of one shape, got {tuple(logits.shape)} and "
                f"{tuple(target.shape)}"
            )
        known = target != IGNORED
        return cls(
            torch.where(known, logits.float(), 0.0),
            torch.where(known, target.float(), 0.0),
            known.float(),
            sums,
        )

    def mean(self, loss: Tensor) -> Tensor:
        """Mean of a loss over the known pixels; 0 where there are none."""
        total, n = self.totals(loss * self.weight, self.weight)
        return total / n.clamp(min=1)

    def totals(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Sum of each map over the whole batch."""
        return self.sums(torch.stack([map_.sum() for map_ in maps])).unbind()

    def probability(self) -> Tensor:
        """Predicted probability; 0 at ignored pixels."""
        return torch.sigmoid(self.logits) * self.weight


def bce_loss(known: Known, pos_weight: float | None = None, smoothing: float = 0.0) -> Tensor:
    """Mean binary cross entropy of the known pixels.

    Args:
        known: Prediction and labels.
        pos_weight: Factor of the particles' part.
        smoothing: Share by which labels are moved towards 0.5.
    """
    target = known.target * (1 - smoothing) + smoothing / 2
    return known.mean(_cross_entropy(known.logits, target, pos_weight))


def focal_loss(
    known: Known,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    pos_weight: float | None = None,
) -> Tensor:
    """Mean focal loss: alpha_t * |target - p|^gamma * cross entropy.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv:1708.02002; for soft
    targets Li et al. 2020, "Generalized Focal Loss", arXiv:2006.04388.

    Args:
        known: Prediction and labels.
        alpha: Weight of particles, background having 1 - alpha; None weighs both alike.
        gamma: Exponent by which what is right already counts less.
        pos_weight: Factor of the particles' part of the cross entropy.
    """
    target = known.target
    loss = _cross_entropy(known.logits, target, pos_weight)
    error = (target - torch.sigmoid(known.logits)).abs().clamp(min=_SLIGHT)
    loss = loss * error**gamma
    if alpha is not None:
        loss = loss * (alpha * target + (1 - alpha) * (1 - target))
    return known.mean(loss)


def dice_loss(known: Known) -> Tensor:
    """Dice loss, 1 - (2 sum(p t) + s) / (sum(p) + sum(t) + s), over the whole batch.

    Source: Milletari et al. 2016, "V-Net", arXiv:1606.04797.
    """
    return tversky_loss(known, 0.5, 0.5)


def tversky_loss(known: Known, fp: float = 0.5, fn: float = 0.5) -> Tensor:
    """Tversky loss, 1 - (2 TP + s) / (2 TP + 2 fp FP + 2 fn FN + s), over the whole batch.

    With equal weights of 0.5 it is the Dice loss.

    Source: Salehi et al. 2017, "Tversky loss function", arXiv:1706.05721 (alpha is `fp`, beta
    `fn`).

    Args:
        known: Prediction and labels.
        fp: Weight of background taken for particle.
        fn: Weight of particle taken for background.
    """
    p, t = known.probability(), known.target
    both, found, there = known.totals(p * t, p, t)
    missed = 2 * fp * (found - both) + 2 * fn * (there - both)
    return 1 - (2 * both + SMOOTH) / (2 * both + missed + SMOOTH)


def _cross_entropy(logits: Tensor, target: Tensor, pos_weight: float | None) -> Tensor:
    weight = None if pos_weight is None else torch.full((), pos_weight, device=logits.device)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=weight)


@dataclass(frozen=True)
class SegmentationLoss:
    """Loss by its name, with its settings; called with (logits, target).

    The rare particles are weighted by `alpha` or by `pos_weight`: both at once would undo each
    other. `alpha` of None stands for 0.25 in the focal losses without a `pos_weight`, and for no
    weighting beside one.

    Attributes:
        name: Name of the loss: `focal_dice` is `focal_weight` of focal and the rest of Dice,
            `ce_dice` the sum of cross entropy and Dice.
        alpha: Weight of particles in the focal loss, in (0, 1).
        pos_weight: Factor of the particles' part of the cross entropy, above 0.
        gamma: Exponent of the focal loss, at least 0.
        focal_weight: Share of focal in `focal_dice`, in [0, 1].
        tversky_fp: Weight of background taken for particle in the Tversky loss, at least 0.
        tversky_fn: Weight of particle taken for background in the Tversky loss, at least 0.
        smoothing: Label smoothing of the cross entropy, in [0, 1).
    """

    name: LossName = "focal_dice"
    alpha: float | None = None
    pos_weight: float | None = None
    gamma: float = 2.0
    focal_weight: float = 0.7
    tversky_fp: float = 0.5
    tversky_fn: float = 0.5
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that would not do what they say.

        Raises:
            InfeasibleParams: Both `alpha` and `pos_weight` are given.
        """
        if self.alpha is not None and self.pos_weight is not None:
            raise InfeasibleParams(
                f"expected alpha or pos_weight, got alpha={self.alpha:g} and "
                f"pos_weight={self.pos_weight:g}: one would undo the other; leave one out"
            )

    @property
    def balance(self) -> float | None:
        """Weight of particles (alpha) that the focal losses use."""
        return 0.25 if self.alpha is None and self.pos_weight is None else self.alpha

    def __call__(self, logits: Tensor, target: Tensor, sums: Sum = own) -> Tensor:
        """Compute the loss of a batch, a float32 number.

        Args:
            logits: Predicted logits of any float type.
            target: Labels of the same shape, 0 to 1 or `IGNORED`.
            sums: Function as in `Known`.
        """
        with torch.autocast(logits.device.type, enabled=False):
            return _LOSSES[self.name](self, Known.of(logits, target, sums))

    def focal(self, known: Known) -> Tensor:
        """Compute the focal part."""
        return focal_loss(known, self.balance, self.gamma, self.pos_weight)

    def bce(self, known: Known) -> Tensor:
        """Compute the cross-entropy part."""
        return bce_loss(known, self.pos_weight, self.smoothing)


def _focal_dice(loss: SegmentationLoss, known: Known) -> Tensor:
    return loss.focal_weight * loss.focal(known) + (1 - loss.focal_weight) * dice_loss(known)


_LOSSES: Final[Mapping[str, Callable[[SegmentationLoss, Known], Tensor]]] = {
    "focal_dice": _focal_dice,
    "ce_dice": lambda loss, known: loss.bce(known) + dice_loss(known),
    "focal": SegmentationLoss.focal,
    "dice": lambda loss, known: dice_loss(known),
    "bce": SegmentationLoss.bce,
    "tversky": lambda loss, known: tversky_loss(known, loss.tversky_fp, loss.tversky_fn),
}
