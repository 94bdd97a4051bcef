"""How long an epoch took in past studies of the same kind, or in a probe."""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from trainables.contract import EngineInfo
from trainables.files.whole import write_json
from tune.directory.layout import ELAPSED, read_json
from tune.errors import StoreError
from tune.plan.pace import Pace

if TYPE_CHECKING:
    from tune.directory.reader import TrialRecord
    from tune.plan.plan import StudyPlan
    from tune.study.study import Study


PROBE: Final = "probe.json"  # in the study directory


def known_pace(plan: "StudyPlan") -> Pace | None:
    """The pace of a study's trials as far as it is known: probed, or of past studies."""
    return probed_pace(plan) or _past_pace(plan)


def keep_probed(plan: "StudyPlan", pace: Pace) -> None:
    """Write a probe's result into the study directory, where `tune` finds it."""
    plan.directory.mkdir(parents=True, exist_ok=True)
    write_json(plan.directory / PROBE, {**_probed(plan), "pace": asdict(pace)})


def probed_pace(plan: "StudyPlan") -> Pace | None:
    """The result of a probe of this study, unless the study was changed since."""
    found = read_json(plan.directory / PROBE)
    pace = found.pop("pace", None)
    return Pace(**pace) if pace and found == _probed(plan) else None


def _probed(plan: "StudyPlan") -> dict[str, Any]:
    """What a trial's pace depends on, as far as it is known beforehand."""
    from tune.plan.resolved import resolved

    return _like(plan.info, resolved(plan), plan.study)


def _like(info: EngineInfo, resolved: Mapping[str, Any], study: "Study") -> dict[str, Any]:
    """What studies of like pace have in common.

    Args:
        info: The engine.
        resolved: Of the study, as in its `resolved.json`.
        study: The study.
    """
    searched = {name: found["domain"] for name, found in resolved.get("search_space", {}).items()}
    values = {**searched, **resolved.get("fixed", {})}
    return {
        "engine": resolved["engine"],
        "fingerprint": resolved["fingerprint"],
        "sizes": {key: values.get(key) for key in (info.backbone, *info.sizes) if key},
        "cpus": resolved.get("cpus_per_trial"),
        "gpus": resolved.get("gpus", 0),
        "concurrent": study.resources.concurrent,
    }


def _past_pace(plan: "StudyPlan") -> Pace | None:
    """Medians over all trials of studies of like pace, or None."""
    from tune.directory.reader import StudyDir

    wanted = _probed(plan)
    trials: list[TrialRecord] = []
    for folder in sorted(plan.directory.parent.glob("*/")):
        with contextlib.suppress(StoreError):
            past = StudyDir.open(folder)
            if _like(plan.info, past.resolved, past.study) == wanted:
                trials += past.trials()
    seen = [t for t in trials if any("epoch_seconds" in m for m in t.metrics)]
    if not seen:
        return None
    epochs = [m["epoch_seconds"] for t in seen for m in t.metrics if "epoch_seconds" in m]
    firsts = [t.metrics[0] for t in seen if "epoch_seconds" in t.metrics[0]]
    starts = [max(0.0, m.get(ELAPSED, 0.0) - m["epoch_seconds"]) for m in firsts]
    noun = "trial" if len(seen) == 1 else "trials"
    return Pace(median(epochs), median(starts or [0.0]), f"{len(seen)} {noun} of past studies")
