import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from search_spaces.tasks import SegmentationTraining, losses
from trainables.contract import InfeasibleParams
from trainables.engines.unet_selftraining.network.losses import (
    IGNORED,
    Known,
    LossName,
    SegmentationLoss,
    bce_loss,
    dice_loss,
    focal_loss,
    tversky_loss,
)

NAMES = get_args(LossName)
LN2 = math.log(2)

every_loss = pytest.mark.parametrize("name", NAMES)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and labels (2, 1, 6, 5) of which some are soft and some ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 1, 6, 5, generator=generator)
    target = torch.randint(0, 2, logits.shape, generator=generator).float()
    target[:, :, 2] = torch.rand(2, 1, 5, generator=generator)
    target[:, :, 4:] = IGNORED
    return logits, target


def known(logits: list[float], target: list[float]) -> Known:
    return Known.of(torch.tensor(logits), torch.tensor(target))


def test_four_pixels_at_logit_0_that_are_all_particle() -> None:
    logits, target = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    pixels = Known.of(logits, target)
    assert focal_loss(pixels).item() == pytest.approx(0.0433, abs=5e-5)
    assert dice_loss(pixels).item() == pytest.approx(0.2857, abs=5e-5)
    assert SegmentationLoss()(logits, target).item() == pytest.approx(0.1160, abs=5e-5)
    assert focal_loss(pixels).item() == pytest.approx(0.25 * 0.25 * LN2)
    assert dice_loss(pixels).item() == pytest.approx(2 / 7)


def test_background_weighs_three_times_as_much_in_the_focal_loss() -> None:
    particle, background = known([0.0], [1.0]), known([0.0], [0.0])
    assert focal_loss(background).item() == pytest.approx(3 * focal_loss(particle).item())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_focal_loss_is_the_papers_for_hard_labels(gamma: float) -> None:
    logits, target = [-2.0, 0.5, 3.0, -1.0], [0.0, 1.0, 0.0, 1.0]
    p_t = [1 / (1 + math.exp(-x if t else x)) for x, t in zip(logits, target, strict=True)]
    alpha_t = [0.25 if t else 0.75 for t in target]
    terms = [a * (1 - p) ** gamma * -math.log(p) for a, p in zip(alpha_t, p_t, strict=True)]
    found = focal_loss(known(logits, target), gamma=gamma).item()
    assert found == pytest.approx(sum(terms) / 4, rel=1e-5)


def test_cross_entropy_is_torchs_mean_over_what_is_known() -> None:
    logits, target = batch()
    valid = target != IGNORED
    weight = torch.tensor(10.0)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[valid], target[valid], pos_weight=weight
    )
    ours = SegmentationLoss("bce", pos_weight=10.0)(logits, target)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_smoothing_moves_labels_towards_a_half() -> None:
    smooth = bce_loss(known([1.0, -2.0], [1.0, 0.0]), smoothing=0.2)
    assert smooth.item() == pytest.approx(bce_loss(known([1.0, -2.0], [0.9, 0.1])).item())


def test_tversky_weighs_what_is_missed_and_what_is_wrong() -> None:
    sure = known([50.0, 50.0, -50.0, 50.0, 50.0], [1.0, 1.0, 1.0, 0.0, 0.0])  # TP 2, FN 1, FP 2
    assert tversky_loss(sure, fp=0.3, fn=0.7).item() == pytest.approx(1 - 5 / (5 + 1.2 + 1.4))
    assert tversky_loss(sure, fp=0.0, fn=0.0).item() == pytest.approx(0.0)
    assert dice_loss(sure).item() == pytest.approx(1 - 5 / 8)


def test_the_dice_loss_is_taken_over_the_whole_batch() -> None:
    logits = torch.tensor([[50.0, 50.0], [-50.0, -50.0]]).reshape(2, 1, 1, 2)
    target = torch.tensor([[1.0, 1.0], [1.0, 0.0]]).reshape(2, 1, 1, 2)
    assert SegmentationLoss("dice")(logits, target).item() == pytest.approx(1 - 5 / 6)


