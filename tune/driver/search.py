"""Proposals of what to try next: a search space and the trials so far in, a configuration out.

Every proposal draws from a generator seeded by (study seed, trial number), so it depends on the
journal alone: a resumed study proposes what the unbroken one would have.
"""

import copy
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

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
from search_spaces.space import SearchSpace
from tune.directory.trials import Proposal


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of a trial, and of the proposal it came from."""
    return int(np.random.SeedSequence([study_seed, number]).generate_state(1)[0])


def point_id(point: Mapping[str, Any]) -> str:
    """Names a warm-start point by its content, so that it is tried once a study."""
    written = json.dumps(dict(point), sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:12]


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna knows it."""
    if isinstance(domain, FloatDomain):
        return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
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
        space: SearchSpace,
        kind: Literal["tpe", "random", "grid"],
        points: Sequence[Mapping[str, Any]],
        seed: int,
        trials: int,
    ) -> None:
        self.distributions = {n: distribution(p.domain) for n, p in space.parameters.items()}
        self._space = space
        self._kind = kind
        self._points = {point_id(point): dict(point) for point in points}
        self._seed = seed
        self._startup = max(4, min(10, trials // 4))
        self._grid = space.grid() if kind == "grid" else []
        self.trials = min(trials, len(self._grid)) if kind == "grid" else trials

    def seed_of(self, number: int) -> int:
        """The seed of a trial of this study."""
        return trial_seed(self._seed, number)

    def propose(self, study: optuna.Study, so_far: Sequence[FrozenTrial]) -> Proposal:
        """The next configuration, warm-start points first."""
        number = len(so_far)
        if self._kind == "grid":
            return Proposal(self._grid[number])
        tried = {trial.user_attrs.get("warm_start") for trial in so_far}
        ids = list(self._points)
        waiting = [point for point in ids if point not in tried]
        given = self._points[waiting[0]] if waiting else {}
        params = self._complete(given, study, number)
        return Proposal(params, ids.index(waiting[0]) if waiting else None)

    def template(self, proposal: Proposal) -> FrozenTrial:
        """The trial to write into the journal for a proposal."""
        attrs = {}
        if proposal.warm_start is not None:
            attrs["warm_start"] = list(self._points)[proposal.warm_start]
        return _running(
            datetime_start=datetime.now(tz=UTC),
            params=dict(proposal.params),
            distributions={name: self.distributions[name] for name in proposal.params},
            user_attrs=attrs,
        )

    def warm_start_index(self, trial: FrozenTrial) -> int | None:
        """Index of the warm-start point that a journalled trial came from, or None."""
        name = trial.user_attrs.get("warm_start")
        return list(self._points).index(name) if name in self._points else None

    def _complete(
        self, given: Mapping[str, Any], study: optuna.Study, number: int
    ) -> dict[str, Any]:
        sampler = self._sampler(self.seed_of(number))
        asking, study = _running(number=number), _read_only(study)
        relative_space = sampler.infer_relative_search_space(study, asking)
        relative = sampler.sample_relative(study, asking, relative_space)
        params: dict[str, Any] = {}
        for name, known in self.distributions.items():
            if name in given:
                params[name] = given[name]
            elif self._space.active(name, params):
                params[name] = (
                    relative[name]
                    if name in relative
                    else sampler.sample_independent(study, asking, name, known)
                )
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


class _ReadOnlyStorage:
    """A journal to sample from: TPE would note its proposal for other processes to see.

    Ours writes a trial with all its parameters in one line, so there is no half-made trial.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Nothing is noted."""


def _read_only(study: optuna.Study) -> optuna.Study:
    view = copy.copy(study)
    view._storage = _ReadOnlyStorage(study._storage)  # type: ignore[assignment]
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
