"""What is left of counted work, as the terminal says it."""

import pytest

from trainables.contract import EpochMetrics
from tune.cli.tickers import EpochTicker, StepTicker, Ticker


def test_time_that_the_first_piece_waited_does_not_count_for_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 100.0, 120.0])
    monkeypatch.setattr("tune.cli.tickers.time.monotonic", lambda: next(clock))
    ticker = Ticker("measure", slow_start=True)
    ticker(1, 21)
    assert capsys.readouterr().err == "", "nobody knows yet"
    ticker(11, 21)
    assert capsys.readouterr().err.startswith("measure: 11/21, 20 s left")


def test_a_training_says_how_many_epochs_there_are_and_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 160.0, 161.0, 162.0])
    monkeypatch.setattr("tune.cli.tickers.time.monotonic", lambda: next(clock))
    ticker = EpochTicker()
    for epoch in (3, 4, 5, 8):  # one that goes on after epoch 2
        ticker(EpochMetrics(epoch, {"seg_metrics/F1": epoch / 10}), 8)
    assert [line.rstrip() for line in capsys.readouterr().err.splitlines()] == [
        "epoch 3 of 8, seg_metrics/F1 0.300",
        "epoch 4 of 8, seg_metrics/F1 0.400, 4.0 min left",
        "epoch 8 of 8, seg_metrics/F1 0.800, 0 s left",
    ]


def test_a_log_has_a_line_where_another_kind_of_step_begins_or_one_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 100.0, 103.0, 150.0, 151.0, 165.0])
    monkeypatch.setattr("tune.cli.tickers.time.monotonic", lambda: next(clock))
    ticker = StepTicker("export")
    for step in ("loading", "tracing", *(f"comparing, batch {k} of 3" for k in (1, 2, 3))):
        ticker(step)
    assert [line.rstrip() for line in capsys.readouterr().err.splitlines()] == [
        "export: 0 s, loading",
        "export: 3 s, tracing",
        "export: 50 s, comparing, batch 1 of 3",
        "export: 65 s, comparing, batch 3 of 3",
    ]
