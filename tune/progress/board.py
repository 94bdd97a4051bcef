"""What there is to show of a study while it runs: a pure account of its trials."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from trainables.goal import Limit, Mode, standing, violation
from tune.directory.trials import Outcome, State
from tune.plan.eta import Eta, StudyEta
from tune.stopping.decision import Rule

if TYPE_CHECKING:
    from tune.directory.reader import TrialRecord


ETA_EVERY_S: Final = 2.0  # between two estimates; the clock runs on in between

BEST_SHOWN: Final = 5

ENDED_SHOWN: Final = 5

SECTION_ROWS: Final = 6  # three titles, two lines between, and "... more"

_WORDS: Final = {
    Rule.EPOCHS: "trained to its end",
    Rule.ASHA: "stopped by ASHA",
    Rule.PLATEAU: "converged",
    Rule.COLLAPSED: "collapsed",
    Rule.DIVERGED: "diverged",
    Rule.BUDGET: "out of time",
    Rule.ERROR: "failed",
    Rule.PATIENCE: "ended by its engine's patience",
}


@dataclass
class TrialView:
    """A trial as far as it is shown.

    Attributes:
        number: Its number.
        state: What became of it so far.
        epoch: Last epoch reported.
        last: The objective there.
        best: The objective at the best epoch so far.
        best_epoch: That epoch.
        violation: By how much it breaks the constraints.
        outcome: How it ended, once it has.
    """

    number: int
    state: State = "running"
    epoch: int = 0
    last: float | None = None
    best: float | None = None
    best_epoch: int | None = None
    violation: float = 0.0
    outcome: Outcome | None = None


class Section(NamedTuple):
    """Trials that belong together in a table, and how many more there are of the kind."""

    title: str
    trials: Sequence[TrialView]
    hidden: int = 0


@dataclass
class Board:
    """A study's trials and what can be said of the whole; times are seconds of one clock.

    Attributes:
        study: The study's name.
        metric: The objective's name.
        mode: Its direction.
        limits: The study's constraints.
        epochs: Of a trial that is never stopped.
        eta: Its estimator; knows how many trials there are.
        share: What each trial gets of the machine, in words.
        hours: The study's budget of time, if it has one.
        began: When this run of the study began.
        before_s: How long earlier runs of it took.
        trials: By number.
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
    _estimate: tuple[float, Eta | None] | None = None

    # --- what happens

    def restore(self, records: Iterable["TrialRecord"]) -> None:
        """Take over the trials of earlier runs; those that have not ended wait."""
        for record in records:
            ended = record.state in ("complete", "pruned", "failed")
            view = TrialView(record.number, record.state if ended else "waiting", record.epochs)
            view.last, view.best, view.best_epoch = record.last, record.objective, record.best_epoch
            view.violation = record.violation
            view.outcome = _outcome(record) if ended else None
            self.trials[record.number] = view
            self.eta.restore(record.number, record.epochs, record.seconds, ended=ended)

    def start(self, number: int, now: float) -> None:
        """A trial begins, or goes on."""
        self.trials.setdefault(number, TrialView(number)).state = "running"
        self.eta.started(number, now)

    def report(self, number: int, epoch: int, values: Mapping[str, float], now: float) -> None:
        """A trial has trained an epoch."""
        view, value = self.trials[number], values.get(self.metric)
        broken = violation(limit.excess(values) for limit in self.limits)
        view.epoch, view.last = epoch, value
        if value is not None and math.isfinite(value) and self._is_better(value, broken, view):
            view.best, view.best_epoch, view.violation = value, epoch, broken
        self.eta.reported(number, epoch, now)

    def end(self, number: int, outcome: Outcome, now: float) -> None:
        """A trial has ended."""
        view = self.trials.pop(number, TrialView(number))
        self.trials[number] = view  # last, so that those that have ended stand in that order
        view.state, view.outcome = outcome.state, outcome
        view.epoch = outcome.epoch or view.epoch
        self.eta.ended(number, now)
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
        """The trial with the best value so far."""
        return next(iter(self.ranked), None)

    @property
    def ranked(self) -> list[TrialView]:
        """Trials with a value, best first."""
        with_value = sorted(
            (view for view in self.trials.values() if view.best is not None),
            key=lambda view: view.number,
        )
        return sorted(
            with_value,
            key=lambda view: standing(view.best or 0.0, view.violation, self.mode),
            reverse=True,
        )

    def elapsed_s(self, now: float) -> float:
        """How long the study has taken, over all its runs."""
        return self.before_s + now - self.began

    def left(self, now: float) -> Eta | None:
        """Time until the study ends, where that can be said."""
        if self._estimate is None or now - self._estimate[0] >= ETA_EVERY_S:
            self._estimate = (now, self.eta.study(now))
        made, estimate = self._estimate
        if estimate is None:
            return None
        left = max(0.0, estimate.seconds - (now - made))
        if self.hours is not None:
            left = min(left, max(0.0, self.hours * 3600 - self.elapsed_s(now)))
        return Eta(left, estimate.error_s)

    def left_of(self, view: TrialView, now: float) -> float | None:
        """Seconds until a running trial ends if nothing stops it."""
        return self.eta.trial(view.number, now) if view.state == "running" else None

    def sections(self, rows: int) -> list[Section]:
        """The trials to show in so many rows: all, or those that run, are best, ended last."""
        if len(self.trials) <= rows:
            return [Section("", sorted(self.trials.values(), key=lambda view: view.number))]
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

    def _is_better(self, value: float, broken: float, view: TrialView) -> bool:
        if view.best is None:
            return True
        before = standing(view.best, view.violation, self.mode)
        return standing(value, broken, self.mode) > before


