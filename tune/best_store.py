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

import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, PositiveInt, ValidationError

from cluster.documents import Documents, open_documents
from cluster.errors import StorageError
from search_spaces.names import nearest_name
from trainables.contract import EngineInfo
from trainables.datasets.prepared import PreparedDataset
from tune.allowed import field_schema, mismatch
from tune.errors import StoreError, UsageError
from tune.spec import Spec

STORE_VARIABLE: Final = "SEGTUNE_STORE"
STORE_FOLDER: Final = "best-configs"

_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_NO_BACKBONE: Final = "_"
_MARK_DIGITS: Final = 12
_MARKED: Final = re.compile(rf"(.+)@([0-9a-f]{{{_MARK_DIGITS}}})")
_ENTRY: Final = re.compile(
    r"(?P<engine>[^/]+)/(?P<backbone>[^/]+)/(?:global|data/(?P<data>[^/]+))\.json"
)

Level = Literal["data set", "global", "default"]


class StoredBest(Spec):
    """A configuration and what it reached.

    Attributes:
        format: Of the document.
        engine: Name in the registry.
        backbone: As `backbone_of` names it; "" where the engine has but one.
        data_set: Name of the data set it was measured on.
        fingerprint: Of that data set's content.
        data: Where the data set was.
        params: Every hyperparameter that was set, fixed and sampled ones.
        sampled: The keys of `params` that were sampled.
        epochs: Length of a full training.
        seed: Of the training.
        cpus: CPU threads of the training, where known.
        metric: What was tuned.
        mode: Its direction.
        value: What it reached on the validation part.
        epoch: Where, 1-based.
        study: Where it comes from.
        trial: Its number, or None for a configuration that was written by hand.
        trials: How many trials it was the best of.
        recorded: When it was put here, ISO 8601.
        segtune: Version that wrote it.
    """

    format: Literal[1] = 1
    engine: str
    backbone: str
    data_set: str
    fingerprint: str
    data: str = ""
    params: dict[str, Any]
    sampled: tuple[str, ...] = ()
    epochs: PositiveInt
    seed: int = 0
    cpus: PositiveInt | None = None
    metric: str
    mode: Literal["max", "min"]
    value: float
    epoch: PositiveInt
    study: str
    trial: int | None = None
    trials: int = Field(1, ge=1)
    recorded: str
    segtune: str = ""

    def origin(self) -> str:
        """What it reached, where and when, for a reader."""
        trial = "" if self.trial is None else f", trial {self.trial}"
        return f"{self.metric} {self.value:.4f} ({self.study}{trial}, {self.recorded[:10]})"


@dataclass(frozen=True)
class Kept:
    """An entry of a store.

    Attributes:
        name: Of its document; engine, backbone and data set stand in it.
        best: What it holds; None where that cannot be read.
        problem: Why it cannot be read, and what to do about it; "" where it can.
    """

    name: str
    best: StoredBest | None
    problem: str = ""

    @property
    def engine(self) -> str:
        """Name of the engine, as a file has it."""
        return str(self._place["engine"])

    @property
    def backbone(self) -> str:
        """Name of the backbone, as a file has it; "" for none."""
        found = str(self._place["backbone"])
        return "" if found == _NO_BACKBONE else found

    @property
    def data_set(self) -> str | None:
        """Name of the data set, as a file has it; None for the global entry."""
        return self._place["data"]

    @property
    def level(self) -> Level:
        """Whether it is the best of its data set or the global one."""
        return "global" if self.data_set is None else "data set"

    def concerns(
        self, *, engine: str | None = None, backbone: str | None = None, data: str | None = None
    ) -> bool:
        """Whether it is of this engine, backbone and data set; None for any.

        A backbone named without a file's mark stands for all files of that name.
        """
        return (
            (engine is None or self.engine == _file_name(engine))
            and (backbone is None or same_backbone(_folder_name(backbone), self.backbone))
            and (data is None or self.data_set == _file_name(data))
        )

    @property
    def _place(self) -> Mapping[str, str | None]:
        found = _ENTRY.fullmatch(self.name)
        assert found is not None, self.name
        return found.groupdict()


@dataclass(frozen=True)
class Found:
    """What a store has for a data set.

    Attributes:
        level: Which level it was found at; "default": nothing is known, the engine's defaults hold.
        best: The configuration, None for the default.
        wanted: The data set it was asked for, None for none.
        place: The store.
        backbone: The one it was asked for, None for any.
    """

    level: Level
    best: StoredBest | None
    wanted: "DataKey | None"
    place: str
    backbone: str | None = None

    def line(self) -> str:
        """Which level is used, and where it comes from."""
        asked = f" for the data set {self.wanted.name}" if self.wanted else ""
        if self.backbone:
            asked += f" with {self.backbone}"
        if self.best is None:
            return f"engine default: nothing is recorded{asked} in {self.place}"
        if self.level == "data set":
            return f"best of the data set {self.best.data_set}: {self.best.origin()}{self._changed}"
        other = f", tuned on {self.best.data_set}"
        none = f"; {self.place} has none{asked}" if asked else ""
        return f"global best: {self.best.origin()}{other}{none}"

    @property
    def _changed(self) -> str:
        now = self.wanted.fingerprint if self.wanted else None
        then = self.best.fingerprint if self.best else None
        if now is None or now == then:
            return ""
        return "; the data set was changed since, so that value is not comparable"


