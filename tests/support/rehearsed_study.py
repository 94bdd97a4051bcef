"""Study directories for the tests of `analysis`, written by the real parts without Ray.

The real plan, controller, journal, recorder and runner, with the simulated engine: one trial after
another, in this process, milliseconds each.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.study_samples import write_study
from trainables.contract import Device, TrainMetrics
from trainables.files.whole import write_json, write_text
from tune.directory.journal import Journal
from tune.directory.layout import JOURNAL, RESOLVED, STUDY
from tune.directory.reader import StudyDir
from tune.directory.trials import TrialAssignment
from tune.directory.writer import Recorder
from tune.driver.controller import Controller
from tune.driver.parts import controller_of
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file
from tune.plan.resolved import resolved, to_yaml
from tune.plan.resume import plan_resumed
from tune.stopping.decision import Rule
from tune.trial.messages import Ended, Reported
from tune.trial.runner import TrialRunner
from tune.trial.task import TrialTask

SPACE: Mapping[str, Any] = {
    "lr0": {"loguniform": [1e-5, 0.1]},
    "momentum": {"uniform": [0.6, 0.98], "when": {"optimizer": "SGD"}},
    "batch": {"choice": [2, 4, 8, 16, 32]},
    "optimizer": {"choice": ["AdamW", "SGD"]},
}


def rehearse(
    folder: Path,
    *,
    run: bool = True,
    stop_after: int | None = None,
    **changes: Any,
) -> StudyDir:
    """Run a study of the simulated engine.

    Args:
        folder: For the study file, its data and the study directory.
        run: Whether to run any trial.
        stop_after: Leave the study unfinished after so many reports, in the middle of a trial.
        changes: Keys of the study file.
    """
    asked = {"search_space": dict(SPACE), "warm_start": {"points": []}, **changes}
    return rehearse_plan(plan_file(write_study(folder, **asked)), run=run, stop_after=stop_after)


def rehearse_file(file: Path | str, storage: Path) -> StudyDir:
    """Run the study of a study file, in another storage and without its epochs' time."""
    changes = [f"storage={storage}", "fixed.epoch_seconds=0"]
    return rehearse_plan(plan_file(Path(file), changes))


def rehearse_plan(plan: StudyPlan, *, run: bool = True, stop_after: int | None = None) -> StudyDir:
    """Run a study that is planned, as `rehearse` does."""
    plan.directory.mkdir(parents=True, exist_ok=True)
    write_text(plan.directory / STUDY, to_yaml(plan))
    write_json(plan.directory / RESOLVED, resolved(plan))
    study = plan.study
    journal = Journal(plan.directory / JOURNAL, study.study, study.objective.mode)
    if run:
        _run(plan, controller_of(plan, journal), Recorder(plan.directory, plan.fixed), stop_after)
    return StudyDir(plan.directory, study, resolved(plan))


def go_on(
    study: StudyDir,
    changed: Callable[[int], None] = lambda number: None,
    *,
    close: bool = False,
) -> StudyDir:
    """Resume a study that was left unfinished, to its end.

    Args:
        study: The study.
        changed: Told of each trial whose folder was written into.
        close: Whether trials are closed when they have ended.
    """
    plan = plan_resumed(study, [])
    journal = Journal(plan.directory / JOURNAL, plan.study.study, plan.study.objective.mode)
    recorder = Recorder(plan.directory, plan.fixed)
    recorder.changed = changed
    end = recorder.close if close else lambda number: None
    _run(plan, controller_of(plan, journal), recorder, None, end)
    return StudyDir.open(study.path)


def _run(
    plan: StudyPlan,
    controller: Controller,
    recorder: Recorder,
    stop_after: int | None,
    end: Callable[[int], None] = lambda number: None,
) -> None:
    reports = 0
    while (assignment := controller.next_trial()) is not None:
        runner = TrialRunner(plan.study.trainable)
        runner.start(_task(plan, assignment, recorder))
        while True:
            event = runner.next_event()
            if isinstance(event, Ended):
                break
            if not isinstance(event, Reported):
                continue
            decision = controller.report(assignment.number, event.epoch, event.values)
            recorder.report(assignment.number, event.epoch, event.values)
            reports += 1
            if reports == stop_after:
                return
            if decision.go_on:
                runner.go_on()
            else:
                runner.stop()
        if assignment.number not in controller.outcomes:
            controller.fail(assignment.number, event.rule or Rule.ERROR, event.message)
        recorder.end(assignment.number, controller.outcomes[assignment.number])
        end(assignment.number)


def _task(plan: StudyPlan, assignment: TrialAssignment, recorder: Recorder) -> TrialTask:
    study = plan.study
    attempt, checkpoint, reported = recorder.begin(assignment)
    sampled = dict(assignment.proposal.params)
    return TrialTask(
        engine=study.trainable,
        study=study.study,
        number=assignment.number,
        params={**plan.fixed, **sampled},
        sampled=frozenset(sampled),
        data=plan.data,
        epochs=study.budget.epochs,
        seed=assignment.seed,
        device=Device(),
        directory=attempt,
        resume_from=checkpoint,
        reported=reported,
        goal=study.objective.goal,
        train_metrics=TrainMetrics(study.train_metrics.every),
    )
