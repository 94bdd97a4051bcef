"""Proposals of what to try next: a search space and the trials so far in, a configuration out.

Every proposal draws from a generator seeded by (study seed, trial number), so it depends on the
journal alone: a resumed study proposes what the unbroken one would have.
"""

import copy
import hashlib
import json
import math
import warnings
from collections.abc import Collection, Container, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Literal

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from search_spaces.domains import Domain, FloatDomain, IntDomain
from tune.directory.journal import CONSTRAINT, SEED, WARM_START
from tune.directory.trials import Proposal
from tune.stopping.race import Standings, Training, standings
from tune.study.configurations import Configurations, Key

_PROPOSALS: Final = 16  # asked of the sampler before any untried configuration will do

_DRAWS: Final = 1_000  # of thousands of configurations, until one was not tried

_WITH_VALUES: Final = frozenset({TrialState.COMPLETE, TrialState.PRUNED})


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of a trial, and of the proposal it came from."""
    return int(np.random.SeedSequence([study_seed, number]).generate_state(1)[0])


def point_id(point: Mapping[str, Any]) -> str:
    """Names a warm-start point by its content, so that it is tried once a study."""
    written = json.dumps(dict(point), sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:12]


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna knows it."""
    if isinstance(domain, FloatDomain) and domain.step is not None:
        last = domain.value(domain.n_values - 1)  # where steps miss `high`, Optuna would warn
        return FloatDistribution(domain.low, last, step=domain.step)
    if isinstance(domain, FloatDomain):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, IntDomain):
        return IntDistribution(domain.low, domain.high)
    return CategoricalDistribution(domain.choices)


