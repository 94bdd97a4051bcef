"""A study under a simulated clock: the real controller and journal, no Ray, no processes."""

import heapq
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tune.directory.arrivals import arrivals
from tune.directory.journal import Journal
from tune.directory.trials import TrialAssignment
from tune.driver.controller import Controller, Rules
from tune.driver.search import Search

METRIC, ERROR = "seg_metrics/F1", "measure/count_error"


def f1(number: int, params: Mapping[str, Any], epoch: int) -> float:
    """A learning curve that depends on the trial and its parameters, with noise."""
    height = 0.9 - 0.3 * abs(params["x"] - 0.3) - 0.2 * abs(params["y"] - 0.7)
    noise = np.random.default_rng([number, epoch]).normal(0, 0.03)
    return float(height * (1 - np.exp(-epoch / (4 + 6 * params["y"]))) + noise)


def count_error(number: int, params: Mapping[str, Any], epoch: int) -> float:
    """An error that falls while a trial learns, and is small where x is large."""
    noise = np.random.default_rng([11, number, epoch]).normal(0, 0.02)
    return float(abs(0.4 - 0.3 * params["x"] + noise) * np.exp(-epoch / 30))


def seconds(number: int, epoch: int) -> float:
    """How long an epoch takes: every trial has its own speed."""
    return float(np.random.default_rng([7, number, epoch]).uniform(0.5, 2.0))


@dataclass
class World:
    """What lies on disk beside the journal, and what the driver saw.

    Attributes:
        checkpoints: Last epoch with a checkpoint, by trial.
        started: Trials in the order in which they were started or resumed.
    """

    rules: Rules
    search: Search
    path: Path
    concurrent: int
    checkpoints: dict[int, int] = field(default_factory=dict)
    started: list[int] = field(default_factory=list)

    def run(self) -> Controller:
        """Run the study to its end."""
        journal = Journal(self.path, "cuts", self.rules.goal.mode)
        controller = Controller(self.rules, self.search, journal)
        queue: list[tuple[float, int, int]] = []
        assignments: dict[int, TrialAssignment] = {}
        now = 0.0
        while True:
            while len(queue) < self.concurrent and (new := controller.next_trial()):
                self.started.append(new.number)
                assignments[new.number] = new
                done = self._catch_up(controller, new)
                if done is not None:
                    heapq.heappush(
                        queue, (now + seconds(new.number, done + 1), new.number, done + 1)
                    )
            if not queue:
                return controller
            now, number, epoch = heapq.heappop(queue)
            self.checkpoints[number] = epoch
            if self._report(controller, assignments[number], epoch):
                heapq.heappush(queue, (now + seconds(number, epoch + 1), number, epoch + 1))

    def _catch_up(self, controller: Controller, new: TrialAssignment) -> int | None:
        """Report what the checkpoint has beyond the journal; None if that ends the trial."""
        checkpoint = self.checkpoints.get(new.number, 0)
        for epoch in range(new.last_epoch + 1, checkpoint + 1):
            if not self._report(controller, new, epoch):
                return None
        return max(checkpoint, new.last_epoch)

    def _report(self, controller: Controller, trial: TrialAssignment, epoch: int) -> bool:
        value = f1(trial.number, trial.proposal.params, epoch)
        error = count_error(trial.number, trial.proposal.params, epoch)
        return controller.report(trial.number, epoch, {METRIC: value, ERROR: error}).go_on


def decisions(path: Path) -> list[tuple[int, int, bool, str | None]]:
    """(trial, epoch, goes on, rule) of every report, in arrival order."""
    found = []
    for arrival in arrivals(path):
        decision = arrival.decision
        rule = None if decision is None else str(decision.rule)
        found.append((arrival.trial, arrival.epoch, decision is None or decision.go_on, rule))
    return found


def values_written(path: Path) -> list[tuple[int, int]]:
    """(trial, epoch) of every value line."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [(line["trial_id"], line["step"]) for line in lines if line["op_code"] == 7]


def reference_asha(path: Path, rungs: tuple[int, ...], factor: int) -> list[tuple[int, int, bool]]:
    """(trial, rung, passes) by the algorithm written down anew, over the journal's order."""
    recorded: dict[int, list[float]] = {rung: [] for rung in rungs}
    answers = []
    for arrival in arrivals(path):
        if arrival.epoch not in recorded:
            continue
        before = recorded[arrival.epoch]
        passes = not before or arrival.value >= np.percentile(before, 100 * (1 - 1 / factor))
        answers.append((arrival.trial, arrival.epoch, bool(passes)))
        before.append(arrival.value)
    return answers
