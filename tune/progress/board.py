"""The account of a study's trials that tables and lines are made of; nothing is drawn here."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trainables.goal import Limit, Mode, standing, violation
from tune.directory.trials import UNFINISHED, State, TrialOutcome
from tune.plan.eta import Eta, StudyEta

if TYPE_CHECKING:
    from tune.directory.reader import TrialRecord


ETA_EVERY_S: Final = 2.0  # between two estimates; the clock runs on in between

BEST_SHOWN: Final = 5

ENDED_SHOWN: Final = 5

SECTION_ROWS: Final = 6  # three titles, two lines between, and "... more"


@dataclass
class TrialView:
    """A trial as far as it is shown.

    Attributes:
        number: Number of the trial.
        state: State of the trial so far.
        epoch: Last epoch reported.
        last: The objective at that epoch.
        best: The objective at the best epoch so far.
        best_epoch: Epoch of the best value.
        violation: Amount by which the best epoch breaks the constraints.
        outcome: Outcome, once the trial has ended.
        params: Hyperparameters of the trial, by key.
        part: The part of a machine that it has, in words; "" for the one that all begin with.
    """

    number: int
    state: State = "running"
    epoch: int = 0
    last: float | None = None
    best: float | None = None
    best_epoch: int | None = None
    violation: float = 0.0
    outcome: TrialOutcome | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""


class Section(NamedTuple):
    """Trials that belong together in a table, and how many more there are of the kind."""

    title: str
    trials: Sequence[TrialView]
    hidden: int = 0


@dataclass
class Board:
    """A study's trials and what can be said of the whole; times are seconds of one clock.

    Attributes:
        study: Name of the study.
        metric: Name of the objective.
        mode: Better direction of the objective.
        limits: The study's constraints.
        epochs: Number of epochs of a trial that is never stopped.
        eta: Estimator of the time left; knows how many trials there are.
        share: Part of the machine that each trial gets, in words.
        hours: The study's budget of time, if it has one.
        began: Moment at which this run of the study began.
        before_s: Time that earlier runs of the study took.
        trials: Trials by number; those that have ended stand last, in that order.
    """

    study: str
    metric: str
    mode: Mode
    epochs: int
    eta: StudyEta
    share: str = ""
    limits: tuple[Limit, ...] = ()
    hours: float | None = None
    began: float = 0.0
    before_s: float = 0.0
    trials: dict[int, TrialView] = field(default_factory=dict)
    _untold: list[Callable[[], None]] = field(default_factory=list)  # what `eta` is still to hear
    _estimate: tuple[float, Eta | None] | None = None

    # --- what happens

    def restore(self, records: Iterable["TrialRecord"]) -> None:
        """Take over trials as a study directory has them; those that have not ended go on."""
        for record in records:
            ended = record.state not in UNFINISHED
            view = TrialView(record.number, record.state, record.epochs)
            view.last, view.best, view.best_epoch = record.last, record.objective, record.best_epoch
            view.violation = record.violation
            view.outcome = _outcome(record) if ended else None
            view.params, view.part = {**record.fixed, **record.params}, record.part
            self.trials[record.number] = view
            self.eta.restore(record.number, record.epochs, record.seconds, ended=ended)

    def place(self, number: int, part: str) -> None:
        """A trial has a part of the machine, in words."""
        self.trials.setdefault(number, TrialView(number)).part = part

    def start(self, number: int, now: float, params: Mapping[str, Any] | None = None) -> None:
        """A trial begins, or goes on."""
        view = self.trials.setdefault(number, TrialView(number))
        view.state, view.params = "running", params or view.params
        self._untold.append(partial(self.eta.started, number, now))

    def report(self, number: int, epoch: int, values: Mapping[str, float], now: float) -> None:
        """A trial has trained an epoch."""
        view, value = self.trials[number], values.get(self.metric)
        broken = violation(limit.excess(values) for limit in self.limits)
        view.epoch, view.last = epoch, value
        if value is not None and math.isfinite(value) and self._is_better(value, broken, view):
            view.best, view.best_epoch, view.violation = value, epoch, broken
        self._untold.append(partial(self.eta.reported, number, epoch, now))

    def end(self, number: int, outcome: TrialOutcome, now: float) -> None:
        """A trial has ended."""
        view = self.trials.pop(number, TrialView(number))
        self.trials[number] = view  # last, so that those that have ended stand in that order
        view.state, view.outcome = outcome.state, outcome
        view.epoch = outcome.epoch or view.epoch
        self._untold.append(partial(self.eta.ended, number, now))
        self._estimate = None

    def interrupt(self) -> None:
        """The run of the study ends; trials that have not ended wait for the next one."""
        for view in self.running:
            view.state = "waiting"

    # --- what there is to say

    @property
    def running(self) -> list[TrialView]:
        """Trials that are being trained, by number."""
        return [view for _, view in sorted(self.trials.items()) if view.state == "running"]

    @property
    def ended(self) -> list[TrialView]:
        """Trials that have ended, in the order they did."""
        return [view for view in self.trials.values() if view.outcome is not None]

    @property
    def best(self) -> TrialView | None:
        """The trial with the best value so far that has not failed; of equal ones the first."""
        able = (view for view in self._with_value() if view.state != "failed")
        return max(able, key=self._standing, default=None)

    @property
    def ranked(self) -> list[TrialView]:
        """Trials with a value, best first."""
        return sorted(self._with_value(), key=self._standing, reverse=True)

    @property
    def in_order(self) -> list[TrialView]:
        """Every trial: those with a value, best first, then the others by number."""
        without = [view for _, view in sorted(self.trials.items()) if view.best is None]
        return [*self.ranked, *without]

    @property
    def varied(self) -> list[str]:
        """Hyperparameters that differ between trials, in the order of their first trial's."""
        keys = dict.fromkeys(key for _, view in sorted(self.trials.items()) for key in view.params)
        views = self.trials.values()
        return [key for key in keys if len({repr(view.params.get(key)) for view in views}) > 1]

    def _with_value(self) -> list[TrialView]:
        """Trials with a value, by number."""
        return [view for _, view in sorted(self.trials.items()) if view.best is not None]

    def _standing(self, view: TrialView) -> tuple[float, float]:
        """The larger, the better a trial stands."""
        return standing(view.best or 0.0, view.violation, self.mode)

    def elapsed_s(self, now: float) -> float:
        """Time the study has taken, over all its runs."""
        return self.before_s + now - self.began

    def left(self, now: float) -> Eta | None:
        """Time until the study ends, where that can be said."""
        made, estimate = self._estimate or (now, None)
        if estimate is None or now - made >= ETA_EVERY_S:
            made, estimate = self._estimate = (now, self._informed_eta().study(now))
        if estimate is None:
            return None
        left = max(0.0, estimate.seconds - (now - made))
        if self.hours is not None:
            left = min(left, max(0.0, self.hours * 3600 - self.elapsed_s(now)))
        return Eta(left, estimate.error_s)

    def left_of(self, view: TrialView, now: float) -> float | None:
        """Seconds until a running trial ends if nothing stops it."""
        if view.state != "running":
            return None
        return self._informed_eta().trial(view.number, now)

    def sections(self, rows: int) -> list[Section]:
        """The trials to show in so many rows: all, or those that run, are best, ended last."""
        if len(self.trials) <= rows:
            return [Section("", self.in_order)]
        running = self.running
        room = rows - SECTION_ROWS
        others = max(2, min(BEST_SHOWN + ENDED_SHOWN, room - len(running)))
        ranked = [view for view in self.ranked if view.state != "running"]
        best = ranked[: min(BEST_SHOWN, -(-others // 2))]
        recent = [view for view in reversed(self.ended) if view not in best][: others - len(best)]
        shown = running[: max(1, room - len(best) - len(recent))]
        return [
            Section("running", shown, len(running) - len(shown)),
            Section("best of those that do not run", best),
            Section("ended last", recent),
        ]

    def _informed_eta(self) -> StudyEta:
        """The estimator, once it has heard all that happened since it was last asked.

        An estimate is made when one is drawn, trials report far more often.
        """
        for tell in self._untold:
            tell()
        self._untold.clear()
        return self.eta

    def _is_better(self, value: float, broken: float, view: TrialView) -> bool:
        if view.best is None:
            return True
        before = standing(view.best, view.violation, self.mode)
        return standing(value, broken, self.mode) >= before


def _outcome(record: "TrialRecord") -> TrialOutcome:
    return TrialOutcome(
        state=record.state,
        stop_reason=record.stop_reason,
        rung=record.rung,
        cutoff=record.cutoff,
        value=record.value,
        epoch=record.epochs,
        message=record.message,
        seconds=record.seconds,
    )
