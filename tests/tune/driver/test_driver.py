"""Studies on a real local Ray, with the simulated engine."""

import io
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.support.places import ROOT, THIRD_PARTY
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir
from tune.directory.trials import TrialOutcome
from tune.driver.bridge import Bridge
from tune.driver.driver import StudyResult, run_study
from tune.driver.on_ray import run_on_ray
from tune.errors import DriverError, StoreError, StudyError
from tune.mirror.holding import Hold
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file, plan_study
from tune.plan.resume import plan_resumed
from tune.stopping.decision import Decision, Rule

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    simulate(SPECS["demo"].model_copy(update={"images": 8}), folder / "raw")
    prepare(folder / "raw", folder / "data")
    return folder / "data"


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(THIRD_PARTY)
        patch.setenv("PYTHONPATH", str(THIRD_PARTY), prepend=os.pathsep)
        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
        )
        yield
        ray.shutdown()


class Watcher:
    """Remembers what a driver tells."""

    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self.reported: list[tuple[int, int]] = []
        self.ended: dict[int, TrialOutcome] = {}
        self.reason = ""

    def study_started(self, plan: Any, resumed: bool) -> None:
        pass

    def trial_placed(self, number: int, part: str) -> None: ...

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        self.started.append((number, attempt))

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        self.reported.append((number, epoch))

    def trial_ended(self, number: int, outcome: TrialOutcome) -> None:
        self.ended[number] = outcome

    def study_ended(self, reason: str) -> None:
        self.reason = reason


class Shouter(Watcher):
    """Logs a detail and a headline at each start."""

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        logging.getLogger("tune.test").debug("a detail")
        logging.getLogger("tune.test").info("a headline")


def run(
    tmp_path: Path,
    prepared: Path,
    text: str,
    watcher: Watcher | None = None,
    trainable: str = "simulated",
    shares: str = "fixed",
    **budget: Any,
) -> tuple[StudyResult, Watcher]:
    file = tmp_path / "study.yaml"
    budget_text = ", ".join(f"{k}: {v}" for k, v in {"trials": 6, "epochs": 4, **budget}.items())
    file.write_text(
        f"study: try\ndata: {prepared}\ntrainable: {trainable}\nbudget: {{{budget_text}}}\n"
        f"resources: {{concurrent: 2, cpus_per_trial: 1, shares: {shares}}}\n"
        f"tracking: {{wandb: {{mode: disabled}}}}\n{text}"
    )
    watcher = watcher or Watcher()
    return run_study(plan_file(file), [watcher]), watcher


def test_every_trial_ends_once_and_is_written_down(tmp_path: Path, prepared: Path) -> None:
    result, watcher = run(tmp_path, prepared, "scheduler: {kind: asha, grace_period: 1}\n")
    study = StudyDir.open(result.directory)
    trials = study.trials()
    assert [t.number for t in trials] == list(range(6))
    assert set(watcher.ended) == set(range(6))
    assert len(watcher.reported) == len(set(watcher.reported)) == sum(t.epochs for t in trials)
    assert result.reason == watcher.reason == "finished"
    for trial in trials:
        assert [m["epoch"] for m in trial.metrics] == list(range(1, trial.epochs + 1))
        assert trial.best_model is not None
        assert json.loads(trial.best_model.read_text())["epoch"] == trial.best_epoch
        assert trial.objective == max(m["seg_metrics/F1"] for m in trial.metrics)
        assert trial.state == watcher.ended[trial.number].state
    stopped = [t for t in trials if t.stop_reason == "asha"]
    assert stopped
    for trial in stopped:
        assert trial.state == "pruned"
        assert trial.rung == trial.epochs
        assert trial.value is not None
        assert trial.cutoff is not None
        assert trial.value < trial.cutoff
        assert f"epoch {trial.rung}" in trial.message


@pytest.mark.parametrize(
    ("behaviour", "state", "reason", "said"),
    [
        ("nan", "failed", Rule.DIVERGED, "nan in epoch 3"),
        ("crash", "failed", Rule.ERROR, "RuntimeError: simulated crash"),
        ("exit", "failed", Rule.ERROR, "worker died (3 times)"),
    ],
)
def test_a_bad_trial_fails_with_its_reason_and_the_study_goes_on(
    tmp_path: Path, prepared: Path, behaviour: str, state: str, reason: Rule, said: str
) -> None:
    space = (
        f"search_space: {{behaviour: {{choice: [learns, {behaviour}]}}, "
        "lr0: {uniform: [0.001, 0.01]}}\n"
        f"warm_start: {{points: [{{behaviour: {behaviour}}}, {{behaviour: learns}}]}}\n"
        "search: random\nscheduler: none\n"
    )
    result, _ = run(tmp_path, prepared, space, trials=2)
    bad, good = result.outcomes[0], result.outcomes[1]
    assert (bad.state, bad.stop_reason) == (state, reason)
    assert said in bad.message
    assert (good.state, good.epoch) == ("complete", 4)
    log = result.directory / "segtune.log"
    assert "trial 0" in log.read_text() or behaviour != "exit"


