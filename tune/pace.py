"""How fast trials are: measured by a probe, or seen in past studies on the same data."""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from tune.errors import StoreError
from tune.files import write_json
from tune.folders import ELAPSED, read_json

if TYPE_CHECKING:
    from tune.plan import StudyPlan
    from tune.store import StudyDir, TrialRecord

PROBE: Final = "probe.json"  # in the study directory


@dataclass(frozen=True)
class Pace:
    """What a trial takes while as many run as will.

    Attributes:
        epoch_s: An epoch.
        start_s: A trial's start: its process, framework, data and model.
    """

    epoch_s: float
    start_s: float = 0.0


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
    """What a trial's pace depends on."""
    return {
        **_like(plan.study.trainable, plan.data.fingerprint, plan.fixed),
        "cpus": plan.shares.cpus,
        "concurrent": plan.study.resources.concurrent,
    }


def _like(engine: str, fingerprint: str, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """What studies of like pace have in common."""
    sizes = {key: fixed.get(key) for key in ("imgsz", "model")}
    return {"engine": engine, "fingerprint": fingerprint, **sizes}


def _past_pace(plan: "StudyPlan") -> Pace | None:
    """Medians over all trials of studies of this engine, data and image size, or None."""
    from tune.store import StudyDir

    wanted = _like(plan.study.trainable, plan.data.fingerprint, plan.fixed)
    trials: list[TrialRecord] = []
    for folder in sorted(plan.directory.parent.glob("*/")):
        with contextlib.suppress(StoreError):
            study = StudyDir.open(folder)
            if _of(study) == wanted:
                trials += study.trials()
    epochs = [m["epoch_seconds"] for t in trials for m in t.metrics if "epoch_seconds" in m]
    if not epochs:
        return None
    firsts = [t.metrics[0] for t in trials if t.metrics and "epoch_seconds" in t.metrics[0]]
    starts = [max(0.0, m.get(ELAPSED, 0.0) - m["epoch_seconds"]) for m in firsts]
    return Pace(median(epochs), median(starts))


def _of(study: "StudyDir") -> dict[str, Any]:
    resolved = study.resolved
    return _like(resolved["engine"], resolved["fingerprint"], resolved["fixed"])
