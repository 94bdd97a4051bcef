from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)

from search_spaces.training import LoopParams
from trainables.contract import InfeasibleParams
from trainables.loop.schedule import EpochSchedule

EPOCHS = 50


def schedule(kind: str, warmup: int = 5, **changes: object) -> EpochSchedule:
    values = {"scheduler": kind, "warmup_epochs": warmup, **changes}
    return EpochSchedule.of(LoopParams.model_validate(values), EPOCHS)


def torchs_rates(kind: str, warmup: int) -> list[float]:
    """Rates of every epoch and after the last, where the fall is as long as what is left."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    left = EPOCHS - warmup
    falls: dict[str, LRScheduler] = {
        "cosine": CosineAnnealingLR(optimizer, T_max=left),
        "step": StepLR(optimizer, step_size=10, gamma=0.1),
        "multistep": MultiStepLR(optimizer, milestones=[10, 20], gamma=0.1),
        "poly": PolynomialLR(optimizer, total_iters=left, power=0.9),
    }
    rising = LinearLR(optimizer, start_factor=0.1, total_iters=warmup) if warmup else None
    scheduler = (
        SequentialLR(optimizer, [rising, falls[kind]], milestones=[warmup])
        if rising
        else falls[kind]
    )
    rates = []
    for _ in range(EPOCHS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.filterwarnings("ignore:.*epoch parameter in `scheduler.step:UserWarning")
@pytest.mark.parametrize("warmup", [0, 5])
@pytest.mark.parametrize("kind", ["cosine", "step", "multistep", "poly"])
def test_it_agrees_with_torchs_own_schedules(kind: str, warmup: int) -> None:
    torchs = torchs_rates(kind, warmup)
    ours = [schedule(kind, warmup).factor(epoch) for epoch in range(EPOCHS + 1)]
    assert ours == pytest.approx(torchs, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "last_epoch", "end"),
    [
        ("cosine", 0.00121797, 0.0),
        ("poly", (1 / 45) ** 0.9, 0.0),
        ("step", 1e-4, 1e-4),
        ("multistep", 1e-2, 1e-2),
        ("none", 1.0, 1.0),
    ],
)
def test_each_reaches_its_end_with_the_training(kind: str, last_epoch: float, end: float) -> None:
    curve = schedule(kind)
    assert curve.factor(0) == pytest.approx(0.1)
    assert curve.factor(5) == 1.0
    assert curve.factor(EPOCHS - 1) == pytest.approx(last_epoch, rel=1e-5)
    assert curve.factor(EPOCHS) == pytest.approx(end, abs=1e-12)


def test_a_cosine_over_the_whole_length_would_end_too_high() -> None:
    too_long = EpochSchedule("cosine", epochs=EPOCHS + 5, warmup_epochs=5)
    assert too_long.factor(EPOCHS) == pytest.approx(0.0245, abs=1e-4)


def test_the_warm_up_rises_evenly_from_a_tenth_within_epochs_too() -> None:
    rates = [schedule("cosine").factor(epoch / 4) for epoch in range(21)]
    steps = [after - before for before, after in pairwise(rates)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == 1.0
    assert steps == pytest.approx([0.9 / 20] * 20)


def test_without_a_warm_up_the_first_rate_is_the_base_rate() -> None:
    assert schedule("poly", warmup=0).factor(0) == 1.0


def test_milestones_are_epochs_of_the_training() -> None:
    curve = schedule("multistep", milestones=(20, 40), gamma=0.5)
    rates = [curve.factor(epoch) for epoch in (5, 19.9, 20, 39, 40, 50)]
    assert rates == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25])


def test_the_rate_never_rises_after_the_warm_up() -> None:
    for kind in ("cosine", "step", "multistep", "poly", "none"):
        rates = [schedule(kind).factor(5 + epoch / 10) for epoch in range(451)]
        assert rates == sorted(rates, reverse=True)
        assert min(rates) >= 0


@pytest.mark.parametrize("warmup", [50, 60])
def test_a_warm_up_that_leaves_no_epoch_is_refused(warmup: int) -> None:
    with pytest.raises(
        InfeasibleParams, match=f"warmup_epochs: expected fewer than the 50 .*{warmup}"
    ):
        schedule("cosine", warmup)
