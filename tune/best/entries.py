"""Entries of the best-config store: what is kept, under which name, and what may be compared."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from pydantic import ValidationError

from trainables.datasets.prepared import PreparedDataset
from tune.best.backbones import MARK_DIGITS, MARKED_BACKBONE, same_backbone
from tune.best.configuration import BestConfig

_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")

_NO_BACKBONE: Final = "_"

ENTRY_NAME: Final = re.compile(
    r"(?P<engine>[^/]+)/(?P<backbone>[^/]+)/(?:global|data/(?P<data>[^/]+))\.json"
)

Level = Literal["data set", "global", "default"]


@dataclass(frozen=True)
class StoreEntry:
    """An entry of a store.

    Attributes:
        name: Name of its document; engine, backbone and data set stand in it.
        best: The configuration in it; None where that cannot be read.
        problem: Reason why it cannot be read, and what to do about it; "" where it can.
    """

    name: str
    best: BestConfig | None
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
class FoundBest:
    """The answer of a store to the question for a data set's best configuration.

    Attributes:
        level: Level of the answer; "default": nothing is known, the engine's preset says
            what is taken.
        best: The configuration, None for the default.
        wanted: Key of the data set that was asked for, None for none.
        place: Place of the store.
        backbone: Name of the backbone that was asked for, None for any.
    """

    level: Level
    best: BestConfig | None
    wanted: "DataKey | None"
    place: str
    backbone: str | None = None

    def line(self) -> str:
        """The level and the origin of the answer, for the user."""
        asked = f" for the data set {self.wanted.name}" if self.wanted else ""
        if self.backbone:
            asked += f" with {self.backbone}"
        if self.best is None and self.wanted is None:
            return (
                f"engine default: no global best{asked} is recorded in {self.place} (--data asks "
                "for a data set's own)"
            )
        if self.best is None:
            return f"engine default: nothing is recorded{asked} in {self.place}"
        if self.level == "data set":
            return f"best of the data set {self.best.data.name}: {self.best.told}{self._changed}"
        other = f", tuned on {self.best.data.name}"
        none = f"; {self.place} has none{asked}" if asked else ""
        return f"global best: {self.best.told}{other}{none}"

    @property
    def _changed(self) -> str:
        now = self.wanted.fingerprint if self.wanted else None
        then = self.best.data.fingerprint if self.best else None
        if now is None or now == then:
            return ""
        return "; the data set was changed since, so that value is not comparable"


@dataclass(frozen=True)
class DataKey:
    """The key of a data set in a store: its name, so that an extended data set keeps its best.

    Attributes:
        name: Name as given to `segtune prepare`.
        fingerprint: Fingerprint of its content now, None where only the name is at hand.
    """

    name: str
    fingerprint: str | None = None

    @classmethod
    def of(cls, data: PreparedDataset) -> Self:
        """The key of a prepared data set."""
        return cls(data.name, data.fingerprint)


def entry_name(best: BestConfig, *, everywhere: bool) -> str:
    """The name of the document that a configuration is kept in.

    Args:
        best: The configuration, with its place in a store.
        everywhere: Whether it is the global one.
    """
    folder = f"{_file_name(best.engine)}/{_folder_name(best.kept.backbone) or _NO_BACKBONE}"
    return f"{folder}/{'global' if everywhere else f'data/{_file_name(best.data.name)}'}.json"


def lacking(best: BestConfig) -> list[str]:
    """Keys that a store compares configurations by and that this one has no value for."""
    named = {
        "data.name (of the data set it was tuned on)": bool(best.data.name),
        "objective.value": best.objective.value is not None,
        "objective.epoch": best.objective.epoch is not None,
    }
    return [key for key, there in named.items() if not there]


def not_comparable(known: BestConfig, new: BestConfig) -> str:
    """The differences that forbid to compare the values of two configurations; "" for none."""
    equal = {
        "metric": known.objective.metric == new.objective.metric,
        "direction": known.objective.mode == new.objective.mode,
        "data set": known.data.name == new.data.name,
        "fingerprint of the pictures": known.data.fingerprint == new.data.fingerprint,
    }
    return " and ".join(name for name, same in equal.items() if not same)


def worse(new: BestConfig, known: BestConfig) -> bool:
    """Whether a configuration is worse than a comparable one.

    One that was confirmed is better than one that was not, whose value may be luck; of two, the
    means over their seeds are compared. Constraints decide where both were held to the same ones,
    else the objective alone does.
    """
    if (new.confirmed is None) != (known.confirmed is None):
        return new.confirmed is None
    if new.confirmed and known.confirmed:
        mean, before = new.confirmed.mean, known.confirmed.mean
        return mean < before if new.objective.mode == "max" else mean > before
    goal = new.objective.goal
    if goal != known.objective.goal:
        goal = replace(goal, limits=())
    return new.standing(goal) < known.standing(goal)


def told_with_worth(best: BestConfig) -> str:
    """A configuration with all that says what its value is worth."""
    mark = best.data.fingerprint[:MARK_DIGITS]
    return f"{best.told} on {best.data.name} in {best.data.path}, fingerprint {mark}"


def to_document(best: BestConfig) -> str:
    """Text of the document of an entry: the configuration with its place in the store."""
    return best.model_dump_json(indent=2) + "\n"


def read_document(text: str) -> BestConfig:
    """The configuration in a document, also in one of segtune 0.1.

    Raises:
        ValueError: It is none, or lacks what entries are compared by; the message says what.
    """
    content = json.loads(text)
    if isinstance(content, dict) and "data_set" in content:
        content = _nested(content)
    try:
        best = BestConfig.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{key}: {first['msg']}" if key else first["msg"]) from error
    missing = [*lacking(best), *([] if best.kept.recorded else ["kept.recorded"])]
    if missing:
        raise ValueError(f"{' and '.join(missing)}: expected a value, got none")
    return best


_OLD_KEYS: Final[Mapping[str, str]] = {
    "metric": "objective.metric",
    "mode": "objective.mode",
    "value": "objective.value",
    "epoch": "objective.epoch",
    "data_set": "data.name",
    "fingerprint": "data.fingerprint",
    "data": "data.path",
    "study": "source.study",
    "trial": "source.trial",
    "trials": "source.trials",
    "segtune": "source.segtune",
    "backbone": "kept.backbone",
    "recorded": "kept.recorded",
}
"""Keys of the flat documents of segtune 0.1, and where their values stand now."""

_OLD_RETRAINED: Final = ", retrained"
"""End of a study's name by which segtune 0.1 said that the configuration was trained again."""


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A document of segtune 0.1 as it is written today."""
    new: dict[str, Any] = {"classes": [], "objective": {}, "data": {}, "source": {}, "kept": {}}
    for key, value in flat.items():
        part, _, name = _OLD_KEYS.get(key, key).rpartition(".")
        (new[part] if part else new)[name] = value
    study = str(new["source"].get("study", ""))
    if study.endswith(_OLD_RETRAINED):
        new["source"] |= {"study": study.removesuffix(_OLD_RETRAINED), "retrained": True}
    return new


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
