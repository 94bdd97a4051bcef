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


def asked_for(study_dir: Path) -> str:
    """Who asks for a study, in words; "" while nobody does."""
    try:
        return (study_dir / _REQUEST).read_text("utf-8")
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def heard(study_dir: Path, hear: Callable[[str], object]) -> Iterator[None]:
    """Listen for a request while a study runs; one that was made of an earlier driver is none.

    Args:
        study_dir: The study directory.
        hear: Called once, from another thread, with who asks.
    """
    over = threading.Event()
    (study_dir / _REQUEST).unlink(missing_ok=True)

    def listen() -> None:
        while not over.wait(_LOOK_S):
            if who := asked_for(study_dir):
                hear(who)
                return

    thread = threading.Thread(target=listen, daemon=True, name="hand-over")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ask_for(study_dir: Path, who: str, waiting: Callable[[], object]) -> None:
    """Have the driver of a study on this machine pause its trials and end, if there is one.

    Args:
        study_dir: The study directory.
        who: Who asks, in words.
        waiting: Called once if there is a driver, before it is waited for.
    """
    if not is_driven(study_dir):
        return
    waiting()
    write_text(study_dir / _REQUEST, who)
    try:
        while is_driven(study_dir):
            time.sleep(_LOOK_S)
    finally:
        (study_dir / _REQUEST).unlink(missing_ok=True)
