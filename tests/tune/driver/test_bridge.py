"""What Ray asks and tells, turned into what the controller is asked and told; Ray is not here."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from cluster.machines.nodes import Node, Nodes
from cluster.machines.sharing import Placement, trials_a_unit
from search_spaces.schema import Hyperparameters
from search_spaces.space import parse_space
from tests.support.study_samples import write_data
from trainables.contract import TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.goal import Goal
from tune.directory.journal import Journal
from tune.directory.layout import trial_dir
from tune.directory.trials import TrialOutcome
from tune.directory.writer import Recorder
from tune.driver.bridge import Bridge, Work
from tune.driver.controller import MAX_CRASHES, Controller, Rules
from tune.driver.deaths import Death, Doubts
from tune.driver.room import Cores, Room
from tune.driver.search import Search
from tune.errors import DriverError
from tune.mirror.holding import Hold
from tune.stopping.decision import Decision, Rule
from tune.study.configurations import Configurations
from tune.study.study import Tracking, Wandb
from tune.trial.actor import CLOSED, ENDED, REPORT, ActorTask
from tune.trial.task import StudyTasks

F1 = "seg_metrics/F1"


class Watcher:
    """Remembers what it is told, one line an event."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def study_started(self, plan: Any, resumed: bool) -> None: ...

    def trial_placed(self, number: int, part: str) -> None:
        self.told.append(f"{number} has {part}")

    def trial_started(self, number: int, params: Mapping[str, Any], attempt: int) -> None:
        self.told.append(f"{number} started {attempt}")

    def trial_reported(
        self, number: int, epoch: int, values: Mapping[str, float], decision: Decision
    ) -> None:
        self.told.append(f"{number} reported {epoch}")

    def trial_ended(self, number: int, outcome: TrialOutcome) -> None:
        self.told.append(f"{number} {outcome.state}")

    def study_ended(self, reason: str) -> None: ...


class Study:
    """A study of which each driver is one more `bridge`."""

    def __init__(self, folder: Path, **rules: Any) -> None:
        self.folder = folder
        self.data = PreparedDataset.load(write_data(folder / "data"))
        self.rules = Rules(**{"goal": Goal(F1), "epochs": 2, **rules})
        self.watcher = Watcher()
        self.ticks = 0
        self.elapsed_s = 0.0

    def bridge(
        self, trials: int = 3, concurrent: int = 2, room: Room | None = None, **more: Any
    ) -> Bridge:
        space, problems = parse_space({"x": {"uniform": [0, 1]}})
        assert not problems
        tasks = StudyTasks(
            engine="simulated",
            study="try",
            fixed={"imgsz": 64},
            data=self.data,
            epochs=self.rules.epochs,
            goal=self.rules.goal,
            train_metrics=TrainMetrics(),
        )
        work = Work(tasks, Tracking(wandb=Wandb(mode="disabled")), "today", concurrent, **more)
        search = Search(
            Configurations(space, Hyperparameters, {}), "random", (), seed=0, trials=trials
        )
        journal = Journal(self.folder / "optuna.journal", "try", "max")
        self.controller = Controller(self.rules, search, journal, lambda: self.elapsed_s)
        self.recorder = Recorder(self.folder, tasks.fixed)
        bridge = Bridge(work, self.controller, self.recorder, [self.watcher], self._tick)
        bridge.room = room or bridge.room
        return bridge

    def written(self, number: int, name: str) -> Any:
        return json.loads((trial_dir(self.folder, number) / name).read_text())

    def _tick(self) -> None:
        self.ticks += 1


@pytest.fixture
def study(ram_path: Path) -> Study:
    return Study(ram_path)


def suggested(bridge: Bridge, ray_id: str) -> ActorTask:
    configuration = bridge.suggest(ray_id)
    assert isinstance(configuration, dict)
    task = configuration["task"]
    assert isinstance(task, ActorTask)
    return task


