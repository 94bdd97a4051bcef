"""Child processes: started without their parent's script, and ended with their parent."""

import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection, parent_process


@contextmanager
def without_main() -> Iterator[None]:
    """Keep multiprocessing from running the caller's script again in a child that is started here.

    In a Ray worker that script imports Ray, which costs each child a second.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def die_with_parent(end: Callable[[], object]) -> None:
    """Have this child process ended as soon as its parent is gone, however that one ended.

    Linux's own signal (`PR_SET_PDEATHSIG`) would come when the fork server ends instead, which
    is the parent of its children to the system.

    Args:
        end: Ends this process and what it started; called in a thread of its own.
    """
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        end()

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()
