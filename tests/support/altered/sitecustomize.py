"""A machine whose clock jumps or whose disk is slow, for every Python that has this on its path.

Wall time alone is shifted, by the seconds in the file that ALTERED_CLOCK names; monotonic clocks
go on, as they do where a machine's clock is set. With ALTERED_DISK each wait for the disk and each
rename takes so many seconds longer. Ray's own programs, which are no Python, see neither.
"""

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

_time, _time_ns = time.time, time.time_ns


def _shift_s() -> float:
    try:
        return float(Path(os.environ["ALTERED_CLOCK"]).read_text() or 0)
    except OSError:
        return 0.0


class _Shifted(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)


def _slow(call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def slowed(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return call(*arguments, **named)

    return slowed


if "ALTERED_CLOCK" in os.environ:
    time.time = lambda: _time() + _shift_s()
    time.time_ns = lambda: _time_ns() + int(_shift_s() * 1e9)
    dt.datetime = _Shifted  # type: ignore[misc]

if "ALTERED_DISK" in os.environ:
    for _name in ("fsync", "fdatasync", "rename", "replace"):
        setattr(os, _name, _slow(getattr(os, _name), float(os.environ["ALTERED_DISK"])))
