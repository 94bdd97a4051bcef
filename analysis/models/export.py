"""The folder `best/`: a study's best trial, its model and its configuration in every form.

::

    best/model.pt          weights of the best epoch
    best/best.yaml         what `segtune retrain` takes
    best/best.json         the same as JSON
    best/experiment.json   the same as the record of an experiment
    best/overrides.txt     the same as overrides of a Hydra application
    best/native.yaml       the same in the engine's own words, where it has any
    best/native/           the weights in the framework's own form, where it can write one
    best/metrics.json      every metric of that epoch
    best/classes.txt       class names, one a line, in the order of the model's outputs
    best/model_card.md     what the model is, what was measured, what it must not be used for
"""

import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from analysis.errors import ExportError
from analysis.models.card import model_card
from analysis.models.confirmed import read_verdict
from analysis.models.overrides import write_overrides
from analysis.models.record import write_record
from trainables.contract import ExportForm
from trainables.datasets.prepared import PreparedDataset
from trainables.files.whole import locked, new_folder, write_json, write_text
from trainables.files.words import counted
from trainables.registry import engine_info, load_engine
from trainables.trials.keeping import KeptEpoch, read_kept
from trainables.trials.layout import METRICS, METRICS_FILE, MODEL_FILE
from tune.best.configuration import (
    BEST_FOLDER,
    BEST_YAML,
    BestConfig,
    ConfigOrigin,
    Reached,
    TrainedOn,
    confidences_in,
    own_version,
)
from tune.best.file import to_yaml
from tune.datasets.opening import data_here, in_bucket, whole_data
from tune.directory.ranking import best_trial
from tune.directory.reader import StudyDir, TrialRecord
from tune.study.study import Objective

log = logging.getLogger(__name__)

BEST_JSON: Final = "best.json"


def export_best(study: StudyDir, to: Path | None = None) -> Path:
    """Write the best trial's model and configuration in every form.

    The folder appears as a whole: until then an earlier export stays. A form that cannot be
    written is logged and named in the model card; the others are there.

    Args:
        study: Finished or not.
        to: Folder to write; `best/` of the study directory by default.

    Raises:
        ExportError: There is no model yet, or `to` holds something else than an export.
        FolderError: The folder cannot be written, or another process is writing it.
    """
    config, model = best_of(study)
    place = (to or study.path / BEST_FOLDER).absolute()
    check_replaceable(place)
    with locked(place):
        check_replaceable(place)  # a killed export may have been put back just now
        with new_folder(place) as new:
            shutil.copyfile(model, new / MODEL_FILE)
            write_forms(config, new, data_at_hand(config))
    return place


def best_of(study: StudyDir) -> tuple[BestConfig, Path]:
    """The best trial's configuration, and the model of its best epoch.

    Of a race that has named a configuration, it is the median training of that one.

    Raises:
        ExportError: No trial has a value yet, or the model is gone.
    """
    trials = study.trials()
    verdict = read_verdict(study.path) if study.study.search == "race" else None
    confirmed = None if verdict is None else verdict.confirmed
    if verdict is not None and verdict.trial is not None:
        trial: TrialRecord | None = trials[verdict.trial]
    else:
        trial = best_trial(trials, study.study.objective.goal)
    model = trial.best_model if trial else None
    if trial is None or model is None:
        raise ExportError(_why_nothing(study, trial, trials))
    kept = read_kept(model.parent, study.study.objective.metric)
    config = config_of(study, trial, kept, len(trials))
    return config.model_copy(update={"confirmed": confirmed}), model