@dataclass(frozen=True)
class DataKey:
    """What names a data set in a store: an extended data set keeps its best.

    Attributes:
        name: As given to `segtune prepare`.
        fingerprint: Of its content now, None where only the name is at hand.
    """

    name: str
    fingerprint: str | None = None

    @classmethod
    def of(cls, data: PreparedDataset) -> Self:
        """The key of a prepared data set."""
        return cls(data.name, data.fingerprint)


def store_place(given: str | None = None, storage: Path = Path("studies")) -> str:
    """Where the store is: as given, else $SEGTUNE_STORE, else beside the studies in `storage`."""
    return given or os.environ.get(STORE_VARIABLE) or str(storage / STORE_FOLDER)


def backbone_of(info: EngineInfo, params: Mapping[str, Any]) -> str:
    """The backbone that a configuration trains, as a store names it; "" for none."""
    if not info.backbone:
        return ""
    default = info.params.model_fields[info.backbone].default
    return backbone_name(str(params.get(info.backbone, default)))


def backbone_name(value: str) -> str:
    """A backbone as a store names it: itself, or of a file its name and a mark of its content.

    Without the file at hand it is the name alone, which stands for all files of that name.
    """
    file = Path(value)
    if not file.is_file():
        return file.name
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return f"{file.name}@{digest[:_MARK_DIGITS]}"


def same_backbone(wanted: str, known: str) -> bool:
    """Whether a backbone is the one that is wanted: equal, or any file of a name without mark."""
    marked = _MARKED.fullmatch(known)
    return wanted == known or (marked is not None and wanted == marked[1])


def given_backbone(info: EngineInfo, backbone: str | None) -> dict[str, Any]:
    """The hyperparameter that a named backbone is; empty for none, or for a recorded file's name.

    Raises:
        UsageError: The engine has no such backbone.
    """
    if backbone is None:
        return {}
    if not info.backbone:
        raise UsageError(f"--backbone: expected none, as {info.name} has but one, got {backbone}")
    here = Path(backbone)
    is_file = here.is_file()
    if not is_file and _MARKED.fullmatch(backbone):
        return {}
    value = str(here.resolve()) if here.suffix and is_file else backbone
    try:
        info.params.model_validate({info.backbone: value})
    except ValidationError as error:
        wrong = mismatch(*field_schema(info.params, info.backbone), value)
        raise UsageError(f"--backbone: {info.name}: {wrong}") from error
    return {info.backbone: value}


