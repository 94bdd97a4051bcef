"""Entries of the best-config store: what is kept, under which name, and what may be compared."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from pydantic import Field, PositiveInt

from trainables.datasets.prepared import PreparedDataset
from tune.best.backbones import MARK_DIGITS, MARKED_BACKBONE, same_backbone
from tune.spec import Spec

_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")

_NO_BACKBONE: Final = "_"

ENTRY_NAME: Final = re.compile(
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
        found = ENTRY_NAME.fullmatch(self.name)
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


def entry_name(best: StoredBest, *, everywhere: bool) -> str:
    """The document of an entry."""
    folder = f"{_file_name(best.engine)}/{_folder_name(best.backbone) or _NO_BACKBONE}"
    return f"{folder}/{'global' if everywhere else f'data/{_file_name(best.data_set)}'}.json"


def comparable(known: StoredBest, new: StoredBest) -> bool:
    """Whether two values are of the same metric on the same pictures."""
    return not not_comparable(known, new)


def not_comparable(known: StoredBest, new: StoredBest) -> str:
    """In what two configurations differ that must be equal to compare their values; "" for none."""
    parts = {
        "metric": known.metric == new.metric,
        "direction": known.mode == new.mode,
        "data set": known.data_set == new.data_set,
        "fingerprint of the pictures": known.fingerprint == new.fingerprint,
    }
    return " and ".join(name for name, equal in parts.items() if not equal)


def told_with_worth(best: StoredBest) -> str:
    """A configuration with all that says what its value is worth."""
    place = f" in {best.data}" if best.data else ""
    return (
        f"{best.origin()} on {best.data_set}{place}, fingerprint {best.fingerprint[:MARK_DIGITS]}"
    )


def _folder_name(backbone: str) -> str:
    """A backbone as a folder may be called; the mark of a file stays, which no other name has."""
    marked = MARKED_BACKBONE.fullmatch(backbone)
    return f"{_file_name(marked[1])}@{marked[2]}" if marked else _file_name(backbone)


def _file_name(name: str) -> str:
    """A name as a file may have it: itself, or its letters and a hash."""
    if not name or _PLAIN.fullmatch(name):
        return name
    letters = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40].strip("-")
    return f"{letters}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
