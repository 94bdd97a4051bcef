"""The lease of a place: which one process may write there, and until when.

A lease has a term, a number that rises whenever another process takes it. What is written carries
its writer's term, so that a process that slept through the end of its lease changes nothing when it
wakes up: readers pass over what an older term wrote after a newer one began
(`cluster.storage.segments`). No clock decides what counts. Clocks only say when a lease may be
taken: when its holder has given it back, when it ended long ago, or when it was watched for as long
as it lasts and was not renewed.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from cluster.errors import LeaseError, StorageError
from cluster.storage.documents import Documents
from cluster.storage.files import crc32c

log = logging.getLogger(__name__)

LEASE: Final = "lease.json"
"""Name of the document."""

_SURE_S: Final = 300.0
"""A lease that ended so long ago is over, whatever two machines' clocks say."""

_LOOKS: Final = 8
"""Times that a lease is looked at while it is watched."""


@dataclass(frozen=True)
class Lease:
    """The right to write at a place.

    Attributes:
        term: Number of the taking, from 1 on.
        holder: Who has it, another name at each taking; "" when it was given back.
        who: The holder in words, for people: its machine and process.
        until: When it ends unless it is renewed, in seconds since 1970 by the holder's clock.
        seconds: Length of it from one renewal on.
        base: Name of the segment that reading begins with; "" for the first.
        wanted: Who asks for it to be given back, in words; "" for nobody.
        moved: Address where what was written here goes on; "" while it does here.
        takeover: Last term that was taken from a holder who had not given it back, and who may
            therefore only be asleep; 0 for none.
    """

    term: int
    holder: str
    who: str
    until: float
    seconds: float
    base: str = ""
    wanted: str = ""
    moved: str = ""
    takeover: int = 0

    def text(self) -> str:
        """The document of it, with a checksum."""
        said = asdict(self)
        return json.dumps({**said, _CHECK: _checksum(said)}, indent=1, sort_keys=True) + "\n"


_CHECK: Final = "crc32c"
_KINDS: Final = {field.name: field.type for field in fields(Lease)}
_ADDED: Final = {"takeover": 0}  # what leases of earlier versions do not say
_LONGEST_S: Final = 86_400.0


def read_lease(place: Documents) -> Lease | None:
    """The lease of a place, or None where nobody has ever had one.

    Raises:
        StorageError: The place cannot be read, or holds something else.
    """
    text = place.read(LEASE)
    return None if text is None else parse_lease(text, place.place)


