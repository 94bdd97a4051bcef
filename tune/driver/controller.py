"""The decisions of a study on its trials, taken from its journal and nothing else.

It knows no Ray, no clock of its own and no process: a driver asks for the next trial and passes
the reports on. Built on the journal of a killed study it goes on as if nothing had happened.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, TrialState

from search_spaces.names import nearest_name
from trainables.goal import Goal, standing, violation
from trainables.metrics.names import direction, of_training
from tune.directory.arrivals import arrivals
from tune.directory.journal import Arrival, Journal
from tune.directory.trials import Proposal, State, TrialAssignment, TrialOutcome
from tune.driver.allotments import Allotments, Fits
from tune.driver.search import Search
from tune.stopping.asha import Rungs
from tune.stopping.decision import GO_ON, Decision, Rule
from tune.stopping.plateau import NoPlateau, Slope, Std, curve_end, without_floor

MAX_CRASHES = 3
MAX_LOSSES = 10  # without an epoch between them: such a trial takes its nodes along

_LOSSES = "lost"  # what the losses of its nodes are journalled under: how many, at which epoch
_CRASHES = "crashed"  # what a trial's crashes are journalled under: how many, at which epoch

_STATES: Mapping[Rule, State] = {
    Rule.EPOCHS: "complete",
    Rule.PLATEAU: "complete",
    Rule.PATIENCE: "complete",
    Rule.ASHA: "pruned",
    Rule.COLLAPSED: "pruned",
    Rule.BUDGET: "pruned",  # in journals of earlier versions, whose hours ended trials
    Rule.DIVERGED: "failed",
    Rule.ERROR: "failed",
}

_OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass
class _Curve:
    """The reports of one trial that decisions look at; values as reported.

    Attributes:
        objective: The objective at each epoch.
        excess: Amount by which each constraint is broken, at each epoch.
        watched: The metric that the plateau rule watches, where it is not the objective.
        decisions: Decisions that said more than "go on", by epoch.
        crashes: Number of deaths of its worker since the trial last got further.
        crashed_at: Last epoch the journal had then.
        losses: Number of lost nodes since the trial last got further.
        lost_at: Last epoch the journal had then.
    """

    objective: list[float] = field(default_factory=list)
    excess: list[Mapping[str, float]] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    decisions: dict[int, Decision] = field(default_factory=dict)
    crashes: int = 0
    crashed_at: int = 0
    losses: int = 0
    lost_at: int = 0


@dataclass(frozen=True)
class Rules:
    """The rules by which a study's trials go on or end.

    Attributes:
        goal: Objective with its direction, and the limits that a usable epoch keeps.
        epochs: Length of a trial that nothing stops.
        hours: Wall time after which trials pause, or None.
        rungs: Epochs at which ASHA compares trials, rising; none where it does not.
        reduction_factor: One trial in this many passes a rung.
        plateau: Rule for curves that no longer rise.
        train_every: Epochs from one measurement of the training part to the next.
    """

    goal: Goal
    epochs: int
    hours: float | None = None
    rungs: tuple[int, ...] = ()
    reduction_factor: int = 2
    plateau: Slope | Std | NoPlateau = field(default_factory=NoPlateau)
    train_every: int = 1


class UnusableReportError(Exception):
    """A report lacks a metric that a decision needs, or an epoch before it."""


class Controller:
    """Decides what to try next and who goes on.

    Attributes:
        outcomes: Outcome of each ended trial, by number.
        allotments: The part of a machine that each trial has.
    """

    def __init__(
        self,
        rules: Rules,
        search: Search,
        journal: Journal,
        elapsed_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Go on from a journal, which may be empty.

        Args:
            rules: Decide which trials go on.
            search: Proposes what to try.
            journal: Open for writing.
            elapsed_s: Wall time the study has taken so far, over all its drivers.
        """
        self._journal = journal
        self._search = search
        self._elapsed_s = elapsed_s
        self._epochs = rules.epochs
        self._hours = rules.hours
        self._goal = rules.goal
        self._metric = rules.goal.metric
        self._sign = 1.0 if rules.goal.mode == "max" else -1.0
        watched = None if isinstance(rules.plateau, NoPlateau) else rules.plateau.metric
        self._watched = None if watched == self._metric else watched
        towards = direction(self._watched) if self._watched else rules.goal.mode
        self._watched_sign = 1.0 if towards == "max" else -1.0
        self._plateau = without_floor(rules.plateau) if self._watched_sign < 0 else rules.plateau
        self._watched_every = _every(self._watched, rules.train_every)
        self._rungs = Rungs(rules.rungs, rules.reduction_factor)
        self._n_trials = search.trials(journal.trials())
        self._curves: dict[int, _Curve] = {}
        self._waiting: deque[int] = deque()
        self.outcomes: dict[int, TrialOutcome] = {}
        self.allotments = Allotments(journal)
        self._recover()

    @property
    def n_trials(self) -> int:
        """Number of trials of the whole study at most."""
        return self._n_trials

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Trials that an earlier driver began and nobody runs yet."""
        return tuple(self._waiting)

    @property
    def complete(self) -> bool:
        """Whether every trial there is to run has ended."""
        return len(self.outcomes) >= self._n_trials

    @property
    def exhausted(self) -> bool:
        """Whether no further trial is to be started, whatever room there is."""
        begun = not self._waiting and len(self._journal.trials()) >= self._n_trials
        return begun or self.out_of_time()

    def next_trial(self, fits: Fits = lambda number: True) -> TrialAssignment | None:
        """The trial to start now, the first that fits; None where none is to be started."""
        if self.out_of_time():
            return None
        for number in self._waiting:
            if fits(number):
                self._waiting.remove(number)
                return self.assignment(number)
        so_far = self._journal.trials()
        if len(so_far) >= self._n_trials or not fits(len(so_far)):
            return None
        proposal = self._search.propose(self._journal.study, so_far)
        if proposal is None:
            return None
        number = self._journal.create(self._search.template(proposal, len(so_far)))
        self._curves[number] = _Curve()
        return TrialAssignment(number, proposal, self._search.seed_of(number))

    def out_of_time(self) -> bool:
        """Whether the study's hours are used up."""
        return self._hours is not None and self._elapsed_s() >= self._hours * 3600

    def report(self, number: int, epoch: int, values: Mapping[str, float]) -> Decision:
        """Decide on a report and write both into the journal, the decision first.

        An epoch the journal has is answered as it was then. Where the study's hours are used up,
        a trial that would go on pauses (`BUDGET`); the journal has nothing of that answer.
        """
        curve = self._curves[number]
        if epoch <= len(curve.objective) or number in self.outcomes:
            return self._in_time(self._known(number, epoch))
        try:
            arrival = self._arrival(number, epoch, values)
        except UnusableReportError as error:
            self.fail(number, Rule.ERROR, str(error))
            return Decision(False, Rule.ERROR)
        decision = self._decide(arrival)
        if decision is not GO_ON or arrival.watched is not None or arrival.excess:
            self._journal.decide(arrival, decision)
        self._apply(arrival, decision)
        if decision.rule is not Rule.DIVERGED:
            self._journal.report(arrival)
        if not decision.go_on:
            self._finish(number, decision)
        return self._in_time(decision)

    def fail(self, number: int, rule: Rule, message: str) -> TrialOutcome:
        """End a trial that cannot go on; the message is for the user."""
        if number not in self.outcomes:
            self._finish(number, Decision(False, rule), message)
        return self.outcomes[number]

    def crashed(self, number: int, message: str) -> bool:
        """A worker died: queue its trial again, or fail it when it did so too often.

        Only crashes without an epoch between them count together, so that a long trial outlives
        a machine that fails it now and then.

        Returns:
            Whether the trial will go on.
        """
        curve, epoch = self._curves[number], self.last_epoch(number)
        if number in self.outcomes:
            return False
        curve.crashes = 1 if epoch > curve.crashed_at else curve.crashes + 1
        curve.crashed_at = epoch
        self._journal.annotate(number, _CRASHES, [curve.crashes, epoch])
        if curve.crashes >= MAX_CRASHES:
            self.fail(number, Rule.ERROR, f"{message} ({curve.crashes} times)")
            return False
        self._waiting.append(number)
        return True

    def lost(self, number: int, message: str) -> bool:
        """A trial's node was lost or preempted: queue the trial before all that wait.

        That is no crash of the trial's own, unless it happens again and again.

        Returns:
            Whether the trial will go on.
        """
        curve, epoch = self._curves[number], self.last_epoch(number)
        curve.losses = 1 if epoch > curve.lost_at else curve.losses + 1
        curve.lost_at = epoch
        self._journal.annotate(number, _LOSSES, [curve.losses, epoch])
        if curve.losses >= MAX_LOSSES:
            self.fail(number, Rule.ERROR, f"{message} ({curve.losses} times)")
            return False
        self.again(number)
        return True

    def again(self, number: int) -> None:
        """Put a trial before all that wait: it left its place, and goes on in the next."""
        if number not in self.outcomes:
            self._waiting.appendleft(number)

    def last_epoch(self, number: int) -> int:
        """Last epoch the journal has of a trial."""
        return len(self._curves[number].objective)

    def assignment(self, number: int) -> TrialAssignment:
        """A trial that the journal has."""
        trial = self._journal.trials()[number]
        proposal = Proposal(trial.params, self._search.warm_start_index(trial))
        return TrialAssignment(
            number, proposal, self._search.seed_of(number), self.last_epoch(number)
        )

    # --- decisions

    def _in_time(self, decision: Decision) -> Decision:
        """A decision to go on, unless the study's hours are used up."""
        if decision.go_on and self.out_of_time():
            return Decision(False, Rule.BUDGET, None, self._hours, self._elapsed_s() / 3600)
        return decision

    def _arrival(self, number: int, epoch: int, values: Mapping[str, float]) -> Arrival:
        due = self.last_epoch(number) + 1
        if epoch != due:
            raise UnusableReportError(f"the engine reported epoch {epoch} where {due} was due")
        value = _metric(values, self._metric)
        watched = None
        if self._watched is not None and epoch % self._watched_every == 0:
            watched = _metric(values, self._watched)
        for limit in self._goal.limits:
            _metric(values, limit.metric)
        excess = {limit.metric: limit.excess(values) for limit in self._goal.limits}
        return Arrival(number, epoch, value, None, watched, excess)

    def _decide(self, arrival: Arrival) -> Decision:
        if not math.isfinite(arrival.value):
            return Decision(False, Rule.DIVERGED, None, None, arrival.value)
        asha = self._compare(arrival)
        if arrival.epoch >= self._epochs:
            return Decision(False, Rule.EPOCHS, asha.rung, asha.cutoff, arrival.value)
        if not asha.go_on:
            return asha
        end = self._curve_end(arrival)
        return asha if end.go_on else end

    def _compare(self, arrival: Arrival) -> Decision:
        decision = self._rungs.compare(arrival.epoch, self._sign * arrival.value)
        if decision is GO_ON:
            return GO_ON
        cutoff = None if decision.cutoff is None else self._sign * decision.cutoff
        return Decision(decision.go_on, decision.rule, decision.rung, cutoff, arrival.value)

    def _curve_end(self, arrival: Arrival) -> Decision:
        curve = self._curves[arrival.trial]
        if self._watched is None:
            return curve_end(
                self._plateau, [*self._oriented(curve.objective), self._sign * arrival.value]
            )
        if arrival.watched is None:
            return GO_ON
        watched = [self._watched_sign * value for value in (*curve.watched, arrival.watched)]
        return curve_end(self._plateau, watched, self._watched_every)

    def _oriented(self, values: Sequence[float]) -> list[float]:
        return [self._sign * value for value in values]

    def _apply(self, arrival: Arrival, decision: Decision | None) -> None:
        curve = self._curves.setdefault(arrival.trial, _Curve())
        if decision is not None and decision is not GO_ON:
            curve.decisions[arrival.epoch] = decision
        if not math.isfinite(arrival.value):
            return
        curve.objective.append(arrival.value)
        curve.excess.append(arrival.excess)
        if arrival.watched is not None:
            curve.watched.append(arrival.watched)
        self._rungs.record(arrival.trial, arrival.epoch, self._sign * arrival.value)

    def _known(self, number: int, epoch: int) -> Decision:
        decision = self._curves[number].decisions.get(epoch, GO_ON)
        if number in self.outcomes and epoch >= self.last_epoch(number):
            return Decision(False, Rule(self.outcomes[number].stop_reason))
        return decision

    # --- ends

    def _finish(self, number: int, decision: Decision, message: str = "") -> None:
        curve = self._curves[number]
        assert decision.rule is not None
        state = _STATES[decision.rule]
        outcome = TrialOutcome(
            state=state,
            stop_reason=decision.rule,
            rung=decision.rung if decision.rule is Rule.ASHA else None,
            cutoff=decision.cutoff,
            value=decision.value,
            epoch=len(curve.objective),
            message=message or self._sentence(decision, len(curve.objective)),
        )
        self.outcomes[number] = outcome
        ending = {"stop_reason": str(outcome.stop_reason), "message": outcome.message}
        self._journal.annotate(number, "ending", ending)
        value = None
        if state != "failed" and curve.objective:
            best = self._best(curve)
            value = curve.objective[best]
            self._journal.constrain(number, curve.excess[best])
        self._journal.tell(number, _OPTUNA_STATES[state], value)
        if self._search.races:
            self._n_trials = self._search.trials(self._journal.trials())

    def _best(self, curve: _Curve) -> int:
        """Index of the best epoch; of equal ones the last."""
        return max(
            reversed(range(len(curve.objective))),
            key=lambda n: standing(
                curve.objective[n], violation(curve.excess[n].values()), self._goal.mode
            ),
        )

    def _sentence(self, decision: Decision, epoch: int) -> str:
        value = math.nan if decision.value is None else decision.value
        cutoff = math.nan if decision.cutoff is None else decision.cutoff
        watched = self._watched or self._metric
        sentences = {
            Rule.EPOCHS: f"trained to epoch {epoch}",
            Rule.ASHA: f"stopped by ASHA at epoch {epoch}: {self._metric} {value:.4g}, "
            f"cut-off {cutoff:.4g}",
            Rule.PLATEAU: f"converged at epoch {epoch}: {watched} changes by {value:.2g}, "
            f"limit {cutoff:.2g}",
            Rule.COLLAPSED: f"collapsed at epoch {epoch}: {watched} stayed below {cutoff:.2g}",
            Rule.DIVERGED: f"diverged after epoch {epoch}: {self._metric} is {value}",
        }
        return sentences.get(decision.rule or Rule.ERROR, f"ended at epoch {epoch}")

    # --- the past

    def _recover(self) -> None:
        """Rebuild curves and rungs; finish what was decided but not told."""
        for arrival in arrivals(self._journal.path):
            if not arrival.told and math.isfinite(arrival.value):
                self._journal.report(arrival)
            self._apply(arrival, arrival.decision)
        for trial in self._journal.trials():
            curve = self._curves.setdefault(trial.number, _Curve())
            curve.crashes, curve.crashed_at = trial.user_attrs.get(_CRASHES, (0, 0))
            curve.losses, curve.lost_at = trial.user_attrs.get(_LOSSES, (0, 0))
            if trial.state.is_finished():
                self.outcomes[trial.number] = self._past_outcome(trial)
            else:
                stops = [d for d in curve.decisions.values() if not d.go_on]
                if stops:
                    self._finish(trial.number, stops[-1])
                elif curve.crashes >= MAX_CRASHES:
                    self.fail(trial.number, Rule.ERROR, f"its worker died ({curve.crashes} times)")
                elif curve.losses >= MAX_LOSSES:
                    self.fail(trial.number, Rule.ERROR, f"its node was lost ({curve.losses} times)")
                else:
                    self._waiting.append(trial.number)

    def _past_outcome(self, trial: FrozenTrial) -> TrialOutcome:
        curve = self._curves[trial.number]
        stops = [d for d in curve.decisions.values() if not d.go_on]
        last = stops[-1] if stops else Decision(False)
        ending = trial.user_attrs.get("ending", {})
        reason = ending.get("stop_reason", Rule.ERROR)
        return TrialOutcome(
            state=_STATES[Rule(reason)],
            stop_reason=reason,
            rung=last.rung if reason == Rule.ASHA else None,
            cutoff=last.cutoff,
            value=last.value,
            epoch=len(curve.objective),
            message=ending.get("message", ""),
        )


def _every(metric: str | None, train_every: int) -> int:
    """Every how many epochs an engine is to report a metric."""
    return train_every if metric is not None and of_training(metric) else 1


def _metric(values: Mapping[str, float], name: str) -> float:
    if name not in values:
        hint = nearest_name(name, values)
        reported = ", ".join(sorted(values)) or "nothing"
        raise UnusableReportError(f"the engine reported no {name}{hint}; it reports {reported}")
    return float(values[name])
