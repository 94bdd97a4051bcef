"""A search space: named domains, some of them conditional on others."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from random import Random
from typing import Any

from search_spaces.domains import ChoiceDomain, Domain, IntDomain, Value, parse_domain
from search_spaces.names import nearest_name, written


class InfiniteSpaceError(ValueError):
    """A search space has a continuous domain, so that its configurations cannot be listed."""


@dataclass(frozen=True)
class Parameter:
    """One searched hyperparameter.

    Attributes:
        domain: Set of values it is drawn from.
        when: Condition of its existence: every key here has one of its values; empty: always.
    """

    domain: Domain
    when: Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True)
class SearchSpace:
    """Hyperparameters that vary in a study, each with its domain, and those that are constant.

    Attributes:
        parameters: Searched hyperparameters by name, each after those its condition names.
        constants: Values of the keys whose domain has one value.
    """

    parameters: Mapping[str, Parameter]
    constants: Mapping[str, Value]

    def active(self, name: str, params: Mapping[str, Any]) -> bool:
        """Tell whether `name` exists beside the values `params` of the keys before it."""
        when = self.parameters[name].when
        known = {**self.constants, **params}
        return all(key in known and known[key] in values for key, values in when.items())

    def draw(self, random: Random) -> dict[str, Value]:
        """Draw one configuration, uniformly."""
        params: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if self.active(name, params):
                params[name] = parameter.domain.draw(random)
        return params

    def point_problems(self, point: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Reasons why a point, also a partial one, cannot be a trial here, as (key, message)."""
        problems = []
        for key, value in point.items():
            if key in self.constants:
                if self.constants[key] != value:
                    fixed = self.constants[key]
                    problems.append(
                        (key, f"expected {fixed!r}, to which it is fixed, got {value!r}")
                    )
            elif key not in self.parameters:
                hint = nearest_name(key, self.parameters)
                searched = ", ".join(self.parameters) or "none"
                problems.append(
                    (key, f"expected a searched key ({searched}), got {key} = {value!r}{hint}")
                )
            elif value not in self.parameters[key].domain:
                domain = self.parameters[key].domain
                hint = _nearest_value(domain, value)
                problems.append((key, f"expected {domain}, got {value!r}{hint}"))
            elif not self._may_be_active(key, point):
                problems.append((key, f"exists only when {_condition(self.parameters[key])}"))
        return problems

    def _may_be_active(self, name: str, point: Mapping[str, Any]) -> bool:
        known = {**self.constants, **point}
        when = self.parameters[name].when
        return all(key not in known or known[key] in values for key, values in when.items())

    def grid(self) -> list[dict[str, Value]]:
        """Every configuration of a finite space, in a stable order.

        Raises:
            InfiniteSpaceError: A domain is continuous.
        """
        return list(self.points())

    def points(self) -> Iterator[dict[str, Value]]:
        """Every configuration, one after another, in the order of `grid`.

        Raises:
            InfiniteSpaceError: A domain is continuous.
        """
        return self._points_from(list(self.parameters), {})

    def _points_from(
        self, names: Sequence[str], known: dict[str, Value]
    ) -> Iterator[dict[str, Value]]:
        """Every configuration that begins with known values and goes on with these keys."""
        if not names:
            yield known
            return
        name, *rest = names
        if not self.active(name, known):
            yield from self._points_from(rest, known)
            return
        domain = self.parameters[name].domain
        n = n_values(domain)
        if n is None:
            raise InfiniteSpaceError(f"{name}: a grid needs finite domains, got {domain}")
        for i in range(n):
            yield from self._points_from(rest, {**known, name: value_at(domain, i)})


def _nearest_value(domain: Domain, value: object) -> str:
    """A hint at the allowed value next to a wrong one, or nothing where none is near."""
    if isinstance(value, str) and isinstance(domain, ChoiceDomain):
        return nearest_name(value, [c for c in domain.choices if isinstance(c, str)])
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (isinstance(domain, ChoiceDomain) and not _has_numbers(domain)):
        return ""
    near = domain.nearest(value)  # type: ignore[arg-type]
    return f"; the nearest is {near:g}" if isinstance(near, float) else f"; the nearest is {near}"


