"""Training the best configuration again, to full length, and measuring it on the test part.

::

    <out>/retrain.json     what is being trained; the same command goes on where it was
    <out>/config.yaml      the configuration it began with, as a best.yaml
    <out>/best/            as `segtune export` writes it, of the retrained model
    <out>/metrics.jsonl    one line an epoch
    <out>/artifacts/       curves, tables, pictures
    <out>/result.json      written last
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from analysis.errors import RetrainError
from analysis.evaluation.split import evaluate_test
from analysis.models.device import chosen_device
from analysis.models.export import write_forms
from analysis.models.layout import CONFIG, IDENTITY, RESULT
from analysis.retrain.replay import Replayed, check_replay, replayed
from analysis.retrain.result import RetrainResult
from trainables.contract import (
    Device,
    EarlyStopped,
    Engine,
    EpochMetrics,
    TrainingError,
    TrainMetrics,
    TrialStopped,
)
from trainables.datasets.prepared import DatasetError, PreparedDataset, check_trainable
from trainables.files.whole import replace_folder, write_json, write_text
from trainables.registry import boxes_problem, engine_info, load_engine
from trainables.trials.keeping import KeptEpoch
from trainables.trials.layout import MODEL_FILE
from trainables.trials.local import WORK, LocalTrial, StopFlag, stopping_on_signals
from tune.best.configuration import (
    BEST_FOLDER,
    BestConfig,
    ConfigOrigin,
    Reached,
    confidences_in,
    own_version,
    trained_on,
)
from tune.best.file import load_best, to_yaml
from tune.datasets.copies import told
from tune.datasets.opening import whole_data
from tune.plan.data_remarks import crowded_pictures, lacking_classes

log = logging.getLogger(__name__)

Progress = Callable[[EpochMetrics, int], None]


@dataclass(frozen=True)
class _RetrainPlan:
    """A retraining that has been checked.

    Attributes:
        config: Configuration to train, with the epochs and the seed of this training.
        tuned: Configuration as it came.
        data: Data set to train on.
        place: Where it was named: its folder, or its address.
        out: Folder of the result, absolute.
        replay: Whether the trial is to be trained again as it was, to its best epoch.
    """

    config: BestConfig
    tuned: BestConfig
    data: PreparedDataset
    place: Path | str
    out: Path
    replay: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """Values that must be equal for a training to go on in the same folder."""
        config = self.config
        values = {
            "engine": config.engine,
            "params": config.params,
            "epochs": config.epochs,
            "seed": config.seed,
            "objective": config.objective.metric,
            "fingerprint": self.data.fingerprint,
            **({"replay": True} if self.replay else {}),
        }
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain


def retrain(  # noqa: PLR0913  the command's options
    best: Path | str | BestConfig,
    data: Path | str | None,
    out: Path | str,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | Device | None = None,
    progress: Progress | None = None,
    other_classes: bool = False,
    replay: bool = False,
) -> RetrainResult:
    """Train a configuration to full length and measure it on the test part.

    What should be known of it is logged as a warning before anything starts, as of a study: weights
    that cannot be fetched, and what it trains with instead.

    Interrupted (Ctrl-C, a kill), the same call goes on from the last epoch; finished, it returns
    the result it had.

    Args:
        best: A `best.yaml`, its folder, a study directory, or the configuration itself.
        data: Another prepared data set than the one it was tuned on: its folder, or gs://BUCKET/FOLDER.
        out: Folder for the result.
        epochs: Length of the training; default: the study's.
        seed: Default: the trial's.
        device: As torch names it; default: the first GPU where there is one.
        progress: Told of every epoch, and how many there are.
        other_classes: Whether the data may have other classes than the configuration.
        replay: Whether to train the very same trial again, with its seed, schedule and threads, to
            its best epoch, and say by how much its metrics differ.

    Raises:
        RetrainError: Configuration, data and folder do not belong together, or it cannot train.
        AnalysisError: This machine has no such device.
        BestConfigError: As for `load_best`.
        EngineError: The engine's framework is not installed.
    """
    source = best if isinstance(best, BestConfig) else Path(best)
    plan = _plan(source, data, Path(out), epochs, seed)
    if replay:
        check_replay(plan.tuned, plan.data, {"--epochs": epochs, "--seed": seed})
        plan = replace(plan, replay=True)
    _check(plan, other_classes)
    finished = plan.out / RESULT
    if finished.is_file():
        return _read_result(finished)
    place = chosen_device(device, plan.config.cpus)
    notes = _notes(plan)
    for note in notes:
        log.warning("note: %s", note)
    engine = load_engine(plan.config.engine)
    plan.out.mkdir(parents=True, exist_ok=True)
    write_json(plan.out / IDENTITY, plan.identity)
    write_text(plan.out / CONFIG, to_yaml(plan.tuned))
    started = time.monotonic()
    trial = _train(plan, engine, place, progress or _silent, notes)
    seconds = time.monotonic() - started
    if trial.keeper.best is None or not trial.finished:
        return _result(plan, trial, seconds)
    return _finish(plan, trial, trial.keeper.best, engine, seconds)


def _plan(
    best: Path | BestConfig,
    data: Path | str | None,
    out: Path,
    epochs: int | None,
    seed: int | None,
) -> _RetrainPlan:
    tuned = best if isinstance(best, BestConfig) else load_best(best)
    changes = {"epochs": epochs, "seed": seed}
    given = {key: value for key, value in changes.items() if value is not None}
    place = data or tuned.data.path
    prepared = _load_data(tuned, data)
    return _RetrainPlan(tuned.model_copy(update=given), tuned, prepared, place, out.absolute())


def _load_data(config: BestConfig, data: Path | str | None) -> PreparedDataset:
    try:
        prepared = whole_data(data or config.data.path, told(log.info))
        check_trainable(prepared)
        if problem := boxes_problem(engine_info(config.engine), prepared):
            raise DatasetError(f"{prepared.root}: {problem}")
    except DatasetError as error:
        hint = "" if data else ". The configuration was tuned on it; name another with --data."
        raise RetrainError(f"{str(error).rstrip('.')}{hint}") from error
    return prepared


def _check(plan: _RetrainPlan, other_classes: bool) -> None:
    """Refuse what cannot be meant.

    Raises:
        RetrainError: Other classes, or a folder that holds something else.
    """
    wanted, got = plan.config.classes, plan.data.classes
    if wanted and wanted != got and not other_classes:
        raise RetrainError(
            f"{plan.data.root}: expected the classes {', '.join(wanted)}, for which "
            f"{plan.config.source.study} was tuned, got {', '.join(got)}; prepare the data with "
            f"--classes {','.join(wanted)}, tune a study of its own on it, or allow them with "
            "--other-classes"
        )
    identity = plan.out / IDENTITY
    if identity.is_file():
        before = json.loads(identity.read_text("utf-8"))
        if before != plan.identity:
            raise RetrainError(
                f"{plan.out}: expected an empty folder or the same training, got one that differs "
                f"in {', '.join(_differences(before, plan.identity))}; choose another --out"
            )
    elif plan.out.exists() and (not plan.out.is_dir() or any(plan.out.iterdir())):
        raise RetrainError(
            f"{plan.out}: expected a new or empty folder, got one with other files; choose another "
            "--out"
        )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Dotted names of what differs between two trainings."""
    names = []
    for key in sorted({*before, *now}):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += [f"{key}.{name}" for name in _differences(one, other)]
        elif one != other:
            names.append(key)
    return names


