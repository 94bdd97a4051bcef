"""Small texts that several processes or machines read and change, in a folder or in a bucket.

A change is one step: it is made of the text that is there, and where another one came between, of
that one. Nobody's change is lost, and nobody reads half of one.

Texts are UTF-8. Bytes that are not are given as surrogates (PEP 383), so that a reader can tell a
damaged text, and replace it, as it can any other.
"""

from collections.abc import Callable
from typing import Final, Protocol

Change = Callable[[str | None], str]
"""The new text made of the one that is there, or of None; what it raises stops the change."""

SUFFIX: Final = ".json"

ENCODING: Final = "utf-8"

DAMAGED: Final = "surrogateescape"


class Documents(Protocol):
    """Texts with names such as "a/b.json" in one place.

    Every method raises `StorageError` where the place cannot be read or written.
    """

    @property
    def place(self) -> str:
        """The place in words, for messages."""
        ...

    def names(self) -> list[str]:
        """The names of all there are, sorted."""
        ...

    def read(self, name: str) -> str | None:
        """A text, or None where there is none of this name."""
        ...

    def update(self, name: str, change: Change) -> None:
        """Change a text as one step; `change` may be called again if another one was faster."""
        ...

    def delete(self, name: str) -> bool:
        """Delete a text; False where there was none."""
        ...
