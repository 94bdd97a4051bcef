"""What looking at one thing on this machine found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What was looked at.
        status: "ok", "warn" (some things will not work, or not well) or "fail" (no study can run).
        message: What was found.
        remedy: What to do about it; empty where there is nothing to do.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""

    def line(self) -> str:
        """The check as printed.

        >>> Check("python", "ok", "3.11.7").line()
        'ok    python: 3.11.7'
        """
        remedy = f"\n      -> {self.remedy}" if self.remedy else ""
        return f"{self.status:<5} {self.name}: {self.message}{remedy}"