def parse_lease(text: str, place: str) -> Lease:
    """The lease that a document holds.

    Raises:
        StorageError: It holds something else.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(place, str(error)) from error
    if not isinstance(content, dict) or {*content, *_ADDED} != {*_KINDS, _CHECK}:
        raise _damaged(place, f"keys other than {', '.join(_KINDS)}")
    if content.pop(_CHECK) != _checksum(content):
        raise _damaged(place, "one with another checksum: it is not as it was written")
    content = {**_ADDED, **content}
    for key, kind in _KINDS.items():
        if not _is_of(content[key], kind):
            raise _damaged(place, f"{key} {content[key]!r}"[:100])
    counts = content["term"] >= 1 and 0 <= content["takeover"] <= content["term"]
    if not counts or not 0 < content["seconds"] <= _LONGEST_S:
        raise _damaged(place, f"term {content['term']}, seconds {content['seconds']}"[:100])
    return Lease(**content)


def _checksum(said: Mapping[str, Any]) -> str:
    return crc32c(iter([json.dumps(said, sort_keys=True).encode()]))


def _is_of(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not isinstance(value, bool)


def _damaged(place: str, why: str) -> StorageError:
    return StorageError(
        f"{place}/{LEASE}: expected a lease, got {why}; when no driver writes there, remove it"
    )


@dataclass(frozen=True)
class Taker:
    """A process that takes leases of a place.

    Attributes:
        place: The place's documents.
        holder: Name of its own for this taking.
        who: Itself in words, for people.
        seconds: Length of a lease.
        clock: Seconds since 1970.
        wait: Waits for some seconds.
        dead: Name of an earlier holder that is known not to live any more; "" for none.
    """

    place: Documents
    holder: str
    who: str
    seconds: float
    clock: Callable[[], float] = time.time
    wait: Callable[[float], object] = time.sleep
    dead: str = ""

    def take(self, asking: Callable[[Lease], object] | None = None) -> Lease:
        """Take the lease, in the next term.

        Args:
            asking: Called again and again with the lease while its holder is asked to give it
                back, and is waited for; None: one that its holder renews is refused at once. What
                ends the waiting, as Ctrl-C does, takes the asking back.

        Raises:
            LeaseError: Another process has it.
            StorageError: The place cannot be read or written.
        """
        try:
            return self._take(asking)
        except BaseException:  # Ctrl-C, too: nobody asks any more
            if asking is not None:
                self._withdraw()
            raise

    def _take(self, asking: Callable[[Lease], object] | None) -> Lease:
        while True:
            seen = read_lease(self.place)
            self._refuse_moved(seen)
            if seen is not None and self._is_held(seen):
                if asking is not None:
                    self._ask(seen)
                    asking(seen)
                else:
                    log.info("%s may be running this study; it is watched for a moment", seen.who)
                living = self._watched(seen)
                if living is not None and asking is None:
                    raise held(self.place.place, living)
                if living is not None:
                    continue
            taken = self._taken(seen)
            if taken is not None:
                return taken

    def renew(self, lease: Lease, base: str | None = None) -> Lease:
        """Have the lease for its whole length again; says, too, whether somebody wants it.

        Args:
            lease: As it was taken or renewed last.
            base: Name of the segment that reading begins with from now on.

        Raises:
            LeaseError: Another process has taken it.
            StorageError: The place cannot be read or written.
        """
        now: list[Lease] = []

        def change(text: str | None) -> str:
            there = self._own(lease, text)
            until = self.clock() + self.seconds
            now.append(replace(there, until=until, base=there.base if base is None else base))
            return now[-1].text()

        self.place.update(LEASE, change)
        return now[-1]

    def give_back(self, lease: Lease, moved: str = "") -> None:
        """Give the lease back, so that the next one need not wait.

        It is given back, too, where the answer to that was lost and the next one has it by now.

        Args:
            lease: As it was taken or renewed last.
            moved: Address where it goes on, if nobody is to take this lease any more.

        Raises:
            LeaseError: Another process has taken it.
            StorageError: The place cannot be read or written.
        """
        tried: list[str] = []

        def change(text: str | None) -> str:
            there = None if text is None else parse_lease(text, self.place.place)
            if tried and there is not None and _is_given_back(there, lease, moved):
                raise _OvertakenError
            own = self._own(lease, text)
            tried.append(replace(own, holder="", wanted="", moved=moved).text())
            return tried[-1]

        with contextlib.suppress(_OvertakenError):
            self.place.update(LEASE, change)

    def _own(self, lease: Lease, text: str | None) -> Lease:
        there = None if text is None else parse_lease(text, self.place.place)
        if there is None or (there.term, there.holder) != (lease.term, lease.holder):
            raise lost(self.place.place, there)
        return there

    def _refuse_moved(self, there: Lease | None) -> None:
        if there is not None and there.moved:
            raise LeaseError(f"{self.place.place}: it was moved to {there.moved}")

    def _is_held(self, seen: Lease) -> bool:
        return bool(seen.holder) and self.clock() < seen.until + _SURE_S

    def _watched(self, seen: Lease) -> Lease | None:
        """The lease of a process that lives; None where it is given back, or was not renewed."""
        for _ in range(_LOOKS):
            self.wait(seen.seconds / _LOOKS)
            now = read_lease(self.place)
            if now is None or not now.holder:
                return None
            if (now.term, now.until) != (seen.term, seen.until):
                return now
        return None

    def _taken(self, seen: Lease | None) -> Lease | None:
        """The lease in its next term; None where another process changed it since it was seen."""
        taken: list[Lease] = []

        def change(text: str | None) -> str:
            there = None if text is None else parse_lease(text, self.place.place)
            taken.append(self._after(seen, there))
            return taken[-1].text()

        try:
            self.place.update(LEASE, change)
        except _OvertakenError:
            return None
        return taken[-1]

    def _after(self, seen: Lease | None, there: Lease | None) -> Lease:
        self._refuse_moved(there)
        until = self.clock() + self.seconds
        if there is None:
            return Lease(1, self.holder, self.who, until, self.seconds)
        same = seen is not None and (there.term, there.until) == (seen.term, seen.until)
        if there.holder and not same:
            raise _OvertakenError
        term = there.term + 1
        takeover = there.takeover if there.holder in ("", self.dead) else term
        return Lease(
            term, self.holder, self.who, until, self.seconds, there.base, takeover=takeover
        )

    def _ask(self, seen: Lease) -> None:
        def change(text: str | None) -> str:
            there = None if text is None else parse_lease(text, self.place.place)
            if there is None or there.term != seen.term or there.wanted or not there.holder:
                raise _OvertakenError
            return replace(there, wanted=self.who).text()

        with contextlib.suppress(_OvertakenError):
            self.place.update(LEASE, change)

    def _withdraw(self) -> None:
        """Ask for the lease no more, so that its holder goes on."""

        def change(text: str | None) -> str:
            there = None if text is None else parse_lease(text, self.place.place)
            if there is None or there.wanted != self.who:
                raise _OvertakenError
            return replace(there, wanted="").text()

        with contextlib.suppress(_OvertakenError, StorageError):
            self.place.update(LEASE, change)


class _OvertakenError(Exception):
    """The lease is not the one that was seen."""


def _is_given_back(there: Lease, lease: Lease, moved: str) -> bool:
    """Whether a lease says that its giving back, whose answer was lost, was done all the same."""
    if moved:  # which nobody takes any more
        return there.moved == moved
    return there.term > lease.term or (there.term == lease.term and not there.holder)


def held(place: str, lease: Lease) -> LeaseError:
    """What to raise where another process has a lease."""
    return LeaseError(
        f"{place}: {lease.who} is running this study (term {lease.term}); `segtune move` has it "
        "pause there and goes on with it elsewhere"
    )


def lost(place: str, now: Lease | None) -> LeaseError:
    """What to raise where another process has taken over."""
    if now is None:
        return LeaseError(f"{place}/{LEASE}: expected our lease, found none: somebody removed it")
    return LeaseError(f"{place}: {now.who} has taken over (term {now.term})")
