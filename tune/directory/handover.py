"""A request to the driver of a study, made on its own machine: pause, and leave the study."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from trainables.files.whole import write_text
from tune.directory.lock import is_driven

_REQUEST: Final = ".hand-over"

_LOOK_S: Final = 0.2


@contextlib.contextmanager
def watched(study_dir: Path, asked: Callable[[str], object]) -> Iterator[None]:
    """Look for a request as long as a driver runs; what was asked of an earlier one is passed over.

    Args:
        study_dir: The study directory.
        asked: Called, by a thread, with who asks, in words; with "" when nobody does any more.
    """
    request, over = study_dir / _REQUEST, threading.Event()
    request.unlink(missing_ok=True)

    def look() -> None:
        before = ""
        while not over.wait(_LOOK_S):
            who = ""
            with contextlib.suppress(OSError):
                who = request.read_text("utf-8")
            if who != before:
                asked(who)
            before = who

    thread = threading.Thread(target=look, daemon=True, name="hand-over")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ask_for(
    study_dir: Path,
    who: str,
    waiting: Callable[[], object],
    look: Callable[[], object] = lambda: None,
) -> None:
    """Have the driver of a study on this machine pause its trials and end, if there is one.

    What ends the waiting, as Ctrl-C does, takes the request back.

    Args:
        study_dir: The study directory.
        who: Who asks, in words.
        waiting: Called once if there is a driver, before it is waited for.
        look: Called again and again while it is waited for.
    """
    if not is_driven(study_dir):
        return
    waiting()
    try:
        while is_driven(study_dir):
            if not (study_dir / _REQUEST).exists():  # or a driver that began just then removed it
                write_text(study_dir / _REQUEST, who)
            look()
            time.sleep(_LOOK_S)
    finally:
        (study_dir / _REQUEST).unlink(missing_ok=True)
