"""What of a study's files has changed since it was shipped, as records; nothing is sent here."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import google_crc32c

from cluster.storage.segments import Record
from trainables.trials.layout import METRICS
from tune.directory.layout import CLOSED, JOURNAL, LOG, RESOLVED, SESSION, STUDY, TRAIN_LOG
from tune.mirror.records import TRIAL_FILES, Shipped, appended, gone, written

PIECE: Final = 1 << 17
"""Bytes of a file that grows that stand in one record at most."""

_ALWAYS: Final = (STUDY, RESOLVED)
"""Small files of a study directory that are looked at each time."""

TRAINING_LOG: Final = 1 << 18
"""Bytes of a trial's training log that are shipped at most; those of our engines have 10 kB."""

RESULTS: Final = ("leaderboard.csv", "report.html", "report.md", "report.json")
"""Files that are looked at when a study ends."""


@dataclass(frozen=True)
class _Sent:
    """What was shipped of a file.

    Attributes:
        size: Number of bytes.
        crc: Checksum of them, as a number.
    """

    size: int
    crc: int


class Files:
    """A study's files against what was shipped of them.

    Args:
        folder: The study directory.
        shipped: What its mirror holds.
    """

    def __init__(self, folder: Path, shipped: Shipped) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._touched: set[int] = set()
        self._sent = {name: _sent(bytes(text)) for name, text in shipped.files.items()}

    def touch(self, number: int) -> None:
        """The driver has written into a trial's folder; cheap, from any thread."""
        with self._lock:
            self._touched.add(number)

    def taken(self) -> set[int]:
        """Trials whose folders were written into since the last call."""
        with self._lock:
            taken, self._touched = self._touched, set()
        return taken

    def changes(self, trials: Iterable[int]) -> Iterator[Record]:
        """Records of what is new in the journal, the log, some trials and the study's own files.

        The journal is read first: the others may run ahead of it, never it of them.
        """
        yield from self._grown(JOURNAL, whole_lines=True)
        touched = sorted(trials)
        for name in (*_ALWAYS, *((SESSION,) if touched else ())):
            yield from self._whole(name)
        for number in touched:
            for file in TRIAL_FILES:
                name = f"trials/{number}/{file}"
                if file != CLOSED:
                    yield from self._table(name) if file == METRICS else self._whole(name)
            yield from self._table(f"trials/{number}/{TRAIN_LOG}", TRAINING_LOG)
        yield from self._grown(LOG)

    def closings(self, trials: Iterable[int]) -> Iterator[Record]:
        """Records that say that trials are closed: to be asked when their models are shipped."""
        for number in sorted(trials):
            yield from self._whole(f"trials/{number}/{CLOSED}")

    def results(self) -> Iterator[Record]:
        """Records of the leaderboard and the report."""
        for name in RESULTS:
            yield from self._whole(name)

    def everything(self) -> Iterator[Record]:
        """Records that say all there is anew, as the first of a mirror do."""
        before, self._sent = self._sent, {}
        numbers = {int(name.split("/")[1]) for name in before if name.startswith("trials/")}
        try:
            yield from self.changes(numbers)
            yield from self.closings(int(name.split("/")[1]) for name in before if CLOSED in name)
            yield from self.results()
        except OSError:  # the next time is to say all of it again
            self._sent = before | self._sent
            raise

    def _grown(self, name: str, *, whole_lines: bool = False) -> Iterator[Record]:
        """What was appended to a file that only grows."""
        sent = self._sent.get(name, _Sent(0, 0))
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(sent.size)
                more = file.read()
        except FileNotFoundError:
            return
        if whole_lines:
            more = more[: more.rfind(b"\n") + 1]
        yield from self._appended(name, sent, more)

    def _table(self, name: str, most: int | None = None) -> Iterator[Record]:
        """What was appended to a file of lines, or all of it where it was written anew.

        Args:
            name: Name of it.
            most: Bytes at its beginning that are looked at; None for all.
        """
        sent = self._sent.get(name)
        try:
            with (self._folder / name).open("rb") as file:
                text = file.read(most)
        except FileNotFoundError:
            yield from self._gone(name)
            return
        text = text[: text.rfind(b"\n") + 1]
        if sent is None or _sent(text[: sent.size]) != sent:
            yield from self._written(name, text)
        else:
            yield from self._appended(name, sent, text[sent.size :])

    def _whole(self, name: str) -> Iterator[Record]:
        try:
            text = (self._folder / name).read_bytes()
        except FileNotFoundError:
            yield from self._gone(name)
            return
        yield from self._written(name, text)

    def _appended(self, name: str, sent: _Sent, more: bytes) -> Iterator[Record]:
        for begin in range(0, len(more), PIECE):
            piece = more[begin : begin + PIECE]
            yield appended(name, sent.size, piece)
            sent = _Sent(sent.size + len(piece), google_crc32c.extend(sent.crc, piece))
            self._sent[name] = sent

    def _written(self, name: str, text: bytes) -> Iterator[Record]:
        if self._sent.get(name) != _sent(text):
            self._sent[name] = _sent(text)
            yield written(name, text[:PIECE])
            yield from self._appended(name, _sent(text[:PIECE]), text[PIECE:])

    def _gone(self, name: str) -> Iterator[Record]:
        if self._sent.pop(name, None) is not None:
            yield gone(name)


def _sent(text: bytes) -> _Sent:
    return _Sent(len(text), google_crc32c.value(text))