def test_a_trial_whose_engine_runs_out_of_patience_is_complete(
    tmp_path: Path, prepared: Path
) -> None:
    space = "fixed: {behaviour: patience}\nsearch_space: {lr0: {uniform: [0.001, 0.01]}}\n"
    result, _ = run(tmp_path, prepared, space + "scheduler: none\n", trials=1, epochs=8)
    (trial,) = StudyDir.open(result.directory).trials()
    assert (trial.state, trial.stop_reason, trial.epochs) == ("complete", Rule.PATIENCE, 3)
    assert trial.message == "no gain for 3 epochs"
    assert trial.objective == max(line["seg_metrics/F1"] for line in trial.metrics)
    assert trial.best_model is not None


def test_a_flat_trial_collapses_and_a_slow_one_goes_on(tmp_path: Path, prepared: Path) -> None:
    space = (
        "search_space: {behaviour: {choice: [flat, slow]}, lr0: {uniform: [0.001, 0.01]}}\n"
        "warm_start: {points: [{behaviour: flat}, {behaviour: slow}]}\nscheduler: none\n"
    )
    result, _ = run(tmp_path, prepared, space, trials=2, epochs=40)
    assert result.outcomes[0].stop_reason == Rule.COLLAPSED
    assert result.outcomes[0].epoch == 25
    assert (result.outcomes[1].stop_reason, result.outcomes[1].epoch) == (Rule.EPOCHS, 40)


def test_the_screen_shows_no_debug_lines_while_the_log_has_them(
    tmp_path: Path, prepared: Path
) -> None:
    root, stream = logging.getLogger(), io.StringIO()
    handler, level = logging.StreamHandler(stream), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    watcher = Shouter()
    try:
        result, _ = run(tmp_path, prepared, "", watcher, trials=1)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    log = (result.directory / "segtune.log").read_text()
    assert "a detail" in log
    assert "a detail" not in stream.getvalue()
    assert "a headline" in stream.getvalue()
    order = [
        "study try: 1 trials of 4 epochs",
        "trial 0 started: ",
        "trial 0 ended: trained to its end at epoch 4; best ",
        "study try finished: 1/1 trials ended",
    ]
    places = [log.index(f"INFO segtune: {line}") for line in order]
    assert places == sorted(places)
    assert "trial 0" not in stream.getvalue()  # the screen has its own lines


def test_what_breaks_the_driver_ends_the_study_at_once(tmp_path: Path, prepared: Path) -> None:
    blocked = tmp_path / "studies" / "try" / "trials" / "1"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    text = "fixed: {epoch_seconds: 0.5}\nscheduler: none\nplateau: none\n"
    started = time.monotonic()
    with pytest.raises(OSError, match="trials/1"):
        run(tmp_path, prepared, text, trials=2, epochs=100)
    assert time.monotonic() - started < 40
    plan = plan_resumed(StudyDir.open(blocked.parents[1]), [])
    blocked.unlink()
    assert plan.directory == blocked.parents[1]


def test_a_full_disk_ends_the_study_and_no_trial(tmp_path: Path, prepared: Path) -> None:
    text = "fixed: {behaviour: fills the disk}\nscheduler: none\nplateau: none\n"
    with pytest.raises(DriverError, match="expected room for its files"):
        run(tmp_path, prepared, text, trials=4, epochs=3, trainable="awkward")
    study = StudyDir.open(tmp_path / "studies" / "try")
    assert {trial.state for trial in study.trials()} == {"waiting"}
    assert plan_resumed(study, []).study.budget.trials == 4


