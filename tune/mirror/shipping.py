"""A study shipped to its mirror by two threads: what is written, and what is large.

The driver waits for neither. Text goes as segments, at most so large and so old; checkpoints and
models go beside them, the newest of each, as fast as they can be sent. What could not be sent is
sent again, in the same order and under the same names.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cluster.errors import StorageError, TakenError
from cluster.storage.files import Objects
from cluster.storage.segments import Name, Record, Segment, segment_names, write_segment
from tune.mirror.files import Files
from tune.mirror.folders import Folders
from tune.mirror.holding import Holding
from tune.mirror.records import DATA

log = logging.getLogger(__name__)

SEGMENT: Final = 256_000
"""Bytes of text that make a segment at once."""

EVERY_S: Final = 5.0
"""Age at which what is written is shipped."""

_PUT_TOGETHER: Final = 8_000_000
"""Bytes of text of a segment that takes the place of others."""

_MOST_SEGMENTS: Final = 500
"""Segments that are put together when there are so many."""

_PAUSE_S: Final = 0.2

_OVERHEAD: Final = 80  # bytes of a record beside its text


@dataclass
class Counts:
    """What was shipped.

    Attributes:
        segments: Number of segments.
        bytes_of_segments: Bytes of them, compressed.
        seconds: CPU time of the two threads.
    """

    segments: int = 0
    bytes_of_segments: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


class Shipping:
    """A study on its way to its mirror.

    Args:
        files: Its small files.
        folders: Its checkpoints and models.
        objects: The mirror.
        holding: The lease of it.
        there: Name of the last segment there, None for none, and the number of them.
        every_s: Age at which what is written is shipped.
    """

    def __init__(
        self,
        files: Files,
        folders: Folders,
        objects: Objects,
        holding: Holding,
        there: tuple[Name | None, int],
        every_s: float = EVERY_S,
    ) -> None:
        self.counts = Counts()
        self._files, self._folders, self._objects = files, folders, objects
        self._holding, self._every_s = holding, every_s
        self._last, self._n_segments = there
        self._pending: deque[Segment] = deque()
        self._lock = threading.Lock()  # of what the carrier hands over
        self._carrying = threading.Lock()  # of the folders
        self._ready: list[Record] = []
        self._carried: set[int] = set()
        self._unused: list[str] = []
        self._to_carry: set[int] = set()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._until_over, args=act, daemon=True, name=name)
            for name, *act in (
                ("mirror-text", self._ship, lambda: False),
                ("mirror-models", self._carry, lambda: bool(self._to_carry)),
            )
        ]
        for thread in self._threads:
            thread.start()

    def touch(self, number: int) -> None:
        """The driver has written into a trial's folder; cheap, from any thread."""
        self._files.touch(number)
        with self._lock:
            self._to_carry.add(number)

    def finish(self, patience_s: float) -> None:
        """Ship all that is left, leaderboard and report too, and put the segments together.

        Args:
            patience_s: Time in which what fails is tried again.

        Raises:
            StorageError: The mirror could not be written in time.
        """
        self._over.set()
        for thread in self._threads:
            thread.join()
        deadline = time.monotonic() + patience_s
        while True:
            try:
                self._carry()
                self._queue(self._files.results())
                self._ship()
                self._put_together()
            except TakenError as error:
                self._holding.fence(str(error))
                raise
            except StorageError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def stop(self) -> None:
        """Ship nothing more."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    # --- the threads

    def _until_over(self, act: Callable[[], None], at_once: Callable[[], bool]) -> None:
        """Act every few seconds, and where there is something to be done at once."""
        due = time.monotonic() + self._every_s
        while not self._over.wait(_PAUSE_S):
            if not at_once() and time.monotonic() < due:
                continue
            try:
                act()
            except TakenError as error:
                self._holding.fence(str(error))
                return
            except (StorageError, OSError) as error:  # the lease's own thread says so to the user
                log.debug("%s: %s", threading.current_thread().name, error)
                self._over.wait(self._every_s)
            except Exception:  # whatever it is, the study is not to end for its copy
                log.exception("shipping failed; the study itself goes on")
                return
            finally:
                name = threading.current_thread().name
                self.counts.seconds[name] = time.thread_time()
            due = time.monotonic() + self._every_s

    def _ship(self) -> None:
        """Send what is written, once; then remove what nothing shipped needs any more."""
        hold = self._holding.hold()
        if hold is not None and not hold.decides:
            return
        trials = self._files.taken()
        with self._lock:
            ready, self._ready = self._ready, []
            carried, self._carried = self._carried, set()
            unused, self._unused = self._unused, []
        try:
            self._queue(self._files.changes(trials))
            self._queue([*ready, *self._files.closings(carried)])
        except OSError:
            with self._lock:
                self._ready[:0], self._unused[:0] = ready, unused
                self._carried |= carried
            for number in trials:
                self._files.touch(number)
            raise
        try:
            self._send()
        except StorageError:
            with self._lock:
                self._unused += unused
            raise
        hold = self._holding.hold()  # a driver that slept meanwhile removes nothing of the next's
        if hold is not None and not hold.decides:
            return
        for name in unused:
            self._objects.remove(name)
        if self._n_segments >= _MOST_SEGMENTS:
            self._put_together()

    def _carry(self) -> None:
        """Send the checkpoints and models that are new."""
        with self._lock:
            numbers, self._to_carry = sorted(self._to_carry), set()
        while numbers:
            records: list[Record] = []
            try:
                with self._carrying:
                    records.extend(self._folders.changes(numbers[0]))
            except (StorageError, OSError):
                with self._lock:
                    self._to_carry |= set(numbers)
                    self._ready += records  # of what was sent before that, and is not sent again
                raise
            with self._lock:
                self._ready += records
                self._carried.add(numbers.pop(0))
                self._unused += self._folders.unused()

    # --- segments

    def _queue(self, records: Iterable[Record], size: int = SEGMENT) -> list[Segment]:
        """Make segments of records, to be sent in their order."""
        said: list[Record] = []
        made = []
        try:
            said.extend(records)
        finally:  # what was said before an error is not said again
            for some in _pieces(said, size):
                term = self._holding.lease.term
                same = self._last is not None and self._last.term == term
                name = self._last.next if same and self._last is not None else Name(term, 1)
                made.append(Segment(name, self._last, some))
                self._last = name
            self._pending += made
        return made

    def _send(self) -> None:
        while self._pending:
            self.counts.bytes_of_segments += write_segment(self._objects, self._pending[0])
            self.counts.segments += 1
            self._n_segments += 1
            self._pending.popleft()

    def _put_together(self) -> None:
        """Write all that is shipped into few segments; readers begin there, the rest goes."""
        if self._n_segments <= 1:
            return
        with self._carrying:
            records = [*self._files.everything(), *self._folders.everything()]
            in_use = self._folders.objects_in_use()
        made = self._queue(records, _PUT_TOGETHER)
        self._send()
        if not made:
            return
        first = made[0].name
        self._holding.rebase(str(first))
        for name in segment_names(self._objects):
            if name < first:
                self._objects.remove(name.file)
        self._n_segments = len(made)
        for stored in self._objects.there(DATA):
            if stored not in in_use and stored < f"{DATA}{first.term:06d}":
                self._objects.remove(stored)  # an earlier driver's that was killed over it


def _pieces(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Records in groups of so many bytes at most, or of one."""
    group: list[Record] = []
    total = 0
    for record in records:
        more = _size(record)
        if group and total + more > size:
            yield group
            group, total = [], 0
        group.append(record)
        total += more
    if group:
        yield group


def _size(record: Record) -> int:
    """About the bytes of a record."""
    contents = [record, *record.get("files", {}).values()]
    return sum(len(one.get("text", one.get("base64", ""))) + _OVERHEAD for one in contents)
