"""A float file and the int8 file made of it, side by side: size, speed, mAP and F1."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.int8.speed import ratio
from trainables.files.columns import aligned
from trainables.files.words import counted

MAX_LOSS = 0.02
"""By how much F1 may fall unless said otherwise."""


@dataclass(frozen=True)
class Figures:
    """What was measured of one file.

    Attributes:
        size: Bytes.
        alone: Pictures per second of the file itself, round by round.
        whole: The same with all before and after it, from grey levels to boxes, masks or a map.
        metrics: Metrics of the validation part, at the confidence that is best there for it.
    """

    size: int
    alone: Sequence[float]
    whole: Sequence[float]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """A file in float beside the one in int8 that was made of it.

    Attributes:
        before: The one in float.
        after: The one in int8.
        f1: Name of the F1 that both are judged by.
        precision: Name of the average precision that is told with it.
        pictures: Number of pictures of the validation part.
        timed: Number of pictures that were timed.
        cpu: Processor, of which one core was used.
    """

    before: Figures
    after: Figures
    f1: str
    precision: str
    pictures: int
    timed: int
    cpu: str

    @property
    def loss(self) -> float:
        """By how much F1 fell; below 0 where it rose."""
        return self.before.metrics[self.f1] - self.after.metrics[self.f1]

    @property
    def size_ratio(self) -> float:
        """Size of the int8 file, as a share of the float one's."""
        return self.after.size / self.before.size

    @property
    def speed_ratio(self) -> float:
        """How many times as fast the int8 file itself is, in the median round."""
        return ratio(self.before.alone, self.after.alone)

    @property
    def whole_ratio(self) -> float:
        """The same with all before and after it."""
        return ratio(self.before.whole, self.after.whole)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """What was measured: its name, in float, in int8, and how they compare."""
        before, after = self.before, self.after
        return [
            (
                "size, MB",
                f"{before.size / 1e6:.2f}",
                f"{after.size / 1e6:.2f}",
                f"{self.size_ratio:.3f} of it",
            ),
            _speeds("pictures/s, the file", before.alone, after.alone, self.speed_ratio),
            _speeds("pictures/s, all of it", before.whole, after.whole, self.whole_ratio),
            *(self._metric(name) for name in (self.precision, self.f1)),
        ]

    def lines(self) -> list[str]:
        """The table as text."""
        rows = [("", "float", "int8", ""), *self.rows()]
        return [*aligned(rows, right={1, 2}), self.told]

    @property
    def told(self) -> str:
        """How it was measured, in a sentence."""
        return (
            f"metrics on the {counted(self.pictures, 'picture')} of the validation part, each file "
            f"at its own best confidence; speed on {self.timed} of them, one core of {self.cpu}: "
            "the file alone, and from grey levels to boxes, masks or a map"
        )

    def problem(self, max_loss: float) -> str:
        """Why the int8 file is not to be kept; "" where it is."""
        if self.loss <= max_loss:
            return ""
        return (
            f"expected the int8 file to lose no more than {max_loss:g} of {self.f1}, got a loss of "
            f"{self.loss:.4f}, and nothing was written; --max-loss allows more\n"
            + "\n".join(f"  {line}" for line in self.lines())
        )

    def plain(self) -> dict[str, Any]:
        """The figures, as they are written beside a model."""
        return {
            **{
                name: {
                    "bytes": one.size,
                    "pictures_per_s": {"file": list(one.alone), "all": list(one.whole)},
                    "val": _finite(one),
                }
                for name, one in (("float", self.before), ("int8", self.after))
            },
            "size_ratio": self.size_ratio,
            "speed_ratio": {"file": self.speed_ratio, "all": self.whole_ratio},
            "f1": self.f1,
            "f1_loss": self.loss,
            "val_pictures": self.pictures,
            "timed_pictures": self.timed,
            "cpu": self.cpu,
        }

    def _metric(self, name: str) -> tuple[str, str, str, str]:
        before, after = self.before.metrics[name], self.after.metrics[name]
        return name, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"


def _speeds(
    what: str, before: Sequence[float], after: Sequence[float], times: float
) -> tuple[str, str, str, str]:
    slow, fast = (f"{statistics.median(rates):.3g}" for rates in (before, after))
    return what, slow, fast, f"{times:.2f} times"


def _finite(figures: Figures) -> dict[str, float]:
    return {name: value for name, value in figures.metrics.items() if math.isfinite(value)}
