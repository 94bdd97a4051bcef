"""Reads back what W&B wrote on this machine: the `.wandb` file of a run.

The file is a log of protobuf records in LevelDB's log format: blocks of 32 KiB holding chunks
of `crc32 | length | type | data`, where a record longer than its block goes on in the next one.

Source: LevelDB, doc/log_format.md (W&B takes the plain CRC-32 of type and data instead of the
masked CRC-32C); `wandb.proto.wandb_internal_pb2.Record` for the records.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK = 32 * 1024

_CHUNK = struct.Struct("<IHB")  # crc32 of type and data, length of data, type

_HEADER = b":W&B\xe1\xbe\x00"

_FULL, _FIRST, _LAST = 1, 2, 4

_OWN = ("_step", "_runtime", "_timestamp")  # W&B's own columns in every row


@dataclass(frozen=True)
class LoggedArtifact:
    """An artifact as recorded with a run.

    Attributes:
        kind: W&B's artifact type.
        files: Path on this machine, by name within the artifact.
    """

    kind: str
    files: Mapping[str, Path]


@dataclass
class OfflineRun:
    """The content of a run's file so far.

    Attributes:
        run_id: The run's id, the same for every attempt at its trial.
        name: The name shown.
        group: The run's group, our study.
        project: The project it will be uploaded to.
        config: The run's configuration.
        history: Step and values of every logged row, in the order logged.
        logged_at: Moment at which each step was logged, in seconds since 1970, by step.
        summary: The run's summary values that were set, as W&B derives others from the history.
        derived: Rule by which W&B derives a metric's summary from the history, by the metric or
            pattern: "max", "min" or "none".
        tags: The run's tags.
        artifacts: Artifacts by name.
        exit_code: 0 finished, 1 failed; None where the run's process ended without a word.
        preempted: Whether the run was marked as interrupted, to be gone on with.
    """

    run_id: str = ""
    name: str = ""
    group: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    logged_at: dict[int, float] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    artifacts: dict[str, LoggedArtifact] = field(default_factory=dict)
    exit_code: int | None = None
    preempted: bool = False


def load_offline_run(directory: Path) -> OfflineRun:
    """Everything in a run's folder, up to the last whole record.

    Args:
        directory: `offline-run-<time>-<id>...` or `run-<time>-<id>...`.

    Raises:
        FileNotFoundError: The folder holds no `.wandb` file.
        ValueError: The file is not one of W&B's.
    """
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # W&B is slow

    file = next(iter(sorted(directory.glob("run-*.wandb"))), None)
    if file is None:
        raise FileNotFoundError(f"expected a run-*.wandb file in {directory}, found none")
    run = OfflineRun()
    for data in _records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        _take(run, record)
    return run


def read_offline_run(directory: Path) -> list[tuple[int, dict[str, Any]]]:
    """Step and values of every row logged to a run, in the order logged."""
    return load_offline_run(directory).history


def _records(log: bytes) -> Iterator[bytes]:
    """Whole records of a log; ends at the first torn or damaged one."""
    if log and not _HEADER.startswith(log[: len(_HEADER)]):
        raise ValueError(f"expected W&B's header {_HEADER!r}, got {log[: len(_HEADER)]!r}")
    position, record = len(_HEADER), b""
    while position + _CHUNK.size <= len(log):
        if _BLOCK - position % _BLOCK < _CHUNK.size:  # a block's unused end
            position += _BLOCK - position % _BLOCK
            continue
        checksum, length, kind = _CHUNK.unpack_from(log, position)
        start = position + _CHUNK.size
        data = log[start : start + length]
        if len(data) < length or zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum:
            return
        record = data if kind in (_FULL, _FIRST) else record + data
        if kind in (_FULL, _LAST):
            yield record
        position = start + length


def _take(run: OfflineRun, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run.run_id, run.name = record.run.run_id, record.run.display_name
        run.group, run.project = record.run.run_group, record.run.project
        run.tags = tuple(record.run.tags)
        run.config |= _values(record.run.config.update)
    elif kind == "config":
        run.config |= _values(record.config.update)
    elif kind == "history":
        values = _values(record.history.item)
        step = int(values["_step"])
        run.history.append((step, {k: v for k, v in values.items() if k not in _OWN}))
        run.logged_at[step] = float(values.get("_timestamp", 0.0))
    elif kind == "summary":
        run.summary |= _values(record.summary.update)
    else:
        _take_other(run, kind, record)


def _take_other(run: OfflineRun, kind: str | None, record: Any) -> None:
    if kind == "metric":
        metric = record.metric
        rules = [rule for rule in ("none", "min", "max") if getattr(metric.summary, rule)]
        run.derived[metric.name or metric.glob_name] = " ".join(rules)
    elif kind == "artifact":
        run.artifacts[record.artifact.name] = _artifact(record.artifact)
    elif kind == "preempting":
        run.preempted = True
    elif kind == "exit":
        run.exit_code = record.exit.exit_code


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {
        ".".join(item.nested_key) or item.key: json.loads(item.value_json)
        for item in items
        if not {item.key, *item.nested_key} & {"_wandb"}
    }


def _artifact(artifact: Any) -> LoggedArtifact:
    contents = artifact.manifest.contents
    return LoggedArtifact(artifact.type, {c.path: Path(c.local_path) for c in contents})
