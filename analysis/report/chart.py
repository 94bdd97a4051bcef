"""A chart as plain values: what Plotly's JavaScript takes, written as JSON."""

import json
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go


@dataclass(frozen=True)
class Chart:
    """A chart of the report.

    The traces are plain values, as Plotly's own classes check every one of them, which takes most
    of the time of a report of thousands of trials; the layout is small and made by these classes.

    Attributes:
        traces: Traces as Plotly's JavaScript takes them.
        figure: Figure without traces that has the layout.
    """

    traces: list[dict[str, Any]]
    figure: go.Figure

    def to_json(self, *, rounded: bool = False) -> str:
        """The chart as a JSON object of `data` and `layout`; a value that is not finite is null.

        Args:
            rounded: Whether numbers are rounded, to more digits than the page ever writes.
        """
        layout = self.figure.update_layout(template="none").to_plotly_json()["layout"]
        text = json.dumps({"data": self.traces, "layout": layout})
        return json.dumps(
            json.loads(text, parse_constant=_null, parse_float=_short if rounded else float),
            separators=(",", ":"),
        )


def _null(_: str) -> None:
    return None


def _short(number: str) -> float:
    """Six significant digits of a number below 1, four decimals of a larger one."""
    value = float(number)
    return float(f"{value:.6g}") if abs(value) < 1 else round(value, 4)
