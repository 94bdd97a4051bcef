"""A study moved while it runs: its driver pauses it at the ends of epochs, and it goes on here."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.storage.lease import Lease
from cluster.storage.opening import is_address
from tune.directory.handover import ask_for
from tune.directory.reader import StudyDir
from tune.errors import StoreError, UsageError
from tune.mirror.bringing import is_cut
from tune.mirror.mirror import mirror_address, ourselves, retire
from tune.mirror.opening import bring_copy, everything, is_mirror
from tune.plan.plan import StudyPlan
from tune.plan.resume import plan_resumed
from tune.verbs.opening import open_study

Tell = Callable[[str], object]
"""Takes a sentence on what is waited for."""

_LEASE_S: Final = 30.0  # of a lease that is given back at once


@contextmanager
def interruption_told(became: Callable[[], str]) -> Iterator[None]:
    """Have an interruption of the block say what became of the study, and what to do.

    Args:
        became: Says it, as the end of a sentence; "" where a block around this one knows better.

    Raises:
        KeyboardInterrupt: Ctrl-C, with the sentence.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        words = "" if error.args else became()
        if not words:
            raise
        raise KeyboardInterrupt(words) from error


def paused_at(place: Path | str) -> str:
    """What to say of a study that is paused, all of it at a place, and not gone on with."""
    return (
        f"the study is paused and all of it at {place}: the same command once more, or "
        f"`segtune resume {shlex.quote(str(place))}`, goes on with it"
    )


def _asked_no_more(place: Path | str) -> str:
    """What to say of a study whose driver was asked to pause it, and is not any more."""
    return (
        "its driver is asked no more and goes on with the study; or it has ended, where all trials "
        f"had paused by then, and `segtune resume {shlex.quote(str(place))}` goes on"
    )


def plan_move(
    place: Path | str, to: str, overrides: Sequence[str] = (), tell: Tell = lambda words: None
) -> StudyPlan:
    """Have a study's driver pause it, bring it to its new place, and plan how it goes on here.

    Args:
        place: Its mirror's address, its directory, or its study file.
        to: gs://BUCKET/FOLDER of a new mirror, with which it goes on in its own folder; or the
            folder of this machine, below which a mirrored study is to go on.
        overrides: Keys to override, as after `--set`.
        tell: Told whom it waits for.

    Raises:
        UsageError: It cannot be moved there.
        StudyError: It cannot go on here.
        StoreError: A folder cannot be read or written, or has another study.
        StorageError: A mirror cannot be read or written, or was moved already.
    """
    if not is_address(to) and "://" in to:
        raise UsageError(
            "--to: expected gs://BUCKET/FOLDER, a folder of this machine, or the http:// or "
            f"https:// address of a cluster, got {to}"
        )
    if is_address(to):
        return _to_bucket(place, to.rstrip("/"), overrides, tell)
    if not is_mirror(place):
        raise UsageError(_no_mirror(place, to))
    return _to_folder(str(place).rstrip("/"), Path(to), overrides, tell)


def _no_mirror(place: Path | str, to: str) -> str:
    """Why a study of this machine does not go to a folder of it, and what does it."""
    opened = open_study(place, everything, download=False)
    expected = f"{place}: expected the address of a study's mirror with --to FOLDER, got "
    if address := mirror_address(opened.study):
        asked = f"segtune move {shlex.quote(address)} --to {shlex.quote(to)}"
        return f"{expected}its folder; `{asked}` goes on there"
    ship = f"segtune move {shlex.quote(str(place))} --to gs://BUCKET/FOLDER"
    return (
        f"{expected}a study without one; `{ship}` gives it one. On this machine none is needed: "
        f"Ctrl-C its driver, move the folder, and `segtune resume` it there"
    )


def _to_folder(address: str, storage: Path, overrides: Sequence[str], tell: Tell) -> StudyPlan:
    name = address.rpartition("/")[2]
    folder = storage.absolute() / name
    _refuse_another(folder, name)
    mirror = f"mirror.place={address.rpartition('/')[0]}"
    have_it_left(address, tell)
    with interruption_told(lambda: paused_at(address)):
        bring_copy(address, folder, everything)
        return plan_resumed(StudyDir.open(folder), [mirror, *overrides])


def _to_bucket(place: Path | str, to: str, overrides: Sequence[str], tell: Tell) -> StudyPlan:
    opened = open_study(place, everything)
    key = "mirror.place" if opened.study.mirror is not None else "mirror"
    changes = [f"{key}={to}", *overrides]
    plan_resumed(opened, changes)  # what cannot go on here stays where it is
    if not is_mirror(place):
        have_it_paused(opened, tell)
    before = str(place).rstrip("/") if is_mirror(place) else mirror_address(opened.study)
    after = f"{to}/{opened.study.study}"
    with interruption_told(lambda: paused_at(opened.path)):
        if before:
            have_it_left(before, tell, after if after != before else "")
        if is_mirror(place):
            opened = open_study(place, everything)
        return plan_resumed(opened, changes)


def _refuse_another(folder: Path, name: str) -> None:
    if not folder.is_dir() or not any(folder.iterdir()) or is_cut(folder):
        return
    if StudyDir.open(folder).study.study != name:
        raise StoreError(f"{folder}: expected no folder, or that of study {name}, got another")


def have_it_paused(opened: StudyDir, tell: Tell) -> None:
    """Have the driver of a study on this machine pause its trials and end, if there is one."""
    waiting = "waiting for its driver: the trials pause at the ends of their epochs"
    waited: list[str] = []

    def wait() -> None:
        waited.append(waiting)
        tell(waiting)

    with interruption_told(lambda: _asked_no_more(opened.path) if waited else ""):
        ask_for(opened.path, ourselves(), wait)


def have_it_left(address: str, tell: Tell, moved: str = "") -> None:
    """Have the driver of a mirrored study, wherever it runs, pause its trials, ship all and end.

    Args:
        address: The mirror.
        tell: Told whom it waits for.
        moved: Address of its new mirror; "" where it stays.

    Raises:
        StorageError: The mirror cannot be read or written, or was moved elsewhere already.
    """
    told: list[str] = []

    def wait(lease: Lease) -> None:
        if lease.who not in told:
            told.append(lease.who)
            tell(f"waiting for {lease.who}: the trials pause at the ends of their epochs")

    with interruption_told(lambda: _asked_no_more(address) if told else ""):
        retire(address, _LEASE_S, moved, wait)
