"""The lease of a mirror, held while a study runs: it says whether its driver may still decide.

A driver that finds another one in its place is fenced: it decides nothing any more, also if it had
slept. One that cannot reach the mirror goes on alone for a stated time, as what it decides is in
its journal, and nobody else can have the lease unless somebody asked for it; then its trials pause.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from cluster.errors import LeaseError, StorageError
from cluster.storage.lease import Lease, Taker

log = logging.getLogger(__name__)

_RENEWALS: Final = 3  # in the length of a lease


def boot_clock() -> float:
    """Seconds that go on while this machine, or this process, sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class Hold:
    """The reason why a study's trials are to pause.

    Attributes:
        why: `moved`: somebody asked to go on with it elsewhere; `away`: the mirror could not be
            reached for too long; `fenced`: another driver has its lease.
        message: What happened, as a sentence without its end.
    """

    why: Literal["moved", "away", "fenced"]
    message: str

    @property
    def decides(self) -> bool:
        """Whether epochs that are reported meanwhile still count."""
        return self.why != "fenced"


class Holding:
    """A lease that a thread renews.

    Args:
        taker: Took it.
        lease: As it was taken.
        alone_s: Time that the driver goes on without the mirror.
        clock: Seconds, as of `boot_clock`.

    Attributes:
        lease: As it was renewed last.
    """

    def __init__(
        self,
        taker: Taker,
        lease: Lease,
        alone_s: float,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self.lease = lease
        self._taker, self._alone_s, self._clock = taker, alone_s, clock
        self._place = taker.place.place
        self._state = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._renewed = clock()
        self._failed: float | None = None  # moment of the last failed try, since one succeeded
        self._error = ""
        self._tries = 0
        self._hold: Hold | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="mirror-lease")
        self._thread.start()

    def hold(self) -> Hold | None:
        """The reason to pause, or None; asked before each decision.

        Where the lease may have ended unnoticed, as in a process that slept, it is renewed first.
        """
        with self._state:
            if self._hold is None and not self._is_fresh() and not self._has_just_failed():
                tries = self._tries
                self._wake.set()
                self._state.wait_for(lambda: self._tries > tries, timeout=self.lease.seconds)
            if self._hold is None and self._clock() - self._renewed > self._alone():
                self._hold = Hold("away", f"{self._place} cannot be written: {self._error}")
            return self._hold

    def rebase(self, base: str) -> None:
        """Have readers begin with another segment.

        Raises:
            StorageError: As for `Taker.renew`.
        """
        self._renew(base)

    def end(self, *, give_back: bool) -> None:
        """Renew it no more, and give it back.

        Raises:
            StorageError: As for `Taker.give_back`.
        """
        self._over.set()
        self._wake.set()
        self._thread.join()
        if give_back:
            self._taker.give_back(self.lease)

    def fence(self, message: str) -> None:
        """Decide nothing any more: another driver writes in this one's place."""
        with self._state:
            self._hold = Hold("fenced", message)

    def _alone(self) -> float:
        return max(self._alone_s, self.lease.seconds)

    def _is_fresh(self) -> bool:
        return self._clock() - self._renewed < self.lease.seconds

    def _has_just_failed(self) -> bool:
        failed = self._failed
        return failed is not None and self._clock() - failed < self.lease.seconds

    def _run(self) -> None:
        while not self._over.is_set():
            self._wake.wait(self.lease.seconds / _RENEWALS)
            self._wake.clear()
            if self._over.is_set() or (self._hold is not None and not self._hold.decides):
                return
            try:
                self._renew(None)
            except LeaseError as error:
                self._tried(Hold("fenced", str(error)))
            except StorageError as error:
                self._tried_in_vain(str(error))
            except (
                Exception
            ) as error:  # whatever it is, the driver is not to wait for a dead thread
                log.exception("renewing the lease failed")
                self._tried_in_vain(repr(error))

    def _renew(self, base: str | None) -> None:
        with self._one_at_a_time:
            began = self._clock()
            lease = self._taker.renew(self.lease, base)
        with self._state:
            self.lease, self._renewed, away = lease, began, self._failed is not None
            self._failed = None
            asked = self._hold is None and bool(lease.wanted)
            lifted = self._hold is not None and self._hold.why == "moved" and not lease.wanted
            self._hold = None if lifted else self._hold
        if away:
            log.warning("%s can be written again", self._place)
        if asked:
            log.info("%s asks for the study: the trials pause at their epochs' ends", lease.wanted)
        if lifted:
            log.info("nobody asks for the study any more: it goes on here")
        self._tried(Hold("moved", f"{lease.wanted} goes on with it") if lease.wanted else None)

    def _tried(self, hold: Hold | None) -> None:
        with self._state:
            self._tries += 1
            self._hold = self._hold if self._hold and not self._hold.decides else hold or self._hold
            self._state.notify_all()

    def _tried_in_vain(self, error: str) -> None:
        first = self._failed is None
        with self._state:
            self._failed, self._error = self._clock(), error
        self._tried(None)
        if first:
            log.warning(
                "%s; the study goes on here for %.3g minutes without it, then pauses",
                *(error, self._alone() / 60),
            )
