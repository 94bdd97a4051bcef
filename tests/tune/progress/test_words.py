"""Ends of trials in words."""

import pytest

from tests.support.shown_studies import STOPPED
from tune.directory.trials import TrialOutcome
from tune.progress.words import ending


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(
            STOPPED, "stopped by ASHA at epoch 25: 0.312 < cut-off 0.407", id="worse than the rung"
        ),
        pytest.param(
            TrialOutcome("complete", "epochs", 50, 0.4, 0.6, 50),
            "trained to its end at epoch 50",
            id="end",
        ),
        pytest.param(
            TrialOutcome("complete", "plateau", None, 0.001, 0.0004, 40),
            "converged at epoch 40",
            id="flat",
        ),
        pytest.param(
            TrialOutcome("pruned", "collapsed", None, 0.01, 0.0, 26),
            "collapsed at epoch 26: never above 0.010",
            id="flat at nothing",
        ),
        pytest.param(
            TrialOutcome("failed", "diverged", epoch=3), "diverged at epoch 3", id="not finite"
        ),
        pytest.param(
            TrialOutcome("pruned", "budget", epoch=9), "out of time at epoch 9", id="hours"
        ),
        pytest.param(
            TrialOutcome("failed", "error", epoch=2, message="no memory\nat line 3"),
            "failed at epoch 2: no memory",
            id="first line of an error",
        ),
        pytest.param(
            TrialOutcome("pruned", "patience", epoch=8),
            "ended by its engine's patience at epoch 8",
            id="patience",
        ),
        pytest.param(
            TrialOutcome("pruned", "moon", epoch=8), "moon at epoch 8", id="a reason unknown"
        ),
    ],
)
def test_an_end_has_its_reason_in_words(outcome: TrialOutcome, expected: str) -> None:
    assert ending(outcome, "max") == expected


def test_a_loss_is_stopped_above_its_cut_off() -> None:
    outcome = TrialOutcome("pruned", "asha", 25, 0.4, 0.9, 25)
    assert ending(outcome, "min") == "stopped by ASHA at epoch 25: 0.900 > cut-off 0.400"