def test_trials_that_run_out_of_memory_go_on_with_what_suffices_beside_one_that_has_enough(
    tmp_path: Path, prepared: Path
) -> None:
    text = (
        "search_space: {lr0: {uniform: [0.1, 0.9]}, memory: {choice: [0.0, 0.8, 5.0, 20.0]}}\n"
        "warm_start: {points: [{memory: 0.0}, {memory: 0.8}, {memory: 5.0}, {memory: 20.0}]}\n"
        "fixed: {epoch_seconds: 0.1}\nscheduler: none\nplateau: none\n"
    )
    result, _ = run(tmp_path, prepared, text, trials=4, epochs=3, trainable="awkward")
    study = StudyDir.open(result.directory)
    journal = Journal(result.directory / JOURNAL, "try", "max").trials()
    parts = [[t.user_attrs.get(key) for key in ("micro_batch", "slots")] for t in journal]
    assert parts == [[None, None], [[4, 1], None], [[1, 1], [2, 1]], [[1, 1], [2, 1]]]
    assert not any("crashed" in trial.user_attrs for trial in journal)
    enough, half, alone, too_large = study.trials()
    for trial in (enough, half, alone):
        assert trial.state == "complete"
        assert [line["epoch"] for line in trial.metrics] == [1, 2, 3]
    assert len(list(enough.directory.glob("attempt-*"))) == 1, "its neighbours do not touch it"
    assert half.notes == ("out of memory after epoch 1; it goes on with micro_batch=4",)
    assert "out of memory after epoch 1; it goes on with all 2 shares instead of 1" in alone.notes
    assert (too_large.state, too_large.message) == ("failed", "1 samples at once do not fit")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_real_training_that_gets_more_threads_at_a_rung_has_the_metrics_of_one_that_does_not(
    tmp_path: Path, prepared: Path
) -> None:
    pytest.importorskip("ultralytics")
    text = (
        "search_space: {preset: smoke}\nfixed: {imgsz: 64}\n"
        "scheduler: {kind: asha, grace_period: 1}\nplateau: none\n"
    )
    found = {}
    for shares in ("fixed", "rungs"):
        folder = tmp_path / shares
        folder.mkdir()
        more: dict[str, Any] = {"trainable": "yolo_seg", "trials": 1, "epochs": 3}
        result, _ = run(folder, prepared, text, shares=shares, **more)
        found[shares] = StudyDir.open(result.directory)
    fixed, shared = (study.trials()[0] for study in found.values())
    assert (fixed.state, shared.state) == ("complete", "complete")
    (trial,) = Journal(found["rungs"].path / JOURNAL, "try", "max").trials()
    assert trial.user_attrs["slots"] == [2, 1]
    assert shared.notes[-1] == "from epoch 2 on it has 2 of 2 shares"
    assert [line["epoch"] for line in shared.metrics] == [1, 2, 3]
    for one, other in zip(fixed.metrics, shared.metrics, strict=True):
        timeless = one.keys() - {"epoch_seconds", "gpu_memory_gb", "elapsed_s"}
        assert len(timeless) > 20
        assert [one[k] for k in timeless] == pytest.approx([other[k] for k in timeless], abs=1e-6)