def _outcome(record: "TrialRecord") -> Outcome:
    return Outcome(
        state=record.state,
        stop_reason=record.stop_reason,
        rung=record.rung,
        cutoff=record.cutoff,
        value=record.value,
        epoch=record.epochs,
        message=record.message,
        seconds=record.seconds,
    )


# --- words
def ending(outcome: Outcome, mode: str, *, brief: bool = False) -> str:
    """Why a trial ended.

    Args:
        outcome: How it ended.
        mode: The objective's direction.
        brief: For a table, where the epoch stands beside it.

    >>> ending(Outcome("pruned", "asha", 25, 0.407, 0.312, 25), "max")
    'stopped by ASHA at epoch 25: 0.312 < cut-off 0.407'
    >>> ending(Outcome("pruned", "asha", 25, 0.407, 0.312, 25), "max", brief=True)
    'stopped by ASHA: 0.312 < 0.407'
    """
    known = outcome.stop_reason in Rule.__members__.values()
    words = _WORDS[Rule(outcome.stop_reason)] if known else outcome.stop_reason or outcome.state
    at = "" if brief else f" at epoch {outcome.epoch}"
    because = _because(outcome, mode, "" if brief else "cut-off ")
    return f"{words}{at}: {because}" if because else f"{words}{at}"


def _because(outcome: Outcome, mode: str, name: str) -> str:
    if outcome.stop_reason == Rule.ERROR:
        return (outcome.message.strip().splitlines() or [""])[0]
    if outcome.value is None or outcome.cutoff is None:
        return ""
    if outcome.stop_reason == Rule.ASHA:
        worse = "<" if mode == "max" else ">"
        value, cutoff = number(outcome.value), number(outcome.cutoff)
        if value == cutoff:  # a near miss: show what tells them apart
            value, cutoff = f"{outcome.value:.6g}", f"{outcome.cutoff:.6g}"
        return f"{value} {worse} {name}{cutoff}"
    if outcome.stop_reason == Rule.COLLAPSED:
        return f"never above {number(outcome.cutoff)}"
    return ""


def number(value: float | None) -> str:
    """A metric's value.

    >>> number(0.31249), number(12.3456), number(None)
    ('0.312', '12.35', '-')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def clock(seconds: float | None) -> str:
    """A duration as a clock shows it.

    >>> clock(59.6), clock(3725), clock(None)
    ('1:00', '1:02:05', '-')
    """
    if seconds is None:
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def roughly(eta: Eta | None) -> str:
    """Time left in words, in the unit that fits.

    >>> roughly(Eta(7500, 1200)), roughly(Eta(90, 20)), roughly(None)
    ('about 2.1 h ± 0.3 h', 'about 1.5 min ± 0.3 min', 'unknown')
    """
    if eta is None:
        return "unknown"
    units = (("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((u for u in units if eta.seconds >= u[1]), units[-1])
    digits = 1 if eta.seconds / size < 10 and unit != "s" else 0
    shown, error = eta.seconds / size, eta.error_s / size
    return f"about {shown:.{digits}f} {unit} ± {error:.{digits}f} {unit}"
