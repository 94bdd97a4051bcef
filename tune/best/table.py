"""Lines of `segtune best`: entries recorded, the one that would be used, changes made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.machines.machine import this_machine
from search_spaces.names import nearest_name, written
from trainables.datasets.prepared import PreparedDataset
from trainables.files.columns import aligned
from trainables.registry import engine_info
from tune.best.backbones import backbone_name
from tune.best.configuration import BestConfig
from tune.best.entries import DataKey, StoreEntry, not_comparable
from tune.best.store import BestStore
from tune.best.warm_start import DEFAULT_EPOCHS, preset_start, start_line
from tune.datasets.opening import open_data
from tune.errors import StoreError, UsageError
from tune.study.fitting import circumstances
from tune.study.space import defaults

_HEAD = ("engine", "backbone", "data set", "best", "from", "recorded")

_GLOBAL = "(global)"


def table_lines(entries: Sequence[StoreEntry], place: str) -> list[str]:
    """Everything that a store has, a line each.

    Args:
        entries: Entries of the store; those that cannot be read are not shown.
        place: The store.
    """
    rows = [_row(entry, entry.best) for entry in entries if entry.best is not None]
    if not entries:
        return [
            f"nothing is recorded in {place}; `segtune best set STUDY_DIR` records the best "
            "configuration of an exported study"
        ]
    return aligned([_HEAD, *rows]) if rows else []


def refuse_damaged(entries: Sequence[StoreEntry]) -> None:
    """Name the entries that cannot be read.

    Raises:
        StoreError: There are some.
    """
    if problems := [entry.problem for entry in entries if entry.problem]:
        raise StoreError("\n".join(problems))


def used_lines(
    store: BestStore, trainable: str, backbone: str | None, data: str | None
) -> list[str]:
    """The configuration that would be used, with its level and where it comes from.

    Args:
        store: Store to look into.
        trainable: The engine.
        backbone: None for the one recorded.
        data: Folder, address or recorded name of a data set; None for the global best.

    Raises:
        EngineError: There is no such engine.
        UsageError: There is no such folder nor name, or as for `BestStore.find_asked`.
        DatasetError: The folder is no prepared data set.
        StoreError: As for `BestStore.find`.
    """
    info = engine_info(trainable)
    prepared = None if data is None or not _is_folder(data) else open_data(data)
    key = None if data is None else _data_key(store, data, prepared)
    found, given = store.find_asked(info, key, backbone)
    best = found.best
    if best is None:
        there = None
        if prepared is not None:
            there = circumstances(prepared, DEFAULT_EPOCHS, this_machine().gpus)
        preset, start = preset_start(info, given, there)
        return [start_line(found, preset), *_param_lines({**defaults(info.params), **start})]
    length = f"epoch {best.objective.epoch} of {best.epochs}, the best of {_trials(best)}"
    return [found.line(), length, *_param_lines({**best.params, **given})]


def recorded_line(
    best: BestConfig, replaced: BestConfig | None, place: str, *, everywhere: bool
) -> str:
    """The configuration that was recorded, and the one that it replaced, for the user."""
    where = (
        f"global best, tuned on {best.data.name}" if everywhere else f"data set {best.data.name}"
    )
    line = f"recorded in {place} for {_model(best)}, {where}: {best.told}"
    if replaced is None:
        return line
    other = ", of other data or metric: not comparable" if not_comparable(replaced, best) else ""
    return f"{line}; in place of {replaced.told}{other}"


def cleared_lines(
    store: BestStore,
    trainable: str | None,
    backbone: str | None,
    data: str | None,
    *,
    everywhere: bool,
) -> list[str]:
    """Clear the entries that all of the given options name.

    Args:
        store: Store to clear entries of.
        trainable: Engine whose entries are meant; None for all.
        backbone: Backbone whose entries are meant; None for all.
        data: Folder, address or name of the data set whose entries are meant; None for all.
        everywhere: Whether only the global entries are meant.

    Raises:
        UsageError: Nothing is recorded of what they name.
    """
    if data is not None and everywhere:
        raise UsageError(f"best clear: expected --data or --global, got --data {data} and --global")
    entries = store.entries()
    prepared = None if data is None or not _is_folder(data) else open_data(data)
    name = None if data is None else _data_key(store, data, prepared).name
    key = None if backbone is None else backbone_name(backbone)
    chosen = [
        entry
        for entry in entries
        if entry.concerns(engine=trainable, backbone=key, data=name)
        and (entry.level == "global" or not everywhere)
    ]
    wanted = {"engine": trainable, "backbone": key, "data set": _GLOBAL if everywhere else name}
    asked = {what: value for what, value in wanted.items() if value is not None}
    if asked and not chosen:
        what = ", ".join(f"{key} {value}" for key, value in asked.items())
        known = "; ".join(", ".join(_place(entry)) for entry in entries) or "nothing"
        raise UsageError(f"best clear: expected what {store.place} has ({known}), got {what}")
    store.clear(chosen)
    return [f"cleared {_told(entry)}" for entry in chosen] or ["nothing to clear"]


def _told(entry: StoreEntry) -> str:
    """An entry in words: engine, backbone, data set, and its value or that it cannot be read."""
    best = entry.best
    value = str(best.objective) if best else "could not be read"
    return ", ".join([*_place(entry), value])


def _place(entry: StoreEntry) -> tuple[str, str, str]:
    """Engine, backbone and data set of an entry, as its content names them if it can be read."""
    best = entry.best
    engine, backbone, data = (
        (best.engine, best.kept.backbone, best.data.name)
        if best
        else (entry.engine, entry.backbone, entry.data_set or "")
    )
    return engine, backbone or "-", _GLOBAL if entry.level == "global" else data


def _row(entry: StoreEntry, best: BestConfig) -> tuple[str, ...]:
    return (*_place(entry), str(best.objective), str(best.source), best.kept.recorded[:10])


def _is_folder(data: str) -> bool:
    """Whether a folder is named, and not a recorded data set."""
    return Path(data).is_dir() or "/" in data


def _data_key(store: BestStore, data: str, prepared: PreparedDataset | None) -> DataKey:
    """The key of a data set, or of a name that is recorded."""
    if prepared is not None:
        return DataKey.of(prepared)
    entries = store.entries()
    known = sorted(
        {entry.best.data.name if entry.best else entry.data_set or "" for entry in entries} - {""}
    )
    if data in known:
        return DataKey(data)
    raise UsageError(
        f"--data: expected the folder of a prepared data set, or a recorded name "
        f"({', '.join(known) or 'there is none'}), got {data!r}{nearest_name(data, known)}"
    )


def _model(best: BestConfig) -> str:
    return f"{best.engine} {best.kept.backbone}".rstrip()


def _trials(best: BestConfig) -> str:
    return "1 trial" if best.source.trials == 1 else f"{best.source.trials} trials"


def _param_lines(params: dict[str, Any]) -> list[str]:
    return [f"  {key}: {written(value)}" for key, value in params.items()]
