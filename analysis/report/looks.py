"""Colours, marks and words that tell the report's trials apart, the same in every chart.

The page gives every chart the colours of the reader's light or dark setting; what is drawn must be
readable on both, so marks are mid-tones told apart by shape as well as by colour.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.report.summary import RULES
from tune.directory.reader import TrialRecord

UNFINISHED = "unfinished"

# Contrast at least 3:1 against white and against the page's dark ground, see tests.
COLOURS: Mapping[str, str] = {
    "epochs": "#2f80d0",
    "plateau": "#199271",
    "patience": "#199271",
    "asha": "#b8761c",
    "collapsed": "#9a68c9",
    "diverged": "#d1493d",
    "budget": "#7f8791",
    "moved": "#7f8791",
    "error": "#d1493d",
    UNFINISHED: "#7f8791",
}

SYMBOLS: Mapping[str, str] = {
    "epochs": "circle",
    "plateau": "square",
    "patience": "square",
    "asha": "triangle-down",
    "collapsed": "diamond",
    "diverged": "x",
    "budget": "hexagon",
    "moved": "hexagon",
    "error": "cross",
    UNFINISHED: "circle-open",
}


def reason_of(trial: TrialRecord) -> str:
    """The rule that ended a trial, or `UNFINISHED`."""
    return trial.stop_reason or UNFINISHED


def by_reason(trials: Sequence[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Groups of trials by the rule that ended them.

    They come in the order of `COLOURS`, so that the legends of all charts agree.
    """
    groups: dict[str, list[TrialRecord]] = {}
    for reason in COLOURS:
        group = [trial for trial in trials if reason_of(trial) == reason]
        if group:
            groups[reason] = group
    return groups


def reason_words(reason: str) -> str:
    """A rule that ends trials, in words for a legend."""
    return RULES.get(reason, "not finished")


def epochs_axis(reached: int) -> dict[str, Any]:
    """Axis of whole epochs; left to itself, Plotly puts ticks between those of a short one."""
    return {"title": "epoch", "tickformat": "d"} | ({"dtick": 1} if reached <= 12 else {})
