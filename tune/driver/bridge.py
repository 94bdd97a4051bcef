"""Between Ray's calls and the controller's; holds nothing that would have to survive a crash."""

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ray.tune.search import Searcher

from tune.directory.layout import attempt_number
from tune.directory.trials import TrialAssignment, TrialOutcome
from tune.directory.writer import Recorder
from tune.driver.controller import Controller
from tune.driver.deaths import Death
from tune.errors import changed_data, no_room, unprepared_node
from tune.mirror.holding import Hold
from tune.progress.observer import Observer
from tune.stopping.decision import Decision, Rule
from tune.tracking.tracker import run_config, run_id
from tune.trial.actor import CLOSED, ENDED, REPORT, ActorTask
from tune.trial.task import Part, StudyTasks, TrialTask

if TYPE_CHECKING:
    from tune.study.study import Tracking


log = logging.getLogger(__name__)

DRAWN = frozenset({"complete", "pruned"})
"""States of trials whose engine draws artifacts at their end."""


@dataclass(frozen=True)
class Work:
    """A study's trials as they are handed to actors.

    Attributes:
        tasks: Makes the engine's part.
        tracking: Settings of the tracker.
        created: Tells studies of one name apart; part of each run's id.
        concurrent: Number of trials at once.
    """

    tasks: StudyTasks
    tracking: "Tracking"
    created: str
    concurrent: int


class Room(Protocol):
    """Where a study's trials find their parts of machines; a trial is known by Ray's id of it.

    `cluster.machines.reservations` has the one for GPUs.
    """

    @property
    def share(self) -> float:
        """Fraction of a GPU that each trial gets, or number of whole ones; 0 for none."""
        ...

    @property
    def cpus(self) -> int:
        """CPU cores that each trial gets."""
        ...

    def take(self, trial: str) -> str | None:
        """Give a trial a place, by name; None where there is none now."""
        ...

    def free(self, trial: str) -> None:
        """A trial has left its place."""
        ...

    def leaves(self, trial: str) -> bool:
        """Whether a trial is to leave its place at the end of its epoch, and to go on elsewhere."""
        ...

    def update(self, trials: int) -> None:
        """Have room for a number of trials; cheap if called often."""
        ...


@dataclass(frozen=True)
class Anywhere:
    """Room wherever Ray finds free CPU cores: it knows, and waits where there are none.

    Attributes:
        cpus: CPU cores that each trial gets.
        share: No GPU.
    """

    cpus: int
    share: float = 0.0

    def take(self, trial: str) -> str:
        """Any place."""
        return ""

    def free(self, trial: str) -> None:
        """Nothing."""

    def leaves(self, trial: str) -> bool:
        """Never."""
        return False

    def update(self, trials: int) -> None:
        """Nothing."""


