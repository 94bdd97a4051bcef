"""What the lines of a study's journal say of reports and of the decisions on them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from tune.directory.journal import (
    CANNOT_BE,
    DECISION,
    EXCESS,
    SET_SYSTEM_ATTR,
    SET_VALUE,
    Arrival,
    Lines,
)
from tune.stopping.decision import Decision, Rule


def arrivals(path: Path) -> list[Arrival]:
    """Every report in the order in which it was decided.

    Raises:
        StoreError: A line of the journal is damaged.
    """
    found: dict[tuple[int, int], Arrival] = {}
    lines = Lines(path)
    entries = lines.more() if path.exists() else ()
    try:
        for entry in entries:
            if entry is not None:
                _add(entry, found)
    except CANNOT_BE as error:
        raise lines.own.damaged(f"expected a decision or a value, got no {error}") from error
    return list(found.values())


def _add(entry: Mapping[str, Any], found: dict[tuple[int, int], Arrival]) -> None:
    """Add what a line says of a report to those before it, by trial and epoch."""
    trial = entry.get("trial_id", -1)
    if entry["op_code"] == SET_VALUE:
        key = (trial, entry["step"])
        seen = found.get(key) or Arrival(*key, entry["intermediate_value"])
        found[key] = replace(seen, told=True)
    elif entry["op_code"] == SET_SYSTEM_ATTR:
        for name, written in entry["system_attr"].items():
            if name.startswith(DECISION):
                arrival = _decided(trial, int(name.removeprefix(DECISION)), written)
                found.setdefault((trial, arrival.epoch), arrival)


def _decided(trial: int, epoch: int, written: Mapping[str, Any]) -> Arrival:
    rule = None if written["rule"] is None else Rule(written["rule"])
    decision = Decision(
        written["go_on"], rule, written["rung"], written["cutoff"], written["value"]
    )
    excess = written.get(EXCESS, {})
    return Arrival(trial, epoch, written["reported"], decision, written["watched"], excess)


def excess_of(trial: FrozenTrial) -> dict[int, Mapping[str, float]]:
    """Amounts by which each constraint was broken, at each epoch of a journalled trial."""
    return {
        int(name.removeprefix(DECISION)): written[EXCESS]
        for name, written in trial.system_attrs.items()
        if name.startswith(DECISION) and written.get(EXCESS)
    }


def stop_of(trial: FrozenTrial) -> Decision | None:
    """The last decision that was to end a journalled trial, or None."""
    stops = {
        int(name.removeprefix(DECISION)): written
        for name, written in trial.system_attrs.items()
        if name.startswith(DECISION) and not written.get("go_on", True)
    }
    if not stops:
        return None
    last = max(stops)
    return _decided(trial.number, last, stops[last]).decision


def reported_of(trial: FrozenTrial) -> dict[int, float | None]:
    """The value that each decision on a journalled trial was taken on, by epoch.

    None where a damaged line of an earlier version does not say.
    """
    return {
        int(name.removeprefix(DECISION)): written.get("reported")
        for name, written in trial.system_attrs.items()
        if name.startswith(DECISION)
    }
