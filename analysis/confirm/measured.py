"""The test part, measured once: by the recommended configuration and by the default together."""

from collections.abc import Mapping
from pathlib import Path

from analysis.confirm.verdict import median_training
from analysis.evaluation.split import evaluate_test
from analysis.models.confirmed import Contender, TestFigures, Verdict
from trainables.contract import Device, Engine
from trainables.datasets.prepared import PreparedDataset
from trainables.registry import load_engine
from tune.datasets.opening import whole_data
from tune.directory.reader import StudyDir, TrialRecord


def test_figures(verdict: Verdict, race: StudyDir, device: Device) -> TestFigures:
    """Measure the median training of the recommended configuration and that of the default.

    Args:
        verdict: The verdict, which is on disk already.
        race: The race's study.
        device: Device to predict on.
    """
    winner, default = verdict.winner, verdict.default
    assert winner is not None
    engine = load_engine(race.study.trainable)
    data, trials = whole_data(race.study.data), race.trials()
    if default is winner or default is None or not default.trials:
        found, note = _of(winner, trials, engine, data, device)
        return TestFigures(recommended=_plain(found), note=note)
    found, note = _of(winner, trials, engine, data, device)
    control, _ = _of(default, trials, engine, data, device)
    return TestFigures(recommended=_plain(found), default=_plain(control), note=note)


def _of(
    one: Contender,
    trials: tuple[TrialRecord, ...],
    engine: Engine,
    data: PreparedDataset,
    device: Device,
) -> tuple[Mapping[str, float] | None, str]:
    number = median_training([trials[n] for n in one.trials])
    model: Path | None = None if number is None else trials[number].best_model
    if number is None or model is None:
        return None, f"{one.name} has no model"
    trial = trials[number]
    params = {**trial.fixed, **trial.params}
    return evaluate_test(engine, model, data, trial.best_metrics, params, device)


def _plain(values: Mapping[str, float] | None) -> dict[str, float] | None:
    return None if values is None else dict(values)
