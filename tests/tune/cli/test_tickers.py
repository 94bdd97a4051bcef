"""What is left of counted work, as the terminal says it."""

import pytest

from tune.cli.tickers import Ticker


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