class Bridge:
    """Turns what Ray asks and tells into what the controller is asked and told.

    Args:
        work: Trials as they are handed to actors.
        controller: Decides on trials and reports.
        recorder: Writes the trial folders.
        observers: Told of every event.
        tick: Keeps the study's time; called at each report, and while there is none.

    Attributes:
        room: Where trials find their parts of machines.
        asks: Asked before each decision for the reason why trials are to pause, if there is one.
        error: First error of a callback, which ends the study; or None.
    """

    def __init__(
        self,
        work: Work,
        controller: Controller,
        recorder: Recorder,
        observers: Sequence[Observer],
        tick: Callable[[], None],
    ) -> None:
        self._work = work
        self._controller = controller
        self._recorder = recorder
        self._observers = observers
        self._tick = tick
        self._running: dict[str, int] = {}  # our number by Ray's trial id
        self._next: TrialAssignment | None = None
        self._open: deque[int] = deque()  # ended trials that a crash left without their ending
        self._reopened: set[int] = set()
        self._deaths: dict[str, Death] = {}
        self._moving: set[int] = set()  # trials that go on in another place
        self._notes: set[str] = set()
        self.room: Room = Anywhere(1)
        self.asks: Callable[[], Hold | None] = lambda: None
        self._asked_for: Hold | None = None
        self.error: Exception | None = None

    # --- for Ray

    def suggest(self, ray_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration; None to ask again later; FINISHED when all is done."""
        self._fit_room()
        if self.hold() is not None:
            return None if self._running else str(Searcher.FINISHED)
        if len(self._running) >= self._work.concurrent:
            return None
        place = self.room.take(ray_id)
        if place is None:
            over = not self._running and not self._open and self._controller.out_of_time()
            return str(Searcher.FINISHED) if over else None
        task = self._next_task(ray_id)
        if task is None:
            self.room.free(ray_id)
            return None if self._running else str(Searcher.FINISHED)
        return {"task": replace(task, place=place)}

    def result(self, ray_id: str, result: Mapping[str, Any]) -> bool:
        """Take in what an actor said; returns whether it has more to do for its trial.

        A trial that has ended, or pauses, is closed by its actor in one step more; an attempt
        that a crash ended is over.
        """
        number, hold = self._running[ray_id], self.hold()
        if hold is not None and not hold.decides:
            self._recorder.end(number, _held(self._controller.last_epoch(number), hold))
            return bool(result["event"] == REPORT)
        for note in result["notes"]:
            self._note(number, note)
        if result["event"] == CLOSED:
            if result["whole"] and number in self._controller.outcomes:
                self._recorder.close(number)
            return False
        if result["event"] == ENDED:
            self._ended(number, result)
            return number in self._controller.outcomes
        self._reported(number, result, hold or self.room.leaves(ray_id))
        return True

    def complete(self, ray_id: str, *, error: bool) -> None:
        """Ray is done with a trial; with `error`, its actor died, as `died` has said.

        Raises:
            DriverError: A node of the cluster lacks what a trial needs.
        """
        death = self._deaths.pop(ray_id, Death())
        number = self._running.pop(ray_id, None)
        if number is None:
            return
        self.room.free(ray_id)
        moving = number in self._moving
        self._moving.discard(number)
        if self.error is not None:  # which ends the study, and is not the trial's
            return
        hold = self.hold()
        if hold is not None and not hold.decides:
            return
        if moving:
            self._controller.again(number)
        elif error and number not in self._controller.outcomes:
            self._died(number, death)
        self._reopen_if_open(number)

    def died(self, ray_id: str, death: Death) -> None:
        """The reason why a trial's actor died, before Ray is done with the trial."""
        self._deaths[ray_id] = death

    # --- for the driver

    def hold(self) -> Hold | None:
        """The reason why trials are to pause, if there is one."""
        return self.asks() or self._asked_for

    def hand_over(self) -> None:
        """Have trials pause at the ends of their epochs, as somebody goes on with them."""
        self._asked_for = Hold("moved", "somebody on this machine goes on with it")

    def idle(self) -> bool:
        """Whether nothing is left to start."""
        self._next = self._controller.next_trial()
        return self._next is None and not self._open

    def finish_decided(self) -> None:
        """Write the outcomes that a killed driver decided but did not write.

        Trials whose artifacts or records it left open are closed by actors, before others start.
        """
        for number, outcome in self._controller.outcomes.items():
            if not self._recorder.has_outcome(number):
                self._recorder.end(number, outcome)
            self._reopen_if_open(number)

    def tick(self) -> None:
        """Keep the study's time and its room; called many times a second, by Ray."""
        self._tick()
        self._fit_room()

    def tell(self, event: str, *details: Any) -> None:
        """Pass an event on to the observers; theirs is not to break the study."""
        for observer in self._observers:
            try:
                getattr(observer, event)(*details)
            except Exception:
                log.exception("%s failed in %s", event, type(observer).__name__)

    # --- within

    def _fit_room(self) -> None:
        """Have room for the trials that could run now, and for no more."""
        left = self._controller.n_trials - len(self._controller.outcomes) + len(self._open)
        self.room.update(max(len(self._running), min(self._work.concurrent, left)))

    def _next_task(self, ray_id: str) -> ActorTask | None:
        if self._open:
            number = self._open.popleft()
            self._running[ray_id] = number
            return self._closing_task(number)
        assignment = self._next or self._controller.next_trial()
        self._next = None
        if assignment is None:
            return None
        self._running[ray_id] = assignment.number
        return self._training_task(assignment)

    def _note(self, number: int, note: str) -> None:
        """Keep and show what an engine has to say; what several trials say is shown once."""
        self._recorder.note(number, note)
        seen = note in self._notes
        self._notes.add(note)
        log.log(logging.DEBUG if seen else logging.WARNING, "trial %d: %s", number, note)

    def _reported(self, number: int, result: Mapping[str, Any], leaves: Hold | bool) -> None:
        """Take in an epoch; a trial that is to leave its place pauses after it."""
        epoch, values = result["epoch"], json.loads(result["values"])
        self._recorder.report(number, epoch, values)
        decision = self._controller.report(number, epoch, values)
        self.tick()
        self.tell("trial_reported", number, epoch, values, decision)
        if number in self._controller.outcomes:
            self._end(number)
        elif decision.rule is Rule.BUDGET:
            self._recorder.end(number, _pause(epoch, decision))
        elif isinstance(leaves, Hold):
            self._recorder.end(number, _held(epoch, leaves))
        elif leaves:
            self._moving.add(number)
            self._recorder.end(number, _move(epoch))

    def _ended(self, number: int, result: Mapping[str, Any]) -> None:
        if number in self._controller.outcomes:
            return
        rule, message = result["rule"], result["message"]
        if result["disk_full"]:
            raise no_room(self._recorder.study, f"trial {number}: {message}")
        if result["data_changed"]:
            raise changed_data(self._recorder.study, f"trial {number}: {message}")
        if result["retry"]:
            self._crashed(number, message)
            return
        if rule is None:
            rule = Rule.ERROR
            message = f"the engine ended after epoch {self._controller.last_epoch(number)}, " + (
                f"before epoch {self._work.tasks.epochs}, without a reason"
            )
        self._controller.fail(number, Rule(rule), message)
        self._end(number)

    def _died(self, number: int, death: Death) -> None:
        if death.unprepared:
            raise unprepared_node(self._recorder.study, death.message)
        if not death.of_node:
            self._crashed(number, death.message)
        elif self._controller.lost(number, death.message):
            log.warning(
                "trial %d: %s after epoch %d; it goes on elsewhere",
                *(number, death.message, self._controller.last_epoch(number)),
            )
        else:
            self._end(number)

    def _crashed(self, number: int, message: str) -> None:
        if self._controller.crashed(number, message):
            log.warning("trial %d: %s; it goes on from its checkpoint", number, message)
        else:
            self._end(number)

    def _end(self, number: int) -> None:
        outcome = self._recorder.end(number, self._controller.outcomes[number])
        self.tell("trial_ended", number, outcome)

    def _reopen_if_open(self, number: int) -> None:
        """Have an ended trial closed that is not; tried once a run of the driver."""
        ended = number in self._controller.outcomes
        if ended and number not in self._reopened and not self._recorder.is_closed(number):
            self._reopened.add(number)
            self._open.append(number)

    # --- tasks

    def _training_task(self, assignment: TrialAssignment) -> ActorTask:
        attempt, checkpoint, reported = self._recorder.begin(assignment)
        task = self._task(assignment, attempt)
        self.tell("trial_started", assignment.number, task.params, attempt_number(attempt))
        return self._for_actor(replace(task, resume_from=checkpoint, reported=reported))

    def _closing_task(self, number: int) -> ActorTask:
        """Close a trial that has ended: its engine has no epoch left to train and only draws."""
        log.info("trial %d ended without its artifacts or its record; closing it", number)
        redraw = self._controller.outcomes[number].state in DRAWN
        directory, checkpoint = self._recorder.reopen(number, redraw=redraw)
        task = self._task(self._controller.assignment(number), directory)
        last = self._controller.last_epoch(number)
        task = replace(task, resume_from=checkpoint, reported=last, over=True)
        return replace(self._for_actor(task), engine_runs=checkpoint is not None)

    def _task(self, assignment: TrialAssignment, attempt: Path) -> TrialTask:
        params, number = assignment.proposal.params, assignment.number
        share = self.room.share
        part = Part(self.room.cpus, share, None if share else "")  # its actor knows its GPUs
        return self._work.tasks.first(number, params, assignment.seed, attempt, part)

    def _for_actor(self, task: TrialTask) -> ActorTask:
        config = run_config(
            task.params,
            study=task.study,
            goal=task.goal,
            engine=task.engine,
            data=(task.data.name, task.data.fingerprint),
            epochs=task.epochs,
            seed=task.seed,
            trial=task.number,
        )
        name = run_id(task.study, self._work.created, task.number)
        return ActorTask(task, self._work.tracking, config, name)


def _move(epoch: int) -> TrialOutcome:
    message = f"moves to another place after epoch {epoch}"
    return TrialOutcome("running", Rule.MOVED, None, None, None, epoch, message=message)


def _held(epoch: int, hold: Hold) -> TrialOutcome:
    message = f"pauses after epoch {epoch}: {hold.message}"
    return TrialOutcome("waiting", Rule.MOVED, None, None, None, epoch, message=message)


def _pause(epoch: int, decision: Decision) -> TrialOutcome:
    message = f"out of time at epoch {epoch}; with more hours, `segtune resume` goes on with it"
    return TrialOutcome(
        "waiting", Rule.BUDGET, None, decision.cutoff, decision.value, epoch, message=message
    )
