"""The best configurations known: of a data set, or of all, for each engine and backbone.

::

    <store>/<engine>/<backbone>/data/<data set>.json    the best of one data set
    <store>/<engine>/<backbone>/global.json             what other data sets begin with

A store is a folder, by default `best-configs` beside the study directories, or gs://BUCKET/FOLDER.
What is looked up is the data set's best, else the global one, else nothing: the engine's defaults.
Each best is a document of its own and nothing is merged, so what is set for one data set can never
change what another gets.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, PositiveInt, ValidationError

from cluster.documents import Documents, open_documents
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
_GLOBAL: Final = "global.json"

Level = Literal["data set", "global", "default"]


class StoredBest(Spec):
    """A configuration and what it reached.

    Attributes:
        format: Of the document.
        engine: Name in the registry.
        backbone: Value of the engine's backbone key, of a file its name; "" where it has none.
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
        name: Of its document.
        best: What it holds.
    """

    name: str
    best: StoredBest

    @property
    def level(self) -> Level:
        """Whether it is the best of its data set or the global one."""
        return "global" if self.name.endswith(f"/{_GLOBAL}") else "data set"


@dataclass(frozen=True)
class Found:
    """What a store has for a data set.

    Attributes:
        level: Which level it was found at; "default": nothing is known, the engine's defaults hold.
        best: The configuration, None for the default.
        wanted: The data set it was asked for, None for none.
        place: The store.
    """

    level: Level
    best: StoredBest | None
    wanted: "DataKey | None"
    place: str

    def line(self) -> str:
        """Which level is used, and where it comes from."""
        asked = f" for the data set {self.wanted.name}" if self.wanted else ""
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
    """The backbone a configuration trains: its name, the file's name of a file; "" for none."""
    if not info.backbone:
        return ""
    default = info.params.model_fields[info.backbone].default
    return Path(str(params.get(info.backbone, default))).name


def given_backbone(info: EngineInfo, backbone: str | None) -> dict[str, Any]:
    """The hyperparameter that a named backbone is; empty for none.

    Raises:
        UsageError: The engine has no such backbone.
    """
    if backbone is None:
        return {}
    if not info.backbone:
        raise UsageError(f"--backbone: expected none, as {info.name} has but one, got {backbone}")
    here = Path(backbone)
    value = str(here.resolve()) if here.suffix and here.is_file() else backbone
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
        """All there are.

        Raises:
            StoreError: One cannot be read.
        """
        return [self._kept(name) for name in self._names()]

    def find(self, info: EngineInfo, data: DataKey | None, backbone: str | None = None) -> Found:
        """The best of a data set, else the global one, else the default.

        Args:
            info: The engine.
            data: None to ask for the global one.
            backbone: None for whichever is recorded.

        Raises:
            StoreError: An entry cannot be read, or several backbones are recorded and none named.
        """
        under = _folder(info.name, backbone)
        names = [name for name in self._names() if re.match(under, name)]
        ends: dict[Level, str]
        ends = {"global": f"/{_GLOBAL}"} if data is None else _ends(data.name)
        for level, end in ends.items():
            found = [self._kept(name).best for name in names if name.endswith(end)]
            if len(found) > 1:
                raise StoreError(self._which(info, found))
            if found:
                return Found(level, _checked(found[0], info, self.place), data, self.place)
        return Found("default", None, data, self.place)

    def put(self, best: StoredBest, *, everywhere: bool, force: bool = False) -> StoredBest | None:
        """Record a best configuration; two writers at once leave the better of both.

        Args:
            best: What to record.
            everywhere: Record it as the global one, not for its data set.
            force: Record it even where a better one of the same data and metric is known.

        Returns:
            What it replaced.

        Raises:
            StoreError: A better one is known.
        """
        known: StoredBest | None = None
        name = entry_name(best, everywhere=everywhere)

        def change(text: str | None) -> str:
            nonlocal known
            known = None if text is None else self._read(name, text)
            if known is not None and not force:
                self._refuse_worse(known, best)
            return best.model_dump_json(indent=2) + "\n"

        self._documents.update(name, change)
        return known

    def clear(self, entries: Sequence[Kept]) -> int:
        """Delete entries; returns how many were still there."""
        return sum(self._documents.delete(entry.name) for entry in entries)

    def _names(self) -> list[str]:
        """Names of entries; a folder may hold other things."""
        pattern = re.compile(r"[^/]+/[^/]+/(?:global|data/[^/]+)\.json")
        return [name for name in self._documents.names() if pattern.fullmatch(name)]

    def _kept(self, name: str) -> Kept:
        text = self._documents.read(name)
        if text is None:
            raise StoreError(f"{self.place}/{name}: it was deleted just now; try again")
        return Kept(name, self._read(name, text))

    def _read(self, name: str, text: str) -> StoredBest:
        try:
            return StoredBest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise StoreError(
                f"{self.place}/{name}: expected a best configuration as `segtune best set` writes "
                f"it, got a document that cannot be read ({key + ': ' if key else ''}"
                f"{first['msg']}); delete it"
            ) from error

    def _refuse_worse(self, known: StoredBest, new: StoredBest) -> None:
        same = (known.fingerprint, known.metric) == (new.fingerprint, new.metric)
        gain = (new.value - known.value) * (1 if new.mode == "max" else -1)
        if same and gain < 0:
            raise StoreError(
                f"{self.place}: expected a better configuration than the known one of "
                f"{known.data_set}, {known.origin()}, got {new.metric} {new.value:.4f} of "
                f"{new.study}; --force replaces it"
            )

    def _which(self, info: EngineInfo, found: Sequence[StoredBest]) -> str:
        known = "; ".join(f"{best.backbone}: {best.origin()}" for best in found)
        return (
            f"{self.place}: expected one {info.backbone} of {info.name}, got {len(found)}; name "
            f"one with --backbone: {known}"
        )


def entry_name(best: StoredBest, *, everywhere: bool) -> str:
    """The document of an entry."""
    folder = f"{_file_name(best.engine)}/{_file_name(best.backbone) or _NO_BACKBONE}"
    end = f"/{_GLOBAL}" if everywhere else _ends(best.data_set)["data set"]
    return folder + end


def _folder(engine: str, backbone: str | None) -> str:
    """A pattern of an engine's folders, or of the one of its backbone."""
    if backbone is None:
        return f"{re.escape(_file_name(engine))}/[^/]+/"
    return re.escape(f"{_file_name(engine)}/{_file_name(backbone) or _NO_BACKBONE}/")


def _ends(data_set: str) -> dict[Level, str]:
    """How the names of the entries of each level end, the first to be looked at first."""
    return {"data set": f"/data/{_file_name(data_set)}.json", "global": f"/{_GLOBAL}"}


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