def config_of(
    study: StudyDir, trial: TrialRecord, kept: KeptEpoch | None, n_trials: int
) -> BestConfig:
    """A trial of a study as a configuration to be trained again.

    Args:
        study: Study of the trial.
        trial: Trial with an objective.
        kept: The epoch whose weights are at hand; the trial's best one if None.
        n_trials: Number of trials it was the best of.
    """
    kept = kept or _best_epoch(trial)
    if kept.epoch != trial.best_epoch:
        log.warning(
            "trial %d: its best epoch is %s, the kept weights are of epoch %d and are exported "
            "with the metrics of that epoch",
            trial.number,
            trial.best_epoch,
            kept.epoch,
        )
    told = [*_broken(trial), *_differing(trial, kept)]
    for note in told:  # what training noted was told then, and stands in the model's card
        log.warning("trial %d: %s", trial.number, note)
    notes = [*trial.notes, *told]
    resolved = study.resolved
    return BestConfig(
        notes=tuple(notes),
        engine=resolved["engine"],
        params={**trial.fixed, **trial.params},
        sampled=tuple(trial.params),
        epochs=resolved["epochs"],
        seed=trial.seed,
        cpus=resolved.get("cpus_per_trial"),
        train_metrics=study.study.train_metrics,
        objective=_reached(study.study.objective, kept),
        data=_tuned_on(resolved),
        classes=tuple(resolved["classes"]),
        metrics=dict(kept.values),
        confidences=confidences_in(kept.values),
        source=ConfigOrigin(
            study=resolved["study"],
            trial=trial.number,
            trials=n_trials,
            segtune=own_version(),
        ),
    )


def _best_epoch(trial: TrialRecord) -> KeptEpoch:
    """The best epoch of a trial with an objective, as its tables have it."""
    assert trial.best_epoch is not None
    assert trial.objective is not None
    values = {k: v for k, v in trial.best_metrics.items() if k not in ("epoch", "elapsed_s")}
    return KeptEpoch(trial.best_epoch, trial.objective, values)


def _differing(trial: TrialRecord, kept: KeptEpoch) -> list[str]:
    """A note on metrics of the kept weights that the trial's table has other values of."""
    table = trial.best_metrics if kept.epoch == trial.best_epoch else {}
    both = [(name, value, table[name]) for name, value in kept.values.items() if name in table]
    differing = [
        f"{name} {value} and {other}"
        for name, value, other in both
        if value != other and not (math.isnan(value) and math.isnan(other))
    ]
    if not differing:
        return []
    said = ", ".join(differing[:3])
    return [
        f"{METRICS_FILE} of the kept weights and {METRICS} of the trial differ at epoch "
        f"{kept.epoch} in {counted(len(differing), 'metric')}: {said}; the first are exported. One "
        "was damaged, or the epoch was trained twice, on a device that does not repeat itself"
    ]


def _reached(objective: Objective, kept: KeptEpoch) -> Reached:
    """The objective of a study, with its value at the kept epoch."""
    return Reached(
        metric=objective.metric,
        mode=objective.mode,
        value=kept.value,
        epoch=kept.epoch,
        constraints=objective.constraints,
    )


def _tuned_on(resolved: Mapping[str, Any]) -> TrainedOn:
    """The data set of a study."""
    return TrainedOn(
        path=resolved["data"],
        name=resolved.get("data_name", ""),
        fingerprint=resolved["fingerprint"],
        val_objects=resolved.get("val_objects"),
        picture_px=resolved.get("picture_px"),
    )


def _broken(trial: TrialRecord) -> list[str]:
    """A note on the constraints that the best epoch breaks; none where it keeps them."""
    broken = ", ".join(
        f"{metric} {trial.best_metrics.get(metric, math.nan):.4g}"
        for metric, excess in trial.excess.items()
        if excess > 0
    )
    return [f"no trial of the study keeps its constraints; this one has {broken}"] if broken else []


def write_forms(
    config: BestConfig,
    folder: Path,
    data: PreparedDataset | None,
    test: Mapping[str, float] | None = None,
) -> None:
    """Write everything of `best/` but the weights, which are there, into `folder`.

    Args:
        config: Configuration to write.
        folder: Folder to write into; holds `model.pt`.
        data: Data set that the model was trained on, if it is at hand.
        test: Metrics of the test part, for the model card.
    """
    write_text(folder / BEST_YAML, to_yaml(config))
    write_json(folder / METRICS_FILE, metrics_file(config))
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in config.classes))
    write_overrides(config, folder)
    missing = [why for write in (_native_config, _native_weights) if (why := write(config, folder))]
    missing += _experiment(config, folder, data)
    write_text(folder / "model_card.md", model_card(config, data, test, missing))
    write_json(folder / BEST_JSON, config.plain())


