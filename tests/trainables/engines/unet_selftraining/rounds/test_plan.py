"""Which epochs belong to which phase."""

import pytest

from trainables.engines.unet_selftraining.rounds.plan import (
    phase_of,
    phase_starts,
    shortest_training,
)


@pytest.mark.parametrize("rounds", range(5))
@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("extra", range(6))
def test_every_phase_has_an_epoch_and_rounds_share_evenly(
    rounds: int, fraction: float, extra: int
) -> None:
    epochs = shortest_training(rounds) + extra
    starts = phase_starts(epochs, rounds, fraction)
    lengths = [b - a for a, b in zip(starts, (*starts[1:], epochs), strict=True)]
    assert len(lengths) == rounds + 1
    assert min(lengths) >= 1
    assert max(lengths[1:], default=0) - min(lengths[1:], default=0) <= 1


def test_the_supervised_phase_has_its_share() -> None:
    assert phase_starts(100, 4, 0.6) == (0, 60, 70, 80, 90)
    assert [phase_of(epoch, (0, 3, 5)) for epoch in range(7)] == [0, 0, 0, 1, 1, 2, 2]