class BestStore:
    """A best-config store.

    Every method raises `cluster.errors.StorageError` where the place cannot be read or written.
    """

    def __init__(self, place: str) -> None:
        self._documents: Documents = open_documents(place)

    @property
    def place(self) -> str:
        """Where it is."""
        return self._documents.place

    def entries(self) -> list[Kept]:
        """All there are; of those that cannot be read, why."""
        return [self._kept(name) for name in self._names()]

    def find(self, info: EngineInfo, data: DataKey | None, backbone: str | None = None) -> Found:
        """The best of a data set, else the global one, else the default.

        Args:
            info: The engine.
            data: None to ask for the global one.
            backbone: As `backbone_of` names it; None for whichever is recorded.

        Raises:
            StoreError: An entry cannot be read, or several backbones are recorded and none named.
        """
        named = [Kept(name, None) for name in self._names()]
        levels: dict[Level, list[Kept]] = {
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
                return Found(level, best, data, self.place, backbone)
        return Found("default", None, data, self.place, backbone)

    def find_asked(
        self, info: EngineInfo, data: DataKey | None, backbone: str | None
    ) -> tuple[Found, dict[str, Any]]:
        """What is found for a backbone as the user names it, and the hyperparameter that it is.

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

    def put(self, best: StoredBest, *, everywhere: bool, force: bool = False) -> StoredBest | None:
        """Record a best configuration; two writers at once leave the better of both.

        Args:
            best: What to record.
            everywhere: Record it as the global one, not for its data set.
            force: Record it whatever is there: a better one, one that cannot be compared, one that
                cannot be read.

        Returns:
            What it replaced, where that could be read.

        Raises:
            StoreError: What is there may not be replaced without `force`.
        """
        known: StoredBest | None = None
        name = entry_name(best, everywhere=everywhere)

        def change(text: str | None) -> str:
            nonlocal known
            there = None if text is None else self._read(name, text)
            known = None if there is None else there.best
            if there is not None and not force:
                self._refuse_loss(there, best)
            return best.model_dump_json(indent=2) + "\n"

        self._documents.update(name, change)
        return known

    def clear(self, entries: Sequence[Kept]) -> int:
        """Delete entries; returns how many were still there."""
        return sum(self._documents.delete(entry.name) for entry in entries)

    def _names(self) -> list[str]:
        """Names of entries; a folder may hold other things."""
        return [name for name in self._documents.names() if _ENTRY.fullmatch(name)]

    def _kept(self, name: str) -> Kept:
        try:
            text = self._documents.read(name)
        except StorageError as error:
            return Kept(name, None, str(error))
        if text is None:
            return Kept(name, None, f"{self.place}/{name}: it was deleted just now; try again")
        return self._read(name, text)

    def _readable(self, name: str) -> StoredBest:
        entry = self._kept(name)
        if entry.best is None:
            raise StoreError(entry.problem)
        return entry.best

    def _read(self, name: str, text: str) -> Kept:
        place = Kept(name, None)
        try:
            best = StoredBest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            reason = f"{key}: {first['msg']}" if key else first["msg"]
            return Kept(name, None, self._damage(place, reason))
        if entry_name(best, everywhere=place.level == "global") != name:
            words = f"it is of {best.engine} {best.backbone or '-'} on {best.data_set}, moved here"
            return Kept(name, None, self._damage(place, words))
        return Kept(name, best)

    def _damage(self, entry: Kept, reason: str) -> str:
        backbone = f" --backbone {entry.backbone}" if entry.backbone else ""
        level = "--global" if entry.data_set is None else f"--data {entry.data_set}"
        clear = f"segtune best clear --trainable {entry.engine}{backbone} {level}"
        return (
            f"{self.place}/{entry.name}: expected a best configuration as `segtune best set` "
            f"writes it, got a document that cannot be used ({reason}"
            f"); replace it with `segtune best set --force`, or remove it with `{clear} --store "
            f"{shlex.quote(self.place)}`"
        )

    def _refuse_loss(self, there: Kept, new: StoredBest) -> None:
        """Refuse to replace what is better, or what nobody can say to be worse.

        Raises:
            StoreError: It is.
        """
        known = there.best
        if known is None:
            raise StoreError(there.problem)
        differs = _not_comparable(known, new)
        gain = (new.value - known.value) * (1 if new.mode == "max" else -1)
        if not differs and gain >= 0:
            return
        expected = (
            f"the metric, direction and pictures of the known one (it differs in {differs})"
            if differs
            else f"a better configuration than the known one of {known.data_set}"
        )
        raise StoreError(
            f"{self.place}: expected {expected}; known is {_told(known)}; got {_told(new)}; "
            "--force replaces the known one"
        )

    def _which(self, info: EngineInfo, found: Sequence[StoredBest]) -> str:
        known = "; ".join(f"{best.backbone}: {best.origin()}" for best in found)
        return (
            f"{self.place}: expected one {info.backbone} of {info.name}, got {len(found)}; name "
            f"one with --backbone: {known}"
        )


def entry_name(best: StoredBest, *, everywhere: bool) -> str:
    """The document of an entry."""
    folder = f"{_file_name(best.engine)}/{_folder_name(best.backbone) or _NO_BACKBONE}"
    return f"{folder}/{'global' if everywhere else f'data/{_file_name(best.data_set)}'}.json"


def comparable(known: StoredBest, new: StoredBest) -> bool:
    """Whether two values are of the same metric on the same pictures."""
    return not _not_comparable(known, new)


def _not_comparable(known: StoredBest, new: StoredBest) -> str:
    """In what two configurations differ that must be equal to compare their values; "" for none."""
    parts = {
        "metric": known.metric == new.metric,
        "direction": known.mode == new.mode,
        "data set": known.data_set == new.data_set,
        "fingerprint of the pictures": known.fingerprint == new.fingerprint,
    }
    return " and ".join(name for name, equal in parts.items() if not equal)


def _told(best: StoredBest) -> str:
    """A configuration with all that says what its value is worth."""
    place = f" in {best.data}" if best.data else ""
    return (
        f"{best.origin()} on {best.data_set}{place}, fingerprint {best.fingerprint[:_MARK_DIGITS]}"
    )


def _folder_name(backbone: str) -> str:
    """A backbone as a folder may be called; the mark of a file stays, which no other name has."""
    marked = _MARKED.fullmatch(backbone)
    return f"{_file_name(marked[1])}@{marked[2]}" if marked else _file_name(backbone)


def _file_name(name: str) -> str:
    """A name as a file may have it: itself, or its letters and a hash."""
    if not name or _PLAIN.fullmatch(name):
        return name
    letters = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-")
    return f"{letters}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _checked(best: StoredBest, info: EngineInfo, place: str) -> StoredBest:
    """An entry whose values the engine accepts.

    Raises:
        StoreError: It refuses some of them.
    """
    try:
        info.params.model_validate(best.params)
    except ValidationError as error:
        fields = info.params.model_fields
        wrong = []
        for problem in error.errors():
            key = str(problem["loc"][0]) if problem["loc"] else "params"
            hint = "" if key in fields else nearest_name(key, fields)
            wrong.append(f"{key}: {problem['msg']}, got {problem['input']!r}{hint}")
        raise StoreError(
            f"{place}: the best of {info.name} on {best.data_set} ({best.study}) is not valid for "
            f"this version of the engine: {'; '.join(wrong)}; record another with `segtune best "
            "set --force`, or remove it with `segtune best clear`"
        ) from error
    return best
