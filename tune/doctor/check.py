"""Result of looking at one thing on this machine."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """Result of looking at one thing.

    Attributes:
        name: Name of the thing.
        status: "ok", "warn" (some things will not work, or not well) or "fail" (no study can run).
        message: Finding about it.
        remedy: Instruction that mends it; empty where there is nothing to do.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""

    def line(self) -> str:
        """Line or two that are printed of it.

        >>> Check("python", "ok", "3.11.7").line()
        'ok    python: 3.11.7'
        """
        remedy = f"\n      -> {self.remedy}" if self.remedy else ""
        return f"{self.status:<5} {self.name}: {self.message}{remedy}"
