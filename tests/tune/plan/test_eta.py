import heapq
from dataclasses import dataclass

import numpy as np
import pytest

from tune.plan.eta import Eta, StudyEta, stop_rates
from tune.stopping.asha import Asha, Rungs


@dataclass(frozen=True)
class Event:
    at: float
    kind: str
    trial: int
    epoch: int = 0


@dataclass(frozen=True)
class Shape:
    trials: int
    epochs: int
    concurrent: int
    grace: int

    @property
    def rungs(self) -> tuple[int, ...]:
        return Asha(grace_period=self.grace, reduction_factor=2).rungs(self.epochs)

    def eta(self) -> StudyEta:
        return StudyEta(self.trials, self.epochs, self.concurrent, self.rungs, 2)


def simulate(shape: Shape, seed: int, gain: float) -> list[Event]:
    """A study under the real rungs: curves of all heights and speeds, workers of all paces.

    Args:
        shape: Of the study.
        seed: Of its chance.
        gain: How much better the last trials are than the first, as with a sampler that learns.
    """
    draw = np.random.default_rng(seed)
    memory = Rungs(shape.rungs, 2)
    place = np.arange(shape.trials) / shape.trials
    height = draw.beta(3, 3, shape.trials) * (1 + gain * place) / (1 + gain)
    speed = shape.epochs * np.exp(draw.uniform(np.log(0.02), np.log(0.5), shape.trials))
    pace_s = draw.lognormal(np.log(5), 0.3, shape.trials)
    start_s, gap_s = draw.uniform(2, 6), draw.uniform(1, 5)
    events: list[Event] = []
    due: list[tuple[float, int, int]] = []
    trials = iter(range(shape.trials))

    def start(now: float) -> None:
        trial = next(trials, None)
        if trial is not None:
            events.append(Event(now, "start", trial))
            heapq.heappush(due, (now + start_s + pace_s[trial], trial, 1))

    for _ in range(shape.concurrent):
        start(0.0)
    while due:
        now, trial, epoch = heapq.heappop(due)
        value = height[trial] * (1 - np.exp(-epoch / speed[trial])) + draw.normal(0, 0.02)
        goes_on = memory.compare(epoch, value).go_on and epoch < shape.epochs
        memory.record(trial, epoch, value)
        events.append(Event(now, "report", trial, epoch))
        if goes_on:
            next_report = now + pace_s[trial] * draw.uniform(0.95, 1.05)
            heapq.heappush(due, (next_report, trial, epoch + 1))
        else:
            events.append(Event(now, "end", trial))
            start(now + gap_s)
    return sorted(events, key=lambda event: event.at)


def watch(eta: StudyEta, events: list[Event], until: float) -> None:
    for event in events:
        if event.at > until:
            return
        if event.kind == "start":
            eta.started(event.trial, event.at)
        elif event.kind == "report":
            eta.reported(event.trial, event.epoch, event.at)
        else:
            eta.ended(event.trial, event.at)


SHAPES = [Shape(50, 250, 2, 25), Shape(20, 40, 1, 5), Shape(50, 100, 4, 10), Shape(100, 60, 4, 6)]


@pytest.mark.parametrize("gain", [0.0, 0.25, 0.5])
def test_after_a_fifth_of_the_time_most_studies_end_when_foretold(gain: float) -> None:
    errors, held = [], []
    for shape in SHAPES:
        for seed in range(15):
            events = simulate(shape, seed, gain)
            end = events[-1].at
            eta = shape.eta()
            watch(eta, events, end / 5)
            estimate = eta.study(end / 5)
            assert estimate is not None
            off = end / 5 + estimate.seconds - end
            errors.append(abs(off) / end)
            held.append(abs(off) <= estimate.error_s)
    assert np.mean(np.array(errors) < 0.25) > 0.6
    assert np.mean(np.array(errors) < 0.5) > 0.9
    assert np.mean(held) > 0.65  # four of five are meant


def test_the_estimate_closes_in_on_the_end() -> None:
    shape = SHAPES[3]
    off: dict[float, list[float]] = {0.2: [], 0.8: []}
    for seed in range(15):
        events = simulate(shape, seed, 0.25)
        end = events[-1].at
        for part, errors in off.items():
            eta = shape.eta()
            watch(eta, events, part * end)
            estimate = eta.study(part * end)
            assert estimate is not None
            errors.append(abs(part * end + estimate.seconds - end) / end)
    early, late = (float(np.median(errors)) for errors in off.values())
    assert late < 0.7 * early
    assert late < 0.06


