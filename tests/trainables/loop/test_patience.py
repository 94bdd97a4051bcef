import math

import pytest

from trainables.loop.patience import epochs_without_gain, ran_out

LOSSES = [1.0, 0.8, 0.7, 0.69995, 0.71, 0.69991]


def test_a_gain_of_at_most_delta_is_none() -> None:
    assert [epochs_without_gain(LOSSES[:n]) for n in range(1, 7)] == [0, 0, 0, 1, 2, 3]
    assert epochs_without_gain([*LOSSES, 0.6998]) == 0


def test_small_gains_add_up_to_one() -> None:
    slow = [1 - 0.00004 * epoch for epoch in range(8)]
    assert [epochs_without_gain(slow[: n + 1]) for n in range(8)] == [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(("patience", "first"), [(1, 4), (2, 5), (3, 6), (4, None), (0, None)])
def test_it_runs_out_after_so_many_epochs(patience: int, first: int | None) -> None:
    ends = [n for n in range(1, 7) if ran_out(LOSSES[:n], patience)]
    assert (ends[0] if ends else None) == first


def test_a_metric_may_be_watched_in_its_own_direction() -> None:
    assert ran_out([0.1, 0.5, 0.5, 0.4], 2, mode="max")
    assert not ran_out([0.1, 0.5, 0.5, 0.6], 2, mode="max")


def test_what_is_not_a_number_is_no_gain() -> None:
    assert epochs_without_gain([0.5, math.nan, math.nan]) == 2
    assert epochs_without_gain([math.nan, 0.5]) == 0


def test_before_the_first_epoch_nothing_has_run_out() -> None:
    assert not ran_out([], 1)