def report(epoch: int, value: float = 0.5, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    values = json.dumps({F1: value})
    return {"event": REPORT, "epoch": epoch, "values": values, "node": "", "notes": list(notes)}


def ended(message: str = "", rule: Rule | None = None, **more: Any) -> dict[str, Any]:
    kinds = ("retry", "disk_full", "data_changed", "out_of_memory")
    no: dict[str, Any] = dict.fromkeys(kinds, False)
    return {"event": ENDED, "notes": [], "rule": rule, "message": message, **no, **more}


def closed(*, whole: bool = True) -> dict[str, Any]:
    return {"event": CLOSED, "whole": whole, "notes": []}


def checkpoint(task: ActorTask, epoch: int) -> None:
    folder = task.trial.directory / "checkpoint"
    folder.mkdir()
    history = [{"epoch": n, "values": {F1: 0.5}} for n in range(1, epoch + 1)]
    (folder / "history.json").write_text(json.dumps(history))


def test_as_many_trials_as_fit_are_handed_out_then_none_and_at_last_all_is_finished(
    study: Study,
) -> None:
    bridge = study.bridge()
    assert [suggested(bridge, ray_id).trial.number for ray_id in "ab"] == [0, 1]
    assert bridge.suggest("c") is None
    for ray_id in "ab":
        assert bridge.result(ray_id, report(1))
        assert bridge.result(ray_id, report(2)), "one step more, to end in"
        assert not bridge.result(ray_id, closed())
        bridge.complete(ray_id, error=False)
    assert suggested(bridge, "d").trial.number == 2
    assert bridge.suggest("e") is None, "the last one runs"
    bridge.result("d", report(1))
    bridge.result("d", report(2))
    bridge.result("d", closed())
    bridge.complete("d", error=False)
    assert bridge.suggest("f") == "FINISHED"
    assert study.controller.complete
    assert study.ticks == 6


def test_a_task_holds_what_engine_and_record_are_given(study: Study) -> None:
    task = suggested(study.bridge(), "a")
    assert task.trial.params == {"imgsz": 64, "x": task.trial.params["x"]}
    assert task.trial.sampled == {"x"}
    assert (task.trial.resume_from, task.trial.reported) == (None, 0)
    assert task.trial.directory == study.folder / "trials" / "0" / "attempt-1"
    assert task.config == {
        **task.trial.params,
        "study": "try",
        "objective": "seg_metrics/F1",
        "mode": "max",
        "constraints": [],
        "engine": "simulated",
        "data": "powder",
        "data_fingerprint": "0123456789abcdef",
        "epochs": 2,
        "seed": task.trial.seed,
        "trial": 0,
    }
    assert suggested(study.bridge(), "a").run_id == task.run_id, "as long as the study lives"


def test_a_report_is_in_table_and_journal_before_observers_hear_of_it(study: Study) -> None:
    bridge = study.bridge()
    suggested(bridge, "a")
    bridge.result("a", report(1, 0.25))
    (line,) = (trial_dir(study.folder, 0) / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)[F1] == 0.25
    assert study.controller.last_epoch(0) == 1
    assert study.watcher.told == ["0 started 1", "0 reported 1"]


def test_a_trial_is_closed_when_its_engine_ended_whole_and_open_when_it_crashed(
    study: Study,
) -> None:
    bridge = study.bridge(concurrent=2)
    for ray_id, whole in (("a", True), ("b", False)):
        task = suggested(bridge, ray_id)
        bridge.result(ray_id, report(1))
        bridge.result(ray_id, report(2))
        checkpoint(task, 2)
        bridge.result(ray_id, closed(whole=whole))
    assert (trial_dir(study.folder, 0) / "closed.json").is_file()
    assert not (trial_dir(study.folder, 1) / "closed.json").exists()
    assert study.written(1, "outcome.json")["stop_reason"] == "epochs"
    bridge.complete("a", error=False)
    bridge.complete("b", error=False)
    again = suggested(bridge, "c")
    assert (again.trial.number, again.trial.over, again.engine_runs) == (1, True, True)
    assert again.trial.directory.name == "attempt-2"
    bridge.result("c", closed(whole=False))
    bridge.complete("c", error=False)
    assert suggested(bridge, "d").trial.number == 2, "it is tried once a run of the driver"


def test_a_dead_worker_has_its_trial_go_on_from_its_checkpoint_until_it_died_too_often(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = study.bridge(trials=1)
    task = suggested(bridge, "0")
    bridge.result("0", report(1))
    checkpoint(task, 1)
    for attempt in range(2, MAX_CRASHES + 1):
        bridge.complete(str(attempt - 2), error=True)
        task = suggested(bridge, str(attempt - 1))
        assert task.trial.directory.name == f"attempt-{attempt}"
        assert task.trial.resume_from == task.trial.directory / "resume"
        assert task.trial.reported == 1
    assert "trial 0: its worker died; it goes on from its checkpoint" in caplog.text
    bridge.complete(str(MAX_CRASHES - 1), error=True)
    outcome = study.written(0, "outcome.json")
    assert (outcome["state"], outcome["message"]) == ("failed", "its worker died (3 times)")
    assert study.watcher.told[-1] == "0 failed"


def test_an_engine_that_ends_early_without_a_reason_fails_its_trial(study: Study) -> None:
    bridge = study.bridge()
    suggested(bridge, "a")
    bridge.result("a", report(1))
    assert bridge.result("a", ended())
    message = "the engine ended after epoch 1, before epoch 2, without a reason"
    assert study.written(0, "outcome.json")["message"] == message


@pytest.mark.parametrize(
    ("rule", "state"), [(Rule.PATIENCE, "complete"), (Rule.DIVERGED, "failed")], ids=str
)
def test_an_engine_that_ends_with_a_reason_is_taken_at_its_word(
    study: Study, rule: Rule, state: str
) -> None:
    bridge = study.bridge()
    suggested(bridge, "a")
    bridge.result("a", report(1))
    bridge.result("a", ended("as it says", rule))
    outcome = study.written(0, "outcome.json")
    assert (outcome["state"], outcome["stop_reason"]) == (state, str(rule))
    assert outcome["message"] == "as it says"


def test_an_engine_whose_trouble_may_pass_has_its_trial_tried_again(study: Study) -> None:
    bridge = study.bridge()
    suggested(bridge, "a")
    assert not bridge.result("a", ended("out of memory", Rule.ERROR, retry=True))
    bridge.complete("a", error=False)
    assert suggested(bridge, "b").trial.directory == trial_dir(study.folder, 0) / "attempt-2"


def test_a_full_disk_ends_the_study_and_names_its_folder(study: Study) -> None:
    bridge = study.bridge()
    suggested(bridge, "a")
    with pytest.raises(DriverError, match=f"trial 0: no space.*`segtune resume {study.folder}`"):
        bridge.result("a", ended("no space", Rule.ERROR, retry=True, disk_full=True))
    assert study.controller.outcomes == {}


def test_changed_pictures_end_the_study_and_none_of_its_trials(study: Study) -> None:
    bridge = study.bridge()
    suggested(bridge, "a")
    said = f"trial 0: a.png was changed. With .* `segtune resume {study.folder}` goes on"
    with pytest.raises(DriverError, match=said):
        bridge.result("a", ended("a.png was changed.", Rule.ERROR, data_changed=True))
    assert study.controller.outcomes == {}


def test_a_trial_pauses_when_the_hours_are_over_and_goes_on_with_more(ram_path: Path) -> None:
    study = Study(ram_path, hours=1.0)
    bridge = study.bridge(trials=1)
    task = suggested(bridge, "a")
    checkpoint(task, 1)
    study.elapsed_s = 3600.0
    assert bridge.result("a", report(1)), "one step more, to end in"
    outcome = study.written(0, "outcome.json")
    assert (outcome["state"], outcome["stop_reason"]) == ("waiting", "budget")
    assert "with more hours, `segtune resume` goes on with it" in outcome["message"]
    assert not bridge.result("a", closed())
    bridge.complete("a", error=False)
    assert bridge.suggest("b") == "FINISHED"
    study.elapsed_s = 0.0
    again = suggested(study.bridge(trials=1), "a")
    assert (again.trial.number, again.trial.reported) == (0, 1)
    assert not (trial_dir(study.folder, 0) / "outcome.json").exists()


def test_what_a_killed_driver_decided_but_did_not_write_is_written_and_closed_first(
    study: Study,
) -> None:
    killed = study.bridge()
    task = suggested(killed, "a")
    killed.result("a", report(1))
    checkpoint(task, 2)
    study.controller.report(0, 2, {F1: 0.5})  # and is killed before the outcome is written
    bridge = study.bridge()
    bridge.finish_decided()
    assert study.written(0, "outcome.json")["state"] == "complete"
    assert not bridge.idle()
    first, second = suggested(bridge, "a"), suggested(bridge, "b")
    assert (first.trial.number, first.trial.over, first.engine_runs) == (0, True, True)
    assert (second.trial.number, second.trial.over) == (1, False)


def test_the_record_alone_is_closed_where_there_is_nothing_to_draw(study: Study) -> None:
    killed = study.bridge()
    suggested(killed, "a")
    killed.result("a", ended("broken", Rule.ERROR))
    bridge = study.bridge()
    bridge.finish_decided()
    task = suggested(bridge, "a")
    assert (task.trial.number, task.engine_runs) == (0, False)


def test_nothing_is_left_to_start_when_all_have_ended_and_are_closed(study: Study) -> None:
    bridge = study.bridge(trials=1)
    assert not bridge.idle()
    assert suggested(bridge, "a").trial.number == 0, "looking does not use a trial up"
    for result in (report(1), report(2), closed()):
        bridge.result("a", result)
    bridge.complete("a", error=False)
    assert bridge.idle()


class Units(Cores):
    """A room of GPUs that are there, from which trials can be sent away."""

    def __init__(self, *names: str, share: float = 1.0) -> None:
        super().__init__(1, len(names) * trials_a_unit(share), trials_a_unit(share))
        self.share, self.elastic = share, True
        self._placement = Placement(share, dict.fromkeys(names, ""))
        self.asked: list[int] = []
        self.sent_away: set[str] = set()

    def take(self, trial: str, slots: int = 1, units: int = 1) -> str | None:
        return self._placement.place(trial, slots)

    def leaves(self, trial: str, node: str) -> bool:
        return trial in self.sent_away

    def update(self, trials: int, whole: Sequence[int] = ()) -> None:
        self.asked.append(trials)


def test_each_of_two_trials_gets_a_gpu_of_its_own_which_the_next_one_takes_over(
    study: Study,
) -> None:
    bridge = study.bridge(room=Units("x", "y"), concurrent=3)
    first, second = suggested(bridge, "a"), suggested(bridge, "b")
    assert (first.place, second.place) == ("x", "y")
    assert first.trial.device.name == "cuda:0"
    assert first.trial.gpus is None, "its actor knows"
    assert bridge.suggest("c") is None, "there is no third place"
    for result in (report(1), report(2), closed()):
        bridge.result("b", result)
    bridge.complete("b", error=False)
    assert suggested(bridge, "c").place == "y"


def test_room_is_asked_for_as_long_as_there_are_trials_to_fill_it(study: Study) -> None:
    room = Units("x", "y")
    bridge = study.bridge(trials=3, room=room)
    for ray_id in "abc":
        suggested(bridge, ray_id)
        for result in (report(1), report(2), closed()):
            bridge.result(ray_id, result)
        bridge.complete(ray_id, error=False)
    assert bridge.suggest("d") == Searcher.FINISHED
    assert list(dict.fromkeys(room.asked)) == [2, 1, 0]


def test_a_trial_that_is_sent_away_goes_on_in_its_next_place_before_new_ones(study: Study) -> None:
    room = Units("x", "y")
    bridge = study.bridge(room=room)
    first = suggested(bridge, "a")
    room.sent_away.add("a")
    checkpoint(first, 1)
    assert bridge.result("a", report(1))
    assert study.written(0, "outcome.json")["stop_reason"] == Rule.MOVED
    assert not bridge.result("a", closed())
    bridge.complete("a", error=False)
    again = suggested(bridge, "b")
    assert (again.trial.number, again.trial.reported) == (0, 1)
    assert again.trial.resume_from is not None
    assert 0 not in study.controller.outcomes
    assert study.watcher.told == ["0 started 1", "0 reported 1", "0 started 2"]


def test_a_node_that_cannot_run_trials_costs_them_nothing_while_there_is_another(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    living = {"good": Node(4, 0), "bare": Node(4, 0)}
    nodes = Nodes({}, lambda node: True, lambda labels: living, dict)
    bridge = study.bridge(room=Cores(1, 2, nodes=nodes))
    for ray_id in "ab":
        suggested(bridge, ray_id)
    for ray_id in "ab":
        bridge.died(ray_id, Death("a node lacks all", unprepared=True, node="bare"))
        bridge.complete(ray_id, error=True)
    assert caplog.text.count("a node lacks all; the study goes on without that node") == 1
    again = [suggested(bridge, ray_id) for ray_id in "cd"]
    assert sorted((task.trial.number, task.place) for task in again) == [(0, "bare"), (1, "bare")]
    assert all("crashed" not in t.user_attrs for t in study.controller._journal.trials())
    bridge.died("c", Death("all nodes lack all", unprepared=True, node="good"))
    with pytest.raises(DriverError, match="all nodes lack all; expected the same segtune"):
        bridge.complete("c", error=True)


def test_what_several_trials_say_is_shown_once_and_kept_with_each(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = study.bridge()
    with caplog.at_level(logging.WARNING):
        for ray_id in "ab":
            suggested(bridge, ray_id)
            bridge.result(ray_id, report(1, notes=("nothing to see",)))
    assert caplog.text.count("nothing to see") == 1
    assert [study.written(n, "notes.json")["notes"] for n in (0, 1)] == [["nothing to see"]] * 2


def test_an_observer_that_fails_breaks_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(Watcher, "trial_reported")
    bridge = study.bridge()
    suggested(bridge, "a")
    assert bridge.result("a", report(1))
    assert "trial_reported failed in Watcher" in caplog.text


def test_trials_that_paused_for_somebody_who_does_not_come_go_on(study: Study) -> None:
    bridge = study.bridge(trials=3, concurrent=2)
    for ray_id in ("a", "b"):
        suggested(bridge, ray_id)
    bridge.pause(Hold("moved", "somebody goes on with it"))
    assert bridge.result("a", report(1))
    assert study.written(0, "outcome.json")["state"] == "waiting"
    bridge.result("a", {"event": CLOSED, "whole": True, "notes": []})
    bridge.complete("a", error=False)
    assert bridge.suggest("c") is None
    bridge.pause(None)
    task = suggested(bridge, "c").trial
    assert (task.number, task.reported) == (0, 1)
    assert bridge.result("b", report(1))
    assert not trial_dir(study.folder, 1).joinpath("outcome.json").exists()


def test_after_a_take_over_the_records_of_open_trials_are_new_ones_and_stay_so(
    study: Study,
) -> None:
    """A driver that may wake up yet writes into the runs that it had; nobody else does then."""
    first = suggested(study.bridge(trials=2, concurrent=1), "a")
    second = study.bridge(trials=2, concurrent=1)
    study.recorder.takeover = 2
    again = suggested(second, "a")
    assert (again.trial.number, again.takeover) == (0, 2)
    assert again.run_id != first.run_id
    later = suggested(study.bridge(trials=2, concurrent=1), "a")  # without its mirror
    assert (later.run_id, later.takeover) == (again.run_id, 2)


def test_a_trial_that_paused_and_whose_worker_died_goes_on_once(study: Study) -> None:
    bridge = study.bridge(trials=2, concurrent=2)
    for ray_id in "ab":
        suggested(bridge, ray_id)
    bridge.pause(Hold("moved", "somebody goes on with it"))
    bridge.result("a", report(1))
    bridge.complete("a", error=True)
    bridge.pause(None)
    assert suggested(bridge, "c").trial.number == 0
    bridge.complete("b", error=True)
    assert suggested(bridge, "d").trial.number == 1
    assert "crashed" not in study.controller._journal.trials()[0].user_attrs


def test_where_there_is_room_and_nothing_to_try_yet_the_room_stays(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = study.bridge(concurrent=2)
    with monkeypatch.context() as round_runs:
        round_runs.setattr(Search, "propose", lambda *given: None)
        assert [bridge.suggest(ray_id) for ray_id in "abc"] == [None] * 3
    assert [suggested(bridge, ray_id).trial.number for ray_id in "de"] == [0, 1]


def test_a_trial_gets_no_more_cores_where_there_is_no_node_to_begin_again_on() -> None:
    notices, seconds = dict[str, float](), iter(range(9))
    nodes = Nodes({}, lambda node: True, lambda labels: {"only": Node(4, 0)}, lambda: notices)
    room = Cores(1, 4, nodes=nodes, clock=lambda: float(next(seconds)))
    room.update(1)
    assert room.take("a") == ""
    notices["only"] = 0.0
    room.update(1)
    assert not room.leaves("a", "only")
    assert room.grow("a", 4) == 1


def test_a_study_does_not_end_while_it_is_unknown_what_a_worker_died_of(study: Study) -> None:
    bridge, alive = study.bridge(trials=1), {"far"}
    bridge._doubts = Doubts(alive.__contains__, iter(range(9)).__next__)
    suggested(bridge, "a")
    bridge.died("a", Death(node="far"))
    bridge.complete("a", error=True)
    assert bridge.suggest("b") is None
    assert not bridge.idle()
    alive.clear()
    assert suggested(bridge, "c").trial.number == 0
    attributes = study.controller._journal.trials()[0].user_attrs
    assert (attributes["lost"], "crashed" in attributes) == ([1, 0], False)
