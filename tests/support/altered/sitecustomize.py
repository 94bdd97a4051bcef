"""A machine whose clock jumps or whose disk is slow, for every Python that has this on its path.

Wall time (`time.time`) is shifted by the seconds in the file that ALTERED_CLOCK names; monotonic
clocks go on, as they do where a machine's clock is set. With ALTERED_DISK each wait for the disk
and each rename takes so many seconds longer. Ray's own programs, which are no Python, see neither.
"""

import os
import time
from collections.abc import Callable
from typing import Any


def _shift_clock(file: int) -> None:
    real, real_ns = time.time, time.time_ns

    def shift_s() -> int:
        return int(os.pread(file, 20, 0) or 0)

    time.time = lambda: real() + shift_s()
    time.time_ns = lambda: real_ns() + shift_s() * 10**9


def _slow(call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slowed(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return call(*arguments, **named)

    return slowed


if "ALTERED_CLOCK" in os.environ:
    _shift_clock(os.open(os.environ["ALTERED_CLOCK"], os.O_RDONLY))

if "ALTERED_DISK" in os.environ:
    for _name in ("fsync", "fdatasync", "rename", "replace"):
        setattr(os, _name, _slow(getattr(os, _name), float(os.environ["ALTERED_DISK"])))