def test_the_combined_losses_are_made_of_their_parts() -> None:
    pixels = Known.of(*batch())
    parts = {name: SegmentationLoss(name)(*batch()) for name in ("focal", "dice", "bce")}
    assert torch.equal(parts["focal"], focal_loss(pixels))
    weighted = SegmentationLoss("focal_dice", focal_weight=0.4)(*batch())
    assert weighted.item() == pytest.approx((0.4 * parts["focal"] + 0.6 * parts["dice"]).item())
    assert SegmentationLoss("ce_dice")(*batch()).item() == pytest.approx(
        (parts["bce"] + parts["dice"]).item()
    )


@every_loss
def test_nothing_at_an_ignored_pixel_changes_the_loss_or_its_gradient(name: LossName) -> None:
    loss, (logits, target) = SegmentationLoss(name), batch()
    ignored = target == IGNORED
    found = []
    for value in (0.0, 40.0, -1e30, math.nan, math.inf):
        predicted = torch.where(ignored, value, logits).requires_grad_()
        result = loss(predicted, target)
        result.backward()
        assert predicted.grad is not None
        assert (predicted.grad[ignored] == 0).all()
        found.append((result.detach(), predicted.grad))
    assert all(torch.equal(one, found[0][0]) for one, _ in found)
    assert all(torch.equal(gradient, found[0][1]) for _, gradient in found)
    assert found[0][1].abs().sum() > 0


@every_loss
def test_adding_ignored_pixels_changes_nothing(name: LossName) -> None:
    loss, (logits, target) = SegmentationLoss(name), batch()
    more_logits = torch.cat([logits, torch.randn(2, 1, 3, 5)], dim=2)
    more_target = torch.cat([target, torch.full((2, 1, 3, 5), IGNORED)], dim=2)
    assert loss(more_logits, more_target).item() == pytest.approx(loss(logits, target).item())


@every_loss
def test_a_batch_without_a_label_has_loss_0_and_a_gradient_of_0(name: LossName) -> None:
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    loss = SegmentationLoss(name)(logits, torch.full((2, 1, 4, 4), IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@every_loss
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_saturated_predictions_have_a_finite_loss_and_gradient(
    name: LossName, gamma: float
) -> None:
    logits = torch.tensor([60.0, -60.0, 60.0, -60.0], requires_grad=True)
    loss = SegmentationLoss(name, gamma=gamma)(logits, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_mixed_precision_the_loss_is_that_of_float32(
    name: LossName, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = (20 * torch.randn(1, 1, 512, 512, generator=generator)).to(dtype)  # sums over 65504
    target = (torch.rand(1, 1, 512, 512, generator=generator) < 0.9).float()
    with torch.autocast("cpu", dtype):
        mixed = SegmentationLoss(name)(logits, target)
    assert mixed.dtype == torch.float32
    assert mixed.item() == SegmentationLoss(name)(logits.float(), target).item()
    assert math.isfinite(mixed.item())


@pytest.mark.parametrize("name", ["bce", "focal"])
def test_a_soft_target_pulls_the_prediction_to_its_value(name: LossName) -> None:
    target = torch.full((1, 1, 4, 4), 0.3)
    for start, sign in ((-2.0, -1), (0.5, 1)):
        logits = torch.full((1, 1, 4, 4), start, requires_grad=True)
        SegmentationLoss(name)(logits, target).backward()
        assert logits.grad is not None
        assert (logits.grad.sign() == sign).all()


def test_alpha_or_pos_weight_but_not_both() -> None:
    with pytest.raises(InfeasibleParams, match=r"got alpha=0\.5 and pos_weight=10"):
        SegmentationLoss(alpha=0.5, pos_weight=10.0)
    assert SegmentationLoss().balance == 0.25
    assert SegmentationLoss(alpha=0.5).balance == 0.5
    assert SegmentationLoss(pos_weight=10.0).balance is None


def test_pos_weight_replaces_alpha_in_the_focal_loss() -> None:
    loss = SegmentationLoss("focal", pos_weight=10.0)
    particle = loss(torch.zeros(1), torch.ones(1)).item()
    background = loss(torch.zeros(1), torch.zeros(1)).item()
    assert particle == pytest.approx(10 * background)
    assert background == pytest.approx(0.25 * LN2)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 1, 4, 4\) and \(2, 4, 4\)"):
        SegmentationLoss()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


def test_the_losses_of_a_training_are_among_those_of_its_schema() -> None:
    assert set(NAMES) <= set(losses(SegmentationTraining))