def test_a_log_that_the_disk_has_no_room_for_ends_nothing_and_is_not_shown(
    tmp_path: Path, prepared: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "studies" / "try"
    directory.mkdir(parents=True)
    (directory / "segtune.log").symlink_to("/dev/full")
    result, _ = run(tmp_path, prepared, "", Shouter(), trials=1, epochs=1)
    assert result.reason == "finished"
    assert "Traceback" not in capfd.readouterr().err


def test_a_study_that_the_disk_has_no_room_for_says_how_to_go_on(
    tmp_path: Path, prepared: Path
) -> None:
    directory = tmp_path / "studies" / "try"

    class Filler(Watcher):
        def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
            table = directory / "trials" / str(number) / "metrics.jsonl"
            table.unlink()
            table.symlink_to("/dev/full")

    said = f"No space left on device: expected room .* `segtune resume {directory}` goes on"
    with pytest.raises(DriverError, match=said):
        run(tmp_path, prepared, "", Filler(), trials=1, epochs=1)


@pytest.mark.slow
def test_the_last_trial_is_given_the_time_its_artifacts_take(
    tmp_path: Path, prepared: Path
) -> None:
    text = "fixed: {end_seconds: 20}\nscheduler: none\nplateau: none\n"
    result, _ = run(tmp_path, prepared, text, trials=1, epochs=2, trainable="awkward")
    attempt = StudyDir.open(result.directory).trials()[0].attempt
    assert attempt is not None
    assert (attempt / "artifacts" / "curves.txt").read_text() == "drawn"


def test_a_study_directory_is_not_begun_twice(tmp_path: Path, prepared: Path) -> None:
    run(tmp_path, prepared, "", trials=1)
    with pytest.raises(StoreError, match=r"expected a new study, found one; `segtune resume"):
        run(tmp_path, prepared, "", trials=1)


def test_resume_may_add_trials_and_runs_no_finished_one_again(
    tmp_path: Path, prepared: Path
) -> None:
    result, _ = run(tmp_path, prepared, "", trials=3)
    opened = StudyDir.open(result.directory)
    plan = plan_resumed(opened, ["budget.trials=5"])
    watcher = Watcher()
    again = run_study(plan, [watcher], resume=True)
    assert [number for number, _ in watcher.started] == [3, 4]
    assert len(again.outcomes) == 5
    assert [t.number for t in StudyDir.open(result.directory).trials()] == list(range(5))


def test_resume_refuses_to_become_another_study(tmp_path: Path, prepared: Path) -> None:
    result, _ = run(tmp_path, prepared, "", trials=1)
    opened = StudyDir.open(result.directory)
    with pytest.raises(StudyError, match=r"seed: expected the value the study began with"):
        plan_resumed(opened, ["seed=7"])
    with pytest.raises(StudyError, match=r"budget.epochs: expected 4"):
        plan_resumed(opened, ["budget.epochs=9"])


def test_resume_refuses_a_study_whose_file_was_changed_by_hand(
    tmp_path: Path, prepared: Path
) -> None:
    result, _ = run(tmp_path, prepared, "", trials=1)
    file = result.directory / "study.yaml"
    text = file.read_text()
    file.write_text(text.replace("seed: 0", "seed: 7"))
    with pytest.raises(StudyError, match=r"seed: expected the value the study began with"):
        plan_resumed(StudyDir.open(result.directory), [])
    file.write_text(text.replace("epochs: 4", "epochs: 5"))
    with pytest.raises(StudyError, match=r"budget.epochs: expected 4"):
        plan_resumed(StudyDir.open(result.directory), [])
    file.write_text(text.replace("trials: 1", "trials: 2"))
    assert plan_resumed(StudyDir.open(result.directory), []).study.budget.trials == 2


def test_resume_takes_the_same_data_from_another_place(tmp_path: Path, prepared: Path) -> None:
    result, _ = run(tmp_path, shutil.copytree(prepared, tmp_path / "before"), "", trials=1)
    moved = (tmp_path / "before").rename(tmp_path / "after")
    plan = plan_resumed(StudyDir.open(result.directory), [f"data={moved}"])
    assert plan.study.data == moved


def test_resume_goes_on_in_a_moved_folder_and_refuses_a_renamed_one(
    tmp_path: Path, prepared: Path
) -> None:
    result, _ = run(tmp_path, prepared, "", trials=1)
    renamed = result.directory.rename(tmp_path / "other")
    with pytest.raises(StoreError, match=r"expected the folder of study try to have its name"):
        plan_resumed(StudyDir.open(renamed), [])
    moved = renamed.rename(tmp_path / "try")
    plan = plan_resumed(StudyDir.open(moved), ["budget.trials=2"])
    assert len(run_study(plan, [], resume=True).outcomes) == 2
    assert not result.directory.exists()


def test_the_hours_budget_ends_a_study(tmp_path: Path, prepared: Path) -> None:
    text = "fixed: {epoch_seconds: 0.3}\nscheduler: none\n"
    result, _ = run(tmp_path, prepared, text, trials=50, epochs=4, hours=0.0006)
    assert result.reason == "out of time"
    assert len(result.outcomes) < 50
    assert {o.stop_reason for o in result.outcomes.values()} <= {Rule.EPOCHS}
    pausing = [t for t in StudyDir.open(result.directory).trials() if t.state == "waiting"]
    assert pausing
    assert {t.stop_reason for t in pausing} == {Rule.BUDGET}
    assert all(t.best_model for t in pausing)
    opened = StudyDir.open(result.directory)
    watcher = Watcher()
    study = plan_resumed(opened, ["budget.hours=1", "budget.trials=50"]).study
    more = study.model_copy(update={"budget": study.budget.model_copy(update={"trials": 4})})
    again = run_study(plan_study(more), [watcher], resume=True)
    assert again.reason == "finished"
    assert {(t.number, 2) for t in pausing} <= set(watcher.started)
    assert all(again.outcomes[t.number].epoch == 4 for t in pausing)
    reported = [epoch for n, epoch in watcher.reported if n == pausing[0].number]
    assert reported == list(range(pausing[0].epochs + 1, 5))


def run_unclosed(tmp_path: Path, prepared: Path, trials: int) -> StudyResult:
    """A study that keeps the checkpoints of ended trials, as where a kill comes before."""
    text = "scheduler: none\nplateau: none\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tune.directory.writer.remove_checkpoints", lambda directory: None)
        result, _ = run(tmp_path, prepared, text, trials=trials, epochs=2, trainable="awkward")
    return result