def equal_trials(now: float) -> StudyEta:
    """Two workers, six trials of ten epochs of 2 s each, three seconds before each, no rungs."""
    events = []
    for trial in range(6):
        began = 23.0 * (trial // 2)
        reports = [Event(began + 3 + 2 * e, "report", trial, e) for e in range(1, 11)]
        events += [Event(began, "start", trial), *reports, Event(began + 23, "end", trial)]
    eta = StudyEta(trials=6, epochs=10, concurrent=2)
    order = ("report", "end", "start")
    watch(eta, sorted(events, key=lambda event: (event.at, order.index(event.kind))), now)
    return eta


@pytest.mark.parametrize("now", [24.5, 31.0, 46.5, 60.0])
def test_equal_trials_are_foretold_to_the_point_within_the_error(now: float) -> None:
    estimate = equal_trials(now).study(now)
    assert estimate is not None
    truth = 69.0 - now
    assert estimate.seconds == pytest.approx(truth, rel=0.25)
    assert abs(estimate.seconds - truth) <= estimate.error_s + 0.05 * truth


def test_nothing_is_foretold_before_the_first_epoch() -> None:
    eta = StudyEta(trials=6, epochs=10, concurrent=2)
    assert eta.study(0.0) is None
    eta.started(0, 0.0)
    assert eta.study(1.0) is None
    assert eta.trial(0, 1.0) is None
    eta.reported(0, 1, 2.0)
    assert eta.study(2.0) is not None


def test_a_trial_is_foretold_from_its_own_pace() -> None:
    eta = equal_trials(31.0)
    assert eta.trial(2, 31.0) == pytest.approx(46.0 - 31.0)
    assert eta.trial(2, 31.9) == pytest.approx(46.0 - 31.9)


def test_a_trial_that_has_just_begun_is_foretold_from_the_others() -> None:
    eta = equal_trials(23.5)
    assert eta.trial(2, 23.5) == pytest.approx(20.0, abs=1)


def test_a_trial_that_another_process_trains_is_foretold_from_the_epochs_it_has() -> None:
    eta = StudyEta(trials=2, epochs=8, concurrent=1)
    eta.restore(0, 2, 36.0, ended=False)
    assert eta.trial(0, 1000.0) == pytest.approx(6 * 18.0)


def test_a_study_that_has_ended_takes_no_more_time() -> None:
    assert equal_trials(69.0).study(69.0) == Eta(0.0, 0.0)


def test_a_resumed_study_knows_what_earlier_runs_took() -> None:
    eta = StudyEta(trials=6, epochs=10, concurrent=2)
    for trial in range(2):
        eta.restore(trial, 10, 20.0, ended=True)
    eta.restore(2, 5, 10.0, ended=False)
    estimate = eta.study(1000.0)
    assert estimate is not None
    assert estimate.seconds == pytest.approx(35.0, rel=0.25)  # 3.5 trials of 20 s by two workers
    eta.started(2, 1000.0)
    assert eta.trial(2, 1000.0) == pytest.approx(10.0)
    eta.reported(2, 5, 1001.0)  # an epoch it had before
    eta.reported(2, 6, 1003.0)
    assert eta.trial(2, 1003.0) == pytest.approx(8.0)


def test_a_queue_of_thousands_is_foretold_in_a_moment() -> None:
    import time

    eta = StudyEta(trials=5000, epochs=10, concurrent=2)
    for trial in range(100):
        eta.restore(trial, 10, 20.0, ended=True)
    began = time.perf_counter()
    estimate = eta.study(0.0)
    assert time.perf_counter() - began < 0.5
    assert estimate is not None
    assert estimate.seconds == pytest.approx(4900 * 20 / 2, rel=0.1)


def test_half_of_the_arrivals_pass_a_rung_and_more_a_later_one() -> None:
    first, second, third = stop_rates(3, 2, 50)
    assert 0.5 > first > second > third > 0.2
    assert stop_rates(1, 4, 50)[0] == pytest.approx(0.72, abs=0.06)
    assert stop_rates(0, 2, 50) == []
