"""The diary of a mirrored study: one document at its mirror, whoever drives the study.

Each folder of the study has a copy. A note is taken at the mirror first, as one change of the
document, so two people who take notes at once on two machines lose none.
"""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from cluster.errors import LeaseError, StorageError
from cluster.storage.lease import read_lease
from trainables.files.whole import locked
from tune.directory.diary import Diary, read_diary, replace_diary
from tune.directory.layout import DIARY
from tune.mirror.bringing import Place


def bring_diary(place: Place, folder: Path) -> Diary:
    """Bring a folder's copy up to date; what only the folder has stays there too.

    Raises:
        StorageError: The mirror cannot be read, or its diary is damaged.
        StoreError: The folder's copy is damaged.
    """
    text = place.documents.read(DIARY)
    with locked(folder / DIARY, wait=True):
        here = read_diary(folder)
        both = here if text is None else parse_diary(text, place.address).with_notes_of(here)
        if both != here:
            replace_diary(folder, both)
    return both


def share_diary(place: Place, folder: Path) -> None:
    """Bring what a folder's copy has to the mirror, and what the mirror has to the folder.

    Raises:
        StorageError: The mirror cannot be read or written, or its diary is damaged.
        StoreError: The folder's copy is damaged.
    """
    both = bring_diary(place, folder)
    text = place.documents.read(DIARY)
    if both != (Diary() if text is None else parse_diary(text, place.address)):
        _change(place, both, lambda diary: diary)


def write_note(place: Place, folder: Path, changed: Callable[[Diary], Diary]) -> Diary:
    """Change a study's diary, at its mirror and in a folder of it; returns it as it then is.

    Args:
        place: The mirror.
        folder: The study directory.
        changed: The diary that one becomes; may be called again with another one.

    Raises:
        StorageError: The mirror cannot be written, or was moved.
        StoreError: The folder's copy is damaged or cannot be written; or raised by `changed`.
    """
    lease = read_lease(place.documents)
    if lease is not None and lease.moved:
        raise LeaseError(f"{place.address}: it was moved to {lease.moved}; take the note there")
    with locked(folder / DIARY, wait=True):
        after = _change(place, read_diary(folder), changed)
        replace_diary(folder, after)
    return after


def _change(place: Place, here: Diary, changed: Callable[[Diary], Diary]) -> Diary:
    made: list[Diary] = []

    def change(text: str | None) -> str:
        made.append(
            changed(here if text is None else parse_diary(text, place.address).with_notes_of(here))
        )
        return json.dumps(made[-1].model_dump(mode="json"), indent=1) + "\n"

    place.documents.update(DIARY, change)
    return made[-1]


def parse_diary(text: str, address: str) -> Diary:
    """The diary that a mirror's document holds.

    Raises:
        StorageError: It holds something else.
    """
    try:
        return Diary.model_validate(json.loads(text))
    except (ValueError, RecursionError, ValidationError) as error:
        raise StorageError(
            f"{address}/{DIARY}: expected a diary, got another content "
            f"({type(error).__name__}); remove it, or put a copy in its place"
        ) from error