def test_a_trial_left_without_its_ending_is_closed_on_resume(
    tmp_path: Path, prepared: Path
) -> None:
    result = run_unclosed(tmp_path, prepared, trials=2)
    before = StudyDir.open(result.directory).trials()
    trial = before[1]
    assert trial.attempt is not None
    (trial.directory / "closed.json").unlink()
    shutil.rmtree(trial.attempt / "artifacts")
    watcher = Watcher()
    again = run_study(plan_resumed(StudyDir.open(result.directory), []), [watcher], resume=True)
    assert again.reason == "finished"
    assert watcher.started == watcher.reported == []
    whole, closed = StudyDir.open(result.directory).trials()
    assert whole.attempt == before[0].attempt
    assert closed.artifacts is not None
    assert (closed.artifacts / "curves.txt").read_text() == "drawn"
    assert closed.best_model is not None
    assert closed.metrics == trial.metrics
    assert (trial.directory / "closed.json").is_file()


def test_a_trial_whose_last_epoch_the_journal_lost_is_drawn_without_training(
    tmp_path: Path, prepared: Path
) -> None:
    result = run_unclosed(tmp_path, prepared, trials=1)
    journal = result.directory / "optuna.journal"
    lines = journal.read_text().splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if '"step":1' in line)
    journal.write_text("".join(lines[: first + 1]))
    trial = result.directory / "trials" / "0"
    for ending in ("closed.json", "outcome.json"):
        (trial / ending).unlink()
    shutil.rmtree(trial / "attempt-1" / "artifacts")
    watcher = Watcher()
    plan = plan_resumed(StudyDir.open(result.directory), [])
    again = run_study(plan, [watcher], resume=True)
    assert watcher.reported == [(0, 2)]
    assert again.outcomes[0].stop_reason == Rule.EPOCHS
    assert (trial / "attempt-2" / "artifacts" / "curves.txt").read_text() == "drawn"
    assert not (trial / "attempt-2" / "checkpoint").exists()
    assert (trial / "closed.json").is_file()


def test_a_study_from_before_trials_were_closed_is_not_drawn_again(
    tmp_path: Path, prepared: Path
) -> None:
    text = "scheduler: none\nplateau: none\n"
    result, _ = run(tmp_path, prepared, text, trials=1, epochs=1, trainable="awkward")
    began = json.loads((result.directory / "resolved.json").read_text())
    assert began.pop("layout") == 2
    (result.directory / "resolved.json").write_text(json.dumps(began))
    closed = result.directory / "trials" / "0" / "closed.json"
    closed.unlink()
    plan = plan_resumed(StudyDir.open(result.directory), [])
    run_study(plan, [], resume=True)
    assert closed.is_file()
    assert not (closed.parent / "attempt-2").exists()


@pytest.mark.slow
def test_a_ray_of_ones_own_has_the_gpus_that_the_study_was_planned_for() -> None:
    code = (
        "import ray; from cluster.machines.local_ray import start_ray; start_ray(1, 3); "
        "print(ray.cluster_resources())"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "0,1,2"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert "'GPU': 3.0" in found.stdout  # though another Ray runs here, and there is no GPU


def test_the_journal_opens_in_plain_optuna(tmp_path: Path, prepared: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    result, _ = run(tmp_path, prepared, "scheduler: {kind: asha, grace_period: 1}\n")
    storage = JournalStorage(JournalFileBackend(str(result.directory / "optuna.journal")))
    study = optuna.load_study(study_name="try", storage=storage)
    states = [t.state.name for t in study.trials]
    assert states.count("PRUNED") == sum(o.state == "pruned" for o in result.outcomes.values())
    assert all(len(t.intermediate_values) == result.outcomes[t.number].epoch for t in study.trials)
    assert study.best_value == max(
        t.value or 0.0 for t in study.trials if t.state.name == "COMPLETE"
    )


def test_a_study_that_is_no_longer_asked_for_when_all_has_paused_goes_on(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def run_ray(plan: StudyPlan, bridge: Bridge) -> None:
        runs.append(plan)
        if len(runs) == 1:
            bridge.pause(Hold("moved", "somebody goes on with it"))
            assert bridge.suggest("a") == "FINISHED"
            bridge.pause(None)
        else:
            run_on_ray(plan, bridge)

    monkeypatch.setattr("tune.driver.driver.run_on_ray", run_ray)
    result, _ = run(tmp_path, prepared, "", trials=1)
    assert (result.reason, len(runs)) == ("finished", 2)
