"""The best configurations known: of a data set, or of all, for each engine and backbone.

::

    <store>/<engine>/<backbone>/data/<data set>.json    the best of one data set
    <store>/<engine>/<backbone>/global.json             what other data sets begin with

A name stands in a path as it is, or as its letters and a hash; of a weights file it is the file's
name and the beginning of its SHA-256, as two files may have one name. What an entry is follows from
its place alone, so that one that cannot be read can still be named, replaced and cleared.

A store is a folder, by default `best-configs` beside the study directories, or gs://BUCKET/FOLDER.
What is looked up is the data set's best, else the global one, else nothing: the engine's defaults.
Each best is a document of its own and nothing is merged, so what is set for one data set can never
change what another gets.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cluster.errors import StorageError
from cluster.storage.documents import Documents
from cluster.storage.opening import open_documents
from trainables.contract import EngineInfo
from tune.best.backbones import backbone_of, given_backbone
from tune.best.configuration import BestConfig, outdated_params
from tune.best.entries import (
    ENTRY_NAME,
    DataKey,
    FoundBest,
    Level,
    StoreEntry,
    entry_name,
    not_comparable,
    read_document,
    to_document,
    told_with_worth,
    worse,
)
from tune.errors import StoreError, UsageError

STORE_VARIABLE: Final = "SEGTUNE_STORE"

STORE_FOLDER: Final = "best-configs"


def store_place(given: str | None = None, storage: Path = Path("studies")) -> str:
    """The place of the store: the given one, $SEGTUNE_STORE, or a folder beside the studies."""
    return given or os.environ.get(STORE_VARIABLE) or str(storage / STORE_FOLDER)


class BestStore:
    """A best-config store.

    Every method raises `cluster.errors.StorageError` where the place cannot be read or written.
    """

    def __init__(self, place: str) -> None:
        self._documents: Documents = open_documents(place)

    @property
    def place(self) -> str:
        """Folder or address of the store."""
        return self._documents.place

    def entries(self) -> list[StoreEntry]:
        """Every entry; one that cannot be read says why."""
        return [self._kept(name) for name in self._names()]

    def find(
        self, info: EngineInfo, data: DataKey | None, backbone: str | None = None
    ) -> FoundBest:
        """The best of a data set, else the global one, else the default.

        Args:
            info: The engine.
            data: None to ask for the global one.
            backbone: As `backbone_of` names it; None for whichever is recorded.

        Raises:
            StoreError: An entry cannot be read, or several backbones are recorded and none named.
        """
        named = [StoreEntry(name, None) for name in self._names()]
        levels: dict[Level, list[StoreEntry]] = {
            "data set": [] if data is None else [e for e in named if e.concerns(data=data.name)],
            "global": [entry for entry in named if entry.level == "global"],
        }
        for level, entries in levels.items():
            found = [
                self._readable(entry.name)
                for entry in entries
                if entry.concerns(engine=info.name, backbone=backbone)
            ]
            if len(found) > 1:
                raise StoreError(self._which(info, found))
            if found:
                best = _checked(found[0], info, self.place)
                return FoundBest(level, best, data, self.place, backbone)
        return FoundBest("default", None, data, self.place, backbone)

    def find_asked(
        self, info: EngineInfo, data: DataKey | None, backbone: str | None
    ) -> tuple[FoundBest, dict[str, Any]]:
        """The answer for a backbone as the user names it, and the hyperparameter that it is.

        Args:
            info: The engine.
            data: None to ask for the global one.
            backbone: A value of the engine's key, a file, or the name of a recorded file; None for
                whichever is recorded.

        Raises:
            UsageError: The engine has no such backbone, or nothing is recorded of a file that only
                the store could know.
            StoreError: As for `find`.
        """
        given = given_backbone(info, backbone)
        found = self.find(info, data, backbone_of(info, given) if given else backbone)
        if backbone is not None and not given and found.best is None:
            raise UsageError(
                f"--backbone: expected a file, or one that is recorded in {self.place} for "
                f"{info.name} (see `segtune best show`), got {backbone}"
            )
        return found, given

    def put(self, best: BestConfig, *, everywhere: bool, force: bool = False) -> BestConfig | None:
        """Record a best configuration; two writers at once leave the better of both.

        Args:
            best: Configuration to record, with its place in a store.
            everywhere: Record it as the global one, not for its data set.
            force: Record it whatever is there: a better one, one that cannot be compared, one that
                cannot be read.

        Returns:
            The configuration that it replaced, where that could be read.

        Raises:
            StoreError: The entry that is there may not be replaced without `force`.
        """
        known: BestConfig | None = None
        name = entry_name(best, everywhere=everywhere)

        def change(text: str | None) -> str:
            nonlocal known
            there = None if text is None else self._read(name, text)
            known = None if there is None else there.best
            if there is not None and not force:
                self._refuse_loss(there, best)
            return to_document(best)

        self._documents.update(name, change)
        return known

    def clear(self, entries: Sequence[StoreEntry]) -> int:
        """Delete entries; returns how many were still there."""
        return sum(self._documents.delete(entry.name) for entry in entries)

    def _names(self) -> list[str]:
        """Names of entries; a folder may hold other things."""
        return [name for name in self._documents.names() if ENTRY_NAME.fullmatch(name)]

    def _kept(self, name: str) -> StoreEntry:
        try:
            text = self._documents.read(name)
        except StorageError as error:
            return StoreEntry(name, None, str(error))
        if text is None:
            return StoreEntry(
                name, None, f"{self.place}/{name}: it was deleted just now; try again"
            )
        return self._read(name, text)

    def _readable(self, name: str) -> BestConfig:
        entry = self._kept(name)
        if entry.best is None:
            raise StoreError(entry.problem)
        return entry.best

    def _read(self, name: str, text: str) -> StoreEntry:
        place = StoreEntry(name, None)
        try:
            best = read_document(text)
        except ValueError as error:
            return StoreEntry(name, None, self._damage(place, str(error)))
        if entry_name(best, everywhere=place.level == "global") != name:
            of = f"{best.engine} {best.kept.backbone or '-'} on {best.data.name}"
            return StoreEntry(name, None, self._damage(place, f"it is of {of}, moved here"))
        return StoreEntry(name, best)

    def _damage(self, entry: StoreEntry, reason: str) -> str:
        backbone = f" --backbone {entry.backbone}" if entry.backbone else ""
        level = "--global" if entry.data_set is None else f"--data {entry.data_set}"
        clear = f"segtune best clear --trainable {entry.engine}{backbone} {level}"
        return (
            f"{self.place}/{entry.name}: expected a best configuration as `segtune best set` "
            f"writes it, got a document that cannot be used ({reason}"
            f"); replace it with `segtune best set --force`, or remove it with `{clear} --store "
            f"{shlex.quote(self.place)}`"
        )

    def _refuse_loss(self, there: StoreEntry, new: BestConfig) -> None:
        """Refuse to replace what is better, or what nobody can say to be worse.

        Raises:
            StoreError: It is.
        """
        known = there.best
        if known is None:
            raise StoreError(there.problem)
        differs = not_comparable(known, new)
        if not differs and not worse(new, known):
            return
        expected = (
            f"the metric, direction and pictures of the known one (it differs in {differs})"
            if differs
            else f"a better configuration than the known one of {known.data.name}"
        )
        raise StoreError(
            f"{self.place}: expected {expected}; known is {told_with_worth(known)}; "
            f"got {told_with_worth(new)}; "
            "--force replaces the known one"
        )

    def _which(self, info: EngineInfo, found: Sequence[BestConfig]) -> str:
        known = "; ".join(f"{best.kept.backbone}: {best.told}" for best in found)
        return (
            f"{self.place}: expected one {info.backbone} of {info.name}, got {len(found)}; name "
            f"one with --backbone: {known}"
        )


def _checked(best: BestConfig, info: EngineInfo, place: str) -> BestConfig:
    """An entry whose values the engine accepts.

    Raises:
        StoreError: It refuses some of them.
    """
    if problems := outdated_params(info, best.params):
        raise StoreError(
            f"{place}: the best of {info.name} on {best.data.name} ({best.source.study}) is not "
            f"valid for this version of the engine: {'; '.join(map(str, problems))}; record "
            "another with `segtune best set --force`, or remove it with `segtune best clear`"
        )
    return best