class Search:
    """Proposes configurations.

    Attributes:
        distributions: Optuna's distribution of each parameter, by name, parents of conditions
            first.
        trials: Number of trials there are to run: of a grid, no more than it has points.
    """

    def __init__(
        self,
        configurations: Configurations,
        kind: Literal["tpe", "random", "grid", "race"],
        points: Sequence[Mapping[str, Any]],
        seed: int,
        trials: int,
        mode: Literal["max", "min"] = "max",
    ) -> None:
        """Propose nothing yet.

        Args:
            configurations: What there is to propose.
            kind: The way to choose.
            points: Configurations to try first; partial ones are completed. Of a race, its
                candidates, which are trained as they are.
            seed: The study's seed.
            trials: Number of trials the study asks for.
            mode: Better direction of the objective.
        """
        self._configurations = configurations
        self._space = configurations.space
        self._asked = trials
        self.distributions = {n: distribution(p.domain) for n, p in self._space.parameters.items()}
        self._kind = kind
        self._points = {point_id(point): dict(point) for point in points}
        self._seed = seed
        self._startup = max(4, min(10, trials // 4))
        self._mode = mode

    def seed_of(self, number: int) -> int:
        """The seed of a trial of this study."""
        return trial_seed(self._seed, number)

    @property
    def races(self) -> bool:
        """Whether the number of trials depends on what they reach."""
        return self._kind == "race"

    def trials(self, so_far: Sequence[FrozenTrial]) -> int:
        """Number of trials there are to run, those so far included: none is tried twice.

        Of a race that is not over, as many as it may take.
        """
        if self.races:
            return len(so_far) if self._standings(so_far).over else self._asked
        untried = self._configurations.untried(self._tried(so_far))
        if untried is None:
            return self._configurations.most(self._asked, grid=self._kind == "grid")
        return min(self._asked, len(so_far) + len(untried))

    def propose(self, study: optuna.Study, so_far: Sequence[FrozenTrial]) -> Proposal | None:
        """The next configuration, warm-start points first; never one that was tried.

        Where the sampler only proposes what was tried, it is any of the others. A race proposes
        its candidates, each with several seeds; None where its round has not ended, or it is over.
        """
        if self.races:
            due = self._standings(so_far).due
            return None if due is None else Proposal(list(self._points.values())[due], due)
        tried = self._tried(so_far)
        if self._kind == "grid":
            return Proposal(self._next_of_grid(tried) or self._any(Random(self._seed), tried))
        study, seed = _seen_by_sampler(study), self.seed_of(len(so_far))
        names = {trial.user_attrs.get(WARM_START) for trial in so_far}
        for index, (name, point) in enumerate(self._points.items()):
            params = None if name in names else self._new(study, seed, point, tried)
            if params is not None:
                return Proposal(params, index)
        params = self._new(study, seed, {}, tried)
        return Proposal(self._any(Random(seed), tried) if params is None else params)

    def _standings(self, so_far: Sequence[FrozenTrial]) -> Standings:
        """The state of a race."""
        trainings = [_training(t, self.warm_start_index(t)) for t in so_far]
        return standings(trainings, len(self._points), self._asked, self._mode)

    def _tried(self, so_far: Sequence[FrozenTrial]) -> set[Key]:
        return {self._configurations.key(trial.params) for trial in so_far}

    def _next_of_grid(self, tried: Collection[Key]) -> Mapping[str, Any] | None:
        key = self._configurations.key
        return next((point for point in self._space.points() if key(point) not in tried), None)

    def _any(self, random: Random, tried: Collection[Key]) -> Mapping[str, Any]:
        """A configuration that was not tried, drawn evenly."""
        untried = self._configurations.untried(tried)
        if untried:
            return random.choice(untried)
        drawn = (self._space.draw(random) for _ in range(_DRAWS))
        new = (params for params in drawn if self._configurations.key(params) not in tried)
        return next(new, None) or self._space.draw(random)

    def template(self, proposal: Proposal, number: int) -> FrozenTrial:
        """The trial to write into the journal for a proposal, which will have this number."""
        attrs: dict[str, Any] = {SEED: self.seed_of(number)}
        if proposal.warm_start is not None:
            attrs[WARM_START] = list(self._points)[proposal.warm_start]
        return _running(
            datetime_start=datetime.now(tz=UTC),
            params=dict(proposal.params),
            distributions={name: self.distributions[name] for name in proposal.params},
            user_attrs=attrs,
        )

    def warm_start_index(self, trial: FrozenTrial) -> int | None:
        """Index of the warm-start point that a journalled trial came from, or None."""
        name = trial.user_attrs.get(WARM_START)
        return list(self._points).index(name) if name in self._points else None

    def _new(
        self,
        study: optuna.Study,
        seed: int,
        given: Mapping[str, Any],
        tried: Collection[Key],
    ) -> dict[str, Any] | None:
        """A proposal of the sampler that was not tried, or None where it has no other."""
        sampler = self._sampler(seed)
        for _ in range(_PROPOSALS):
            params = self._complete(given, sampler, study)
            if self._configurations.key(params) not in tried:
                return params
        return None

    def _complete(
        self, given: Mapping[str, Any], sampler: BaseSampler, study: optuna.Study
    ) -> dict[str, Any]:
        asking = _running()
        relative_space = sampler.infer_relative_search_space(study, asking)
        relative = sampler.sample_relative(study, asking, relative_space)
        params: dict[str, Any] = {}
        for name, known in self.distributions.items():
            if name in given:
                params[name] = given[name]
            elif self._space.active(name, params):
                value = (
                    relative[name]
                    if name in relative
                    else sampler.sample_independent(study, asking, name, known)
                )
                params[name] = self._space.parameters[name].domain.nearest(value)
        return params

    def _sampler(self, seed: int) -> BaseSampler:
        if self._kind == "random":
            return RandomSampler(seed=seed)
        conditional = any(p.when for p in self._space.parameters.values())
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed,
            n_startup_trials=self._startup,
            multivariate=True,
            group=conditional,
            constant_liar=True,
        )


class _SamplersView:
    """A journal as the sampler sees it.

    Nothing is written: TPE would note its proposal for other processes to see, but ours writes a
    trial with all its parameters in one line, so there is no half-made trial.

    A failed trial, of which TPE takes no notice, counts as the worst there is, worse than any that
    breaks a constraint: else what diverges or crashes would be proposed as often as before. While
    all trials have failed, it is left out: nothing is known of what is better.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Nothing is noted."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The journal's trials, with failed ones as the worst."""
        trials = self._storage.get_all_trials(study_id, deepcopy)
        if any(trial.state in _WITH_VALUES for trial in trials):
            trials = [_as_worst(t) if t.state is TrialState.FAIL else t for t in trials]
        return [trial for trial in trials if states is None or trial.state in states]


def _training(trial: FrozenTrial, candidate: int | None) -> Training:
    """A trial as a race sees it; one that breaks a constraint counts as failed."""
    broken = any(k.startswith(CONSTRAINT) and v > 0 for k, v in trial.system_attrs.items())
    usable = trial.state in _WITH_VALUES and not broken
    ended = trial.state.is_finished()
    return Training(-1 if candidate is None else candidate, ended, trial.value if usable else None)


def _as_worst(trial: FrozenTrial) -> FrozenTrial:
    """A failed trial as one that was stopped without a value and breaks a constraint wholly."""
    worst = copy.copy(trial)
    worst.state = TrialState.PRUNED
    worst.intermediate_values = {}
    worst.system_attrs = {**trial.system_attrs, f"{CONSTRAINT}failed": math.inf}
    return worst


def _seen_by_sampler(study: optuna.Study) -> optuna.Study:
    view = copy.copy(study)
    view._storage = _SamplersView(study._storage)  # type: ignore[assignment]
    return view


def _running(**known: Any) -> FrozenTrial:
    """A trial that runs, with what is known of it."""
    blank: dict[str, Any] = {
        "number": -1,
        "state": TrialState.RUNNING,
        "value": None,
        "datetime_start": None,
        "datetime_complete": None,
        "params": {},
        "distributions": {},
        "user_attrs": {},
        "system_attrs": {},
        "intermediate_values": {},
        "trial_id": -1,
    }
    return FrozenTrial(**{**blank, **known})
