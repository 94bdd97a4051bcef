"""Between Ray's calls and the controller's; holds nothing that would have to survive a crash."""

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from tune.directory.layout import attempt_number
from tune.directory.trials import TrialAssignment, TrialOutcome
from tune.directory.writer import Recorder
from tune.driver.controller import Controller
from tune.driver.deaths import Death, Doubts
from tune.driver.resharing import Resharing, UsefulGpus
from tune.driver.room import Cores, Room
from tune.errors import changed_data, no_room, unprepared_node
from tune.mirror.holding import Hold
from tune.progress.observer import Observer
from tune.stopping.decision import Decision, Rule
from tune.tracking.tracker import run_config, run_id
from tune.trial.actor import CLOSED, ENDED, REPORT, ActorTask
from tune.trial.task import StudyTasks, TrialTask

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
        rungs: Epochs at which trials can be stopped, rising.
        reshare: Whether trials get larger parts of the machine as they pass rungs, and as others
            drop away.
        useful_gpus: Says how many GPUs a trial can use, from all of its hyperparameters.
    """

    tasks: StudyTasks
    tracking: "Tracking"
    created: str
    concurrent: int
    rungs: tuple[int, ...] = ()
    reshare: bool = False
    useful_gpus: UsefulGpus = lambda _: 1


class Bridge:
    """Turns what Ray asks and tells into what the controller is asked and told.

    Args:
        work: Trials as they are handed to actors.
        controller: Decides on trials and reports.
        recorder: Writes the trial folders.
        observers: Told of every event.
        tick: Keeps the study's time; called at each report, and while there is none.

    Attributes:
        lease: Of a study with a mirror, asked before each decision whether trials are to pause.
        error: First error of a callback, which ends the study; or None.
        stopped: Whether nothing was started at last as all trials had paused.
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
        self._open: deque[int] = deque()  # ended trials that a crash left without their ending
        self._reopened: set[int] = set()
        self._deaths: dict[str, Death] = {}
        self._doubts = Doubts()
        self._moving: set[int] = set()  # trials that go on in another place, or with another part
        self._bare: set[str] = set()  # nodes that cannot run trials
        self._notes: set[str] = set()
        cores = Cores(1, work.concurrent)
        self._parts = Resharing(cores, controller, recorder, self._left, self._useful_gpus)
        self.lease: Callable[[], Hold | None] | None = None
        self._paused: Hold | None = None
        self._held: list[int] = []  # trials that paused by a hold, which may be lifted
        self.error: Exception | None = None
        self.stopped = False

    # --- for Ray

    def suggest(self, ray_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration; None to ask again later; FINISHED when all is done."""
        self._settle_doubts()  # also here: Ray does nothing but ask while no trial runs
        self._fit_room()
        paused = self.hold() is not None
        self.stopped = paused and not self._running
        if paused:
            return str(Searcher.FINISHED) if self.stopped else None
        self._let_held_go_on()
        if len(self._running) >= self._work.concurrent:
            return None
        task = self._next_task(ray_id)
        if task is None:
            return str(Searcher.FINISHED) if self.idle() and not self._running else None
        return {"task": task}

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
        self._reported(ray_id, result, hold)
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
        moving = number in self._moving
        self._parts.leave(ray_id, number, moves=moving)
        self._moving.discard(number)
        if self.error is not None:  # which ends the study, and is not the trial's
            return
        hold = self.hold()
        if hold is not None and not hold.decides:
            return
        if moving:
            self._controller.again(number)
        elif error and number not in (*self._controller.outcomes, *self._held):
            self._died(number, death)
        self._reopen_if_open(number)

    def died(self, ray_id: str, death: Death) -> None:
        """The reason why a trial's actor died, before Ray is done with the trial."""
        self._deaths[ray_id] = death

    # --- for the driver

    @property
    def room(self) -> Room:
        """Where trials find their parts of machines."""
        return self._parts.room

    @room.setter
    def room(self, room: Room) -> None:
        self._parts.room = room

    def pause(self, hold: Hold | None) -> None:
        """Have every trial pause at the end of its epoch, or go on with None; from any thread."""
        self._paused = hold

    def hold(self) -> Hold | None:
        """The reason why trials are to pause, if there is one."""
        return (None if self.lease is None else self.lease()) or self._paused

    def idle(self) -> bool:
        """Whether nothing is left to start."""
        return self._controller.exhausted and not self._open and not self._doubts.open

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
        self._settle_doubts()
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
        if not self.room.elastic:
            return
        trials = max(len(self._running), min(self._work.concurrent, self._left()))
        begun = dict.fromkeys([*self._running.values(), *self._controller.unfinished])
        self._parts.fit(trials, list(begun)[:trials])

    def _let_held_go_on(self) -> None:
        """Queue the trials that paused for somebody who does not come any more."""
        running = set(self._running.values())
        for number in [number for number in reversed(self._held) if number not in running]:
            self._held.remove(number)
            self._controller.again(number)

    def _left(self) -> int:
        """Number of trials that have not ended, or are not closed."""
        return self._controller.n_trials - len(self._controller.outcomes) + len(self._open)

    def _useful_gpus(self, sampled: Mapping[str, Any]) -> int:
        return self._work.useful_gpus({**self._work.tasks.fixed, **sampled})

    def _next_task(self, ray_id: str) -> ActorTask | None:
        """The task of the next trial that has room, which it then has; None where none has."""
        places: list[str] = []

        def fits(number: int) -> bool:
            place = self._parts.take(ray_id, number)
            places.extend([] if place is None else [place])
            return place is not None

        if self._open:
            number = self._open[0]
            if not fits(number):
                return None
            self._open.popleft()
            self._running[ray_id] = number
            return replace(self._closing_task(number), place=places[0])
        assignment = self._controller.next_trial(fits)
        if assignment is None:
            if places:  # there was room, and is nothing to try yet
                self.room.free(ray_id)
            return None
        self._running[ray_id] = assignment.number
        self._parts.narrow(assignment.number, assignment.last_epoch)
        return replace(self._training_task(assignment), place=places[0])

    def _move_if_due(self, ray_id: str, number: int, epoch: int, node: str) -> None:
        """Have a trial leave a place that is to be given up, or go on with a larger part."""
        if self.room.elastic and self.room.leaves(ray_id, node):
            log.info("trial %d: leaves its place after epoch %d", number, epoch)
            self._parts.narrow(number, epoch)
            self._move(number, epoch, "moves to another place")
        elif self._work.reshare:
            part = self._parts.grow(ray_id, number, epoch, self._work.rungs)
            if part:
                self._move(number, epoch, f"goes on with {part}")

    def _move(self, number: int, epoch: int, what: str) -> None:
        """Have a trial end its attempt after an epoch, and go on in another one."""
        self._moving.add(number)
        message = f"{what} after epoch {epoch}"
        moved = TrialOutcome("running", Rule.MOVED, None, None, None, epoch, message=message)
        self._recorder.end(number, moved)

    def _note(self, number: int, note: str) -> None:
        """Keep and show what an engine has to say; what several trials say is shown once."""
        self._recorder.note(number, note)
        seen = note in self._notes
        self._notes.add(note)
        log.log(logging.DEBUG if seen else logging.WARNING, "trial %d: %s", number, note)

    def _reported(self, ray_id: str, result: Mapping[str, Any], hold: Hold | None) -> None:
        """Take in an epoch; a trial that is to leave its place, or to pause, does so after it."""
        number = self._running[ray_id]
        epoch, values = result["epoch"], json.loads(result["values"])
        self._recorder.report(number, epoch, values)
        decision = self._controller.report(number, epoch, values)
        self.tick()
        self.tell("trial_reported", number, epoch, values, decision)
        if number in self._controller.outcomes:
            self._end(number)
        elif decision.rule is Rule.BUDGET:
            self._recorder.end(number, _pause(epoch, decision))
        elif hold is not None:
            self._recorder.end(number, _held(epoch, hold))
            self._held.append(number)
        else:
            self._move_if_due(ray_id, number, epoch, result["node"])

    def _ended(self, number: int, result: Mapping[str, Any]) -> None:
        if number in self._controller.outcomes:
            return
        rule, message = result["rule"], result["message"]
        if result["disk_full"]:
            raise no_room(self._recorder.study, f"trial {number}: {message}")
        if result["data_changed"]:
            raise changed_data(self._recorder.study, f"trial {number}: {message}")
        if result["out_of_memory"]:
            self._relieve(number, result["micro_batch"], message)
            return
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

    def _relieve(self, number: int, at_once: int, message: str) -> None:
        """Have a trial that ran out of memory go on with what may suffice, or fail it."""
        epoch = self._controller.last_epoch(number)
        part = self._parts.relieve(number, at_once, epoch)
        if not part:
            self._controller.fail(number, Rule.ERROR, message)
            self._end(number)
            return
        self._note(number, f"out of memory after epoch {epoch}; it goes on with {part}")
        log.debug("trial %d: %s", number, message)
        self._moving.add(number)

    def _died(self, number: int, death: Death) -> None:
        if death.unprepared:
            self._leave_out(number, death)
        elif death.node and not death.of_node:
            self._doubts.add(number, death)
        elif not death.of_node:
            self._crashed(number, death.message)
        elif self._controller.lost(number, death.message):
            log.warning(
                "trial %d: %s after epoch %d; it goes on elsewhere",
                *(number, death.message, self._controller.last_epoch(number)),
            )
        else:
            self._end(number)

    def _settle_doubts(self) -> None:
        """Queue trials whose workers died, once it is known whether their nodes live."""
        if not self._doubts.open:
            return
        hold = self.hold()
        if hold is None or hold.decides:
            for number, death in self._doubts.settled():
                self._died(number, death)

    def _leave_out(self, number: int, death: Death) -> None:
        """Have a trial that could not begin on a node begin on another one, and all others, too."""
        known = death.node in self._bare
        self._bare.add(death.node)
        if not (death.node and self.room.leave_out(death.node)):
            raise unprepared_node(self._recorder.study, death.message)
        if not known:
            log.warning("%s; the study goes on without that node", death.message)
        self._controller.again(number)

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
        if self._work.reshare:
            self.tell("trial_placed", assignment.number, self._parts.words(assignment.number))
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
        part = self._parts.part(number)
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
        takeover = self._recorder.takeover_of(task.number)
        name = run_id(task.study, self._work.created, task.number, takeover)
        return ActorTask(task, self._work.tracking, config, name, takeover=takeover)


def _held(epoch: int, hold: Hold) -> TrialOutcome:
    message = f"pauses after epoch {epoch}: {hold.message}"
    return TrialOutcome("waiting", Rule.MOVED, None, None, None, epoch, message=message)


def _pause(epoch: int, decision: Decision) -> TrialOutcome:
    message = f"out of time at epoch {epoch}; with more hours, `segtune resume` goes on with it"
    return TrialOutcome(
        "waiting", Rule.BUDGET, None, decision.cutoff, decision.value, epoch, message=message
    )