def _train(
    plan: _RetrainPlan, engine: Engine, device: Device, progress: Progress, told: Sequence[str]
) -> LocalTrial:
    """Train until the end, or until the user interrupts.

    Raises:
        RetrainError: The configuration cannot be trained.
    """
    config = plan.config
    images = config.train_metrics.images
    trial = LocalTrial(
        name=f"{config.source.study}/retrain",
        params=config.params,
        sampled=frozenset(config.sampled),
        data=plan.data,
        epochs=config.epochs,
        seed=config.seed,
        device=device,
        out=plan.out,
        goal=config.objective.goal,
        train_metrics=TrainMetrics(
            config.train_metrics.every, None if images == "auto" else images
        ),
        progress=lambda metrics: progress(metrics, config.epochs),
        told=told,
        stop=StopFlag(),
        last=config.objective.epoch if plan.replay else None,
    )
    if trial.finished:
        return trial
    try:
        with stopping_on_signals(trial.stop):
            engine.train(trial)
    except TrialStopped:
        return trial
    except EarlyStopped:
        trial.ended_early = True
    except TrainingError as error:
        raise RetrainError(
            f"{trial.name}: the training ended after epoch {trial.epochs_done} of {trial.epochs}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if trial.keeper.best is None:
        raise RetrainError(
            f"{trial.name}: the engine {config.engine} ended without a model "
            f"({trial.epochs_done} of {trial.epochs} epochs reported)"
        )
    return trial


def _result(
    plan: _RetrainPlan,
    trial: LocalTrial,
    seconds: float,
    kept: KeptEpoch | None = None,
    test: Mapping[str, float] | None = None,
    note: str = "the training was interrupted",
) -> RetrainResult:
    """The result of a training that kept a model, or that has epochs left where `kept` is None."""
    tuned = plan.tuned
    return RetrainResult(
        directory=plan.out,
        metric=tuned.objective.metric,
        mode=tuned.objective.mode,
        tuned=tuned.objective.value,
        tuned_epochs=tuned.epochs,
        comparable=plan.data.fingerprint == tuned.data.fingerprint,
        value=kept.value if kept else None,
        epoch=kept.epoch if kept else 0,
        epochs_done=trial.epochs_done,
        epochs=trial.epochs,
        validation=dict(kept.values) if kept else {},
        test=test,
        test_note=note,
        seconds=seconds,
        replayed=replayed(tuned, kept.values) if plan.replay and kept else None,
    )


def _finish(
    plan: _RetrainPlan, trial: LocalTrial, kept: KeptEpoch, engine: Engine, seconds: float
) -> RetrainResult:
    """Measure the test part, write everything, and drop what was only for going on."""
    model = plan.out / BEST_FOLDER / MODEL_FILE
    params = plan.config.params
    test, note = evaluate_test(engine, model, plan.data, kept.values, params, trial.device)
    new = plan.out / f"{BEST_FOLDER}.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    shutil.copyfile(model, new / MODEL_FILE)
    write_forms(_retrained(plan, kept, trial.notes), new, plan.data, test)
    replace_folder(new, plan.out / BEST_FOLDER)
    result = _result(plan, trial, seconds, kept, test, note)
    write_json(plan.out / RESULT, {**asdict(result), "directory": str(result.directory)})
    shutil.rmtree(plan.out / WORK, ignore_errors=True)
    return result


def _retrained(plan: _RetrainPlan, kept: KeptEpoch, notes: Sequence[str]) -> BestConfig:
    """The configuration with what it reached now."""
    config = plan.config
    objective = Reached(
        metric=config.objective.metric,
        mode=config.objective.mode,
        value=kept.value,
        epoch=kept.epoch,
        constraints=config.objective.constraints,
    )
    return config.model_copy(
        update={
            "objective": objective,
            "data": trained_on(plan.data, plan.place),
            "classes": plan.data.classes,
            "metrics": dict(kept.values),
            "confidences": confidences_in(kept.values),
            "notes": tuple(notes),
            "source": ConfigOrigin(
                study=config.source.study,
                trial=config.source.trial,
                retrained=True,
                segtune=own_version(),
            ),
        }
    )


def _notes(plan: _RetrainPlan) -> list[str]:
    """What should be known of a training before it starts, as `plan` and `tune` say of a study."""
    config, data = plan.config, plan.data
    info = engine_info(config.engine)
    told = info.remarks(config.params, data) if info.remarks is not None else []
    return [
        *told,
        *lacking_classes(info, data),
        *crowded_pictures(info, config.params, data),
    ]


def _read_result(path: Path) -> RetrainResult:
    content = json.loads(path.read_text("utf-8"))
    again = content.pop("replayed", None)
    told = None if again is None else Replayed(**again)
    return RetrainResult(**content | {"directory": path.parent, "replayed": told})


def _silent(metrics: EpochMetrics, epochs: int) -> None:
    del metrics, epochs