def _has_numbers(domain: ChoiceDomain) -> bool:
    return any(isinstance(c, int | float) and not isinstance(c, bool) for c in domain.choices)


def n_values(domain: Domain) -> int | None:
    """Number of values of a finite domain, or None for a continuous one.

    >>> n_values(parse_domain({"randint": [0, 10_000_000_000]}))
    10000000000
    """
    if isinstance(domain, ChoiceDomain):
        return len(domain.choices)
    if isinstance(domain, IntDomain):
        return domain.high - domain.low + 1
    return None if domain.step is None else domain.n_values


def value_at(domain: Domain, place: int) -> Value:
    """A value of a finite domain, by its place in order from 0."""
    if isinstance(domain, ChoiceDomain):
        return domain.choices[place]
    return domain.low + place if isinstance(domain, IntDomain) else domain.value(place)


def domain_values(domain: Domain) -> list[Value] | None:
    """The values of a finite domain in order, or None for a continuous one."""
    n = n_values(domain)
    return None if n is None else [value_at(domain, place) for place in range(n)]


def _condition(parameter: Parameter) -> str:
    return " and ".join(
        f"{key} is {' or '.join(map(written, values))}" for key, values in parameter.when.items()
    )


def parse_space(written: Mapping[str, Any]) -> tuple[SearchSpace, list[tuple[str, str]]]:
    """Read a search space as a study file writes it.

    Returns:
        The space, and what is wrong with it as (key, message) pairs; a key with a problem is left
        out of the space.
    """
    problems: list[tuple[str, str]] = []
    read: dict[str, Parameter] = {}
    for name, domain in written.items():
        try:
            read[name] = _parse_parameter(domain)
        except ValueError as error:
            problems.append((name, str(error)))
    problems += _condition_problems(read, set(written))
    ordered = _parents_first(read, problems)
    constants = {
        name: value_at(parameter.domain, 0)
        for name, parameter in ordered.items()
        if n_values(parameter.domain) == 1 and not parameter.when
    }
    searched = {name: p for name, p in ordered.items() if name not in constants}
    return SearchSpace(searched, constants), problems


def _parse_parameter(written: Any) -> Parameter:
    if not isinstance(written, Mapping):
        return Parameter(parse_domain({"fixed": written}), {})
    rest = {key: value for key, value in written.items() if key != "when"}
    when = written.get("when", {})
    if not isinstance(when, Mapping):
        raise ValueError(f"expected when: {{key: value}}, got {when!r}")
    conditions = {
        str(key): tuple(value) if isinstance(value, list | tuple) else (value,)
        for key, value in when.items()
    }
    return Parameter(parse_domain(rest), conditions)


def _condition_problems(read: Mapping[str, Parameter], names: set[str]) -> list[tuple[str, str]]:
    problems = []
    for name, parameter in read.items():
        for key, values in parameter.when.items():
            if key not in names:
                hint = nearest_name(key, names)
                problems.append((f"{name}.when", f"{key} is not in the search space{hint}"))
            elif key in read:
                never = [v for v in values if v not in read[key].domain]
                problems += [
                    (f"{name}.when.{key}", f"expected {read[key].domain}, got {value!r}")
                    for value in never
                ]
    return problems


def _parents_first(
    read: Mapping[str, Parameter], problems: list[tuple[str, str]]
) -> dict[str, Parameter]:
    """The parameters as they are written, but each after those its condition names.

    Those in a circle, and those that wait for one, are left out and become a problem.
    """
    sorter = TopologicalSorter({name: set(p.when) & set(read) for name, p in read.items()})
    ordered: dict[str, Parameter] = {}
    with suppress(CycleError):  # what stands before a circle is handed out all the same
        sorter.prepare()
    while ready := sorted(sorter.get_ready(), key=list(read).index):
        ordered |= {name: read[name] for name in ready}
        sorter.done(*ready)
    circle = [name for name in read if name not in ordered]
    if circle:
        problems.append((", ".join(circle), "conditions form a circle"))
    return ordered