def metrics_file(config: BestConfig) -> dict[str, Any]:
    """`metrics.json`: the best epoch's metrics, of which part they are, at which confidence."""
    return {
        "epoch": config.objective.epoch,
        "metric": config.objective.metric,
        "mode": config.objective.mode,
        "part": "val",
        "values": config.metrics,
        "confidences": config.confidences,
    }


def check_replaceable(place: Path) -> None:
    """Refuse to write an export over something that is none.

    Raises:
        ExportError: `place` exists and is neither empty nor an earlier export.
    """
    if place.is_dir() and (not any(place.iterdir()) or (place / BEST_YAML).is_file()):
        return
    if place.exists():
        kind = "a folder with other files" if place.is_dir() else "a file"
        raise ExportError(
            f"{place}: expected a new folder or an earlier export, got {kind}; choose another "
            "with --to"
        )


def _native_config(config: BestConfig, folder: Path) -> str:
    """Write `native.yaml` if the engine has words of its own; returns why it could not."""
    native = engine_info(config.engine).native_config
    if native is None:
        return ""
    try:
        values = native(config.params)
    except ValueError as error:
        return _missing("native.yaml", error)
    header = (
        f"# {config.source.study}, trial {config.source.trial}: hyperparameters in the words of "
        f"{config.engine}'s framework.\n"
        f"# Not in here: the data set, {config.epochs} epochs, seed {config.seed}.\n"
    )
    write_text(folder / "native.yaml", header + yaml.safe_dump(dict(values), sort_keys=False))
    return ""


def _native_weights(config: BestConfig, folder: Path) -> str:
    """Write `native/`; returns why it could not."""
    try:
        load_engine(config.engine).export(folder / MODEL_FILE, folder / "native", ExportForm.NATIVE)
    except Exception as error:  # noqa: BLE001  any framework's trouble: the other forms are whole
        shutil.rmtree(folder / "native", ignore_errors=True)
        return _missing("native weights", error)
    return ""


def _experiment(config: BestConfig, folder: Path, data: PreparedDataset | None) -> list[str]:
    """Write `experiment.json`; returns why it could not."""
    try:
        write_record(config, folder, data)
    except ExportError as error:
        return [_missing("experiment.json", error)]
    return []


def _missing(what: str, error: Exception) -> str:
    why = f"{what} could not be written: {type(error).__name__}: {error}"
    log.warning("%s", why)
    return why


def data_at_hand(config: BestConfig, *, pictures: bool = False) -> PreparedDataset | None:
    """The data set that a model was trained on; None where it is gone or another one by now.

    Args:
        config: The configuration of the model.
        pictures: Whether its pictures are wanted: of one in a bucket they are brought here.

    Raises:
        DatasetError: They cannot be brought.
    """
    known = config.data
    if pictures and in_bucket(known.path):
        data = whole_data(known.path)
        return data if data.fingerprint == known.fingerprint else None
    return data_here(known.path, known.name, known.fingerprint)


def _why_nothing(
    study: StudyDir, trial: TrialRecord | None, trials: tuple[TrialRecord, ...]
) -> str:
    if trial is not None:
        return (
            f"{study.path}: expected the model of trial {trial.number}'s best epoch in "
            f"{trial.directory}, got none; it was deleted, or its engine keeps no checkpoint"
        )
    failed = [t for t in trials if t.state == "failed"]
    last = f"; the last failure: {failed[-1].message}" if failed else ""
    measured = [t for t in failed if t.best_model is not None]
    able, model = "", ""
    if measured:
        able = " that did not fail"
        model = (
            f". The model of trial {measured[-1].number}'s best epoch: {measured[-1].best_model}"
        )
    return (
        f"{study.path}: expected a trial with a value of {study.study.objective.metric}{able}, got "
        f"{len(trials)} trials without one ({len(failed)} failed){last}{model}"
    )
