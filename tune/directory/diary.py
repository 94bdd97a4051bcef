"""A study's diary: the notes and tags that people keep with it, in a file of its directory."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, ValidationError

from trainables.files.whole import locked, write_json
from tune.directory.layout import DIARY, read_json
from tune.errors import StoreError
from tune.spec import Spec

MOST_NOTE: Final = 2000
"""Most characters of a note."""

_TAG: Final = re.compile(r"[\w][\w.:/+-]{0,63}")


def plain_tag(tag: str) -> str:
    """A tag, refused where it is none.

    >>> plain_tag("paper-2026")
    'paper-2026'

    Raises:
        ValueError: It is empty, longer than 64 characters, or has a space in it.
    """
    if _TAG.fullmatch(tag):
        return tag
    near = re.sub(r"[^\w.:/+-]+", "-", tag).strip("-.:/+")[:64]
    hint = f"; the nearest is {near}" if near else ""
    raise ValueError(
        f"expected a tag of 1 to 64 letters, digits, - _ . : / or +, got {tag!r}{hint}"
    )


class Note(Spec):
    """A note.

    Attributes:
        at: When it was written, as ISO 8601 in UTC.
        text: Its text, of one line or several.
    """

    at: str
    text: Annotated[str, Field(min_length=1, max_length=MOST_NOTE)]


class Diary(Spec):
    """The notes of a study, oldest first, and its tags, in order of the alphabet."""

    notes: Annotated[tuple[Note, ...], Field(strict=False)] = ()
    tags: Annotated[tuple[Annotated[str, AfterValidator(plain_tag)], ...], Field(strict=False)] = ()

    @property
    def lines(self) -> list[str]:
        """The tags in a line, and each note in one."""
        tagged = [f"tags {', '.join(self.tags)}"] if self.tags else []
        return [*tagged, *(f"note {n.at[:10]}: {' '.join(n.text.split())}" for n in self.notes)]

    def changed(self, text: str = "", tags: Sequence[str] = (), untag: Sequence[str] = ()) -> Self:
        """The diary with a note more and with other tags.

        Args:
            text: The note; "" for none.
            tags: Tags to add.
            untag: Tags to take away.
        """
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        notes = (*self.notes, Note(at=now, text=text)) if text else self.notes
        kept = sorted({*self.tags, *tags} - set(untag))
        return type(self).model_validate({"notes": notes, "tags": tuple(kept)})

    def with_notes_of(self, other: Self) -> Self:
        """The diary with the notes of another one of the study too, each once, oldest first."""
        notes = sorted({*self.notes, *other.notes}, key=lambda note: (note.at, note.text))
        return self.model_copy(update={"notes": tuple(notes)})


def read_diary(study: Path) -> Diary:
    """The diary in a study directory, empty where nobody has written one.

    Raises:
        StoreError: The file is damaged.
    """
    try:
        return Diary.model_validate(read_json(study / DIARY))
    except ValidationError as error:
        raise StoreError(f"{study / DIARY}: the diary cannot be read: {_said(error)}") from error


def write_diary(
    study: Path, text: str = "", tags: Sequence[str] = (), untag: Sequence[str] = ()
) -> Diary:
    """Add a note and tags to a study's diary, or take tags away; returns it as it then is.

    Raises:
        StoreError: The diary is damaged, or note or tags cannot be kept.
    """
    with locked(study / DIARY, wait=True):
        after = noted(read_diary(study), study, text, tags, untag)
        replace_diary(study, after)
    return after


def noted(
    before: Diary, study: Path, text: str, tags: Sequence[str], untag: Sequence[str]
) -> Diary:
    """A study's diary with a note more and with other tags.

    Raises:
        StoreError: Note or tags cannot be kept.
    """
    if missing := sorted(set(untag) - set(before.tags)):
        has = ", ".join(before.tags) or "none"
        raise StoreError(f"--untag: expected one of its tags ({has}), got {missing[0]}")
    try:
        return before.changed(text, tags, untag)
    except ValidationError as error:
        raise StoreError(f"{study}: {_said(error)}") from error


def replace_diary(study: Path, diary: Diary) -> None:
    """Write a study's diary; its file must be locked."""
    write_json(study / DIARY, diary.model_dump(mode="json"))


def _said(error: ValidationError) -> str:
    """The first thing that is wrong, with its place."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
