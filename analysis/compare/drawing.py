"""A chart of the page, and whose each of its points is, by which the page filters them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.report.chart import Chart

Owner = dict[str, Any]
"""Whose the points of a trace are: `trials`, one number a point; `studies`, one place a point; or
`study`, the place of the one whose the whole trace is. Empty: everybody's."""


@dataclass(frozen=True)
class Drawn:
    """A chart, and whose the points of each of its traces are.

    Attributes:
        chart: The chart.
        owners: One a trace.
    """

    chart: Chart
    owners: Sequence[Owner]

    def to_json(self, *, rounded: bool) -> str:
        """The chart as a JSON object of `data`, `layout` and `owners`."""
        assert len(self.owners) == len(self.chart.traces)
        chart = self.chart.to_json(rounded=rounded)
        owners = json.dumps(list(self.owners), separators=(",", ":"))
        return f'{chart[:-1]},"owners":{owners}}}'
