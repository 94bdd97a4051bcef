"""All that a driver holds while it runs: the study's folder, its log and the signals."""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

from trainables.files.whole import FULL_DISK, write_json, write_text
from tune.directory.layout import JOURNAL, LOG, RESOLVED, STUDY, read_json
from tune.directory.lock import LOCK, DriverLock
from tune.directory.reader import StudyDir, refuse_begun
from tune.directory.writer import close_earlier
from tune.errors import StoreError, no_room
from tune.plan.plan import StudyPlan
from tune.plan.resolved import resolved, to_yaml

STUDY_LOGGER = logging.getLogger("segtune")  # what a study's lines say, in its log alone
STUDY_LOGGER.propagate = False


@contextlib.contextmanager
def full_disk_told(directory: Path) -> Iterator[None]:
    """Tell a full disk with what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise no_room(directory, str(error)) from error
        raise


@contextlib.contextmanager
def own_directory(plan: StudyPlan, *, resume: bool) -> Iterator[None]:
    """The study directory, ours alone."""
    directory = plan.directory
    if resume and not (directory / JOURNAL).exists():
        raise StoreError(f"{directory}: expected a study to resume, found none")
    directory.mkdir(parents=True, exist_ok=True)
    lock = DriverLock(directory / LOCK)
    holder = lock.acquire()
    if holder is not None:
        raise StoreError(
            f"{directory}: a driver is running this study (process {holder}); "
            f"`segtune status` shows it; Ctrl-C in its terminal, or `kill {holder}`, interrupts it"
        )
    try:
        if resume:
            StudyDir.open(directory).trials()  # refused before anything is written over
        else:
            refuse_begun(directory)
        write_text(directory / STUDY, to_yaml(plan))
        began = read_json(directory / RESOLVED) if resume else {}
        if resume and "layout" not in began:
            close_earlier(directory)
        kept = {key: began[key] for key in ("created", "best") if key in began}
        write_json(directory / RESOLVED, {**resolved(plan), **kept})
        yield
    finally:
        lock.release()


class _LogFile(logging.FileHandler):
    """The study's log; a full disk shortens it, and has its say elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Pass over a line that cannot be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, with what could be written."""
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def study_log(directory: Path) -> Iterator[None]:
    """Everything of ours down to DEBUG goes to the study's log, and there only below INFO."""
    screen = [h for h in logging.getLogger().handlers if h.level == logging.NOTSET]
    for shown in screen:  # a handler takes what a logger below lets through
        shown.setLevel(logging.getLogger().level)
    handler = _LogFile(directory / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [STUDY_LOGGER, *map(logging.getLogger, ("tune", "trainables", "analysis", "cluster"))]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    try:
        yield
    except Exception:
        STUDY_LOGGER.exception("the study ended by an error")
        raise
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        for shown in screen:
            shown.setLevel(logging.NOTSET)
        handler.close()


@contextlib.contextmanager
def _signals(action: Callable[[int, FrameType | None], Any] | signal.Handlers) -> Iterator[None]:
    """Take an action on SIGTERM and SIGINT, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, action) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminable() -> AbstractContextManager[None]:
    """SIGTERM ends what runs here as Ctrl-C does, also where a shell has Ctrl-C ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    return _signals(interrupt)


def uninterrupted() -> AbstractContextManager[None]:
    """Ctrl-C once more leaves no processes behind that the first one is just ending."""
    return _signals(signal.SIG_IGN)
