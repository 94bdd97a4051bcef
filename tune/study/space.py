"""The search space of a study, from the keys `search_space`, `fixed` and `warm_start`.

A study names a preset, replaces single keys of one, or writes a space of its own::

    search_space: yolo_seg
    search_space: {preset: yolo_seg, lr0: {loguniform: [1.0e-5, 0.1]}, copy_paste: null}
    search_space: {lr0: {loguniform: [1.0e-5, 0.1]}, batch: {choice: [2, 4]}}

`null` drops a key: it is not searched and has the engine's default. A key of the preset that
`fixed` names is not searched either, and has that value. A preset's conditions follow what replaces
their keys: one that cannot hold any more takes its hyperparameter with it. `default` names the
engine's own preset.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from search_spaces.domains import ChoiceDomain, Domain, FloatDomain, parse_domain
from search_spaces.names import nearest_name
from search_spaces.presets.preset import Point, Preset
from search_spaces.presets.registry import presets
from search_spaces.schema import Hyperparameters
from search_spaces.space import SearchSpace, domain_values, n_values, parse_space
from trainables.contract import Circumstances, EngineInfo
from trainables.registry import engine_info, engines
from tune.study.allowed import field_schema, mismatch
from tune.study.fitting import fitted
from tune.study.problems import Problem

DEFAULT: Final = "default"

_FOREIGN_KEYS: Final = 2  # one alone may be a slip

_ALL_VALUES: Final = 256  # so many values of a finite domain are checked one by one

_Params = type[Hyperparameters]


@dataclass(frozen=True)
class ResolvedSpace:
    """A study's search space, resolved with its preset and fixed values.

    Attributes:
        written: Every domain in the study file's syntax, the preset's and the study's own.
        space: The space that is sampled; keys without effect are left out.
        fixed: Every key with one value, whoever fixed it.
        no_effect: Keys that were given but that the framework ignores, with the reason.
        preset: The preset that the space began with, or None.
    """

    written: Mapping[str, Any]
    space: SearchSpace
    fixed: Mapping[str, Any]
    no_effect: Mapping[str, str]
    preset: Preset | None

    @property
    def varied(self) -> frozenset[str]:
        """Keys with more than one value, those without effect included."""
        return frozenset(self.space.parameters) | (set(self.no_effect) - set(self.fixed))

    @property
    def possible(self) -> Mapping[str, Any]:
        """Every key that is fixed or sampled; a sampled one has a tuple of its possible values."""
        return {**self.fixed, **possible_values(self.space)}

    def without(self, idle: Mapping[str, str]) -> "ResolvedSpace":
        """The space with more keys that have no effect; those that conditions name stay searched.

        Args:
            idle: The reason by key.
        """
        parameters = self.space.parameters
        named = {key for parameter in parameters.values() for key in parameter.when}
        idle = {key: reason for key, reason in idle.items() if key not in named}
        left = {name: p for name, p in parameters.items() if name not in idle}
        space = SearchSpace(left, self.space.constants)
        return replace(self, space=space, no_effect={**self.no_effect, **idle})

    def varied_beside(self, key: str, value: Any) -> frozenset[str]:
        """Keys with more than one value where `key` has a certain one."""
        absent = {
            name
            for name, parameter in self.space.parameters.items()
            if key in parameter.when and value not in parameter.when[key]
        }
        return self.varied - absent - {key}


def resolve_space(
    info: EngineInfo,
    search_space: str | Mapping[str, Any],
    fixed: Mapping[str, Any],
    there: Circumstances | None = None,
) -> tuple[ResolvedSpace, list[Problem]]:
    """Read a study's `search_space` together with its `fixed`.

    Args:
        info: The engine.
        search_space: The key's value.
        fixed: The key's value.
        there: Data, length and machine that a preset is fitted to; None for the preset as it is.

    Returns:
        The space, without the keys that are wrong, and everything that is wrong.
    """
    preset, own, problems = _split(info, search_space, fixed, there)
    if preset is not None and there is not None:
        preset = fitted(info, preset, {**own, **fixed}, there)
    foreign = _of_another_engine(info, fixed, own)
    problems += foreign or _unknown("fixed", info, fixed) + _unknown("search_space", info, own)
    fixed, fixed_problems = _check_fixed(info, fixed)
    problems += fixed_problems
    own = {key: domain for key, domain in own.items() if key in info.params.model_fields}
    problems += _clashes(fixed, own)
    written = _merge(info.params, preset, own, fixed)
    scalars = {k: {"fixed": v} for k, v in fixed.items() if not isinstance(v, list | dict | tuple)}
    space, wrong = parse_space({**written, **scalars})
    problems += [Problem(f"search_space.{key}", message) for key, message in wrong]
    problems += _check_domains(info.params, space, fixed)
    everything = {**fixed, **_constants(info.params, space, fixed)}
    no_effect = info.params.without_effect({**everything, **possible_values(space)})
    problems += _conditions_on(no_effect, space)
    effective = {name: p for name, p in space.parameters.items() if name not in no_effect}
    searched = SearchSpace(effective, space.constants)
    return ResolvedSpace(written, searched, everything, no_effect, preset), problems


def resolve_points(
    info: EngineInfo, resolved: ResolvedSpace, given: Sequence[Mapping[str, Any]] | None
) -> tuple[tuple[Point, ...], list[Problem]]:
    """The warm-start points: those given, or else the preset's.

    A given point may be partial; the sampler completes it. Constants and keys without effect are
    left out of it.
    """
    if given is None:
        preset = resolved.preset
        return tuple(preset.points(resolved.space, defaults(info.params))) if preset else (), []
    problems: list[Problem] = []
    points: list[Point] = []
    for i, written in enumerate(given):
        prefix = f"warm_start.points.{i}"
        problems += _unknown(prefix, info, written)
        known = {key: value for key, value in written.items() if key in info.params.model_fields}
        known = {key: value for key, value in known.items() if not _idle(key, resolved)}
        wrong = resolved.space.point_problems(known)
        problems += [Problem(f"{prefix}.{key}", message) for key, message in wrong]
        point = {} if wrong else _canonical(resolved.space, known)
        if not wrong and point in points:
            message = f"expected every point once, got that of points.{points.index(point)} again"
            problems.append(Problem(prefix, message))
        points.append(point)
    return tuple(points), problems


# --- what is written
def default_preset(
    info: EngineInfo, given: Mapping[str, Any], there: Circumstances | None
) -> tuple[str, Mapping[str, Any]]:
    """Name of the preset that is used by default, and the domains that replace keys of it.

    Args:
        info: The engine.
        given: What the study itself fixes or searches, by key.
        there: The study's data, length and machine, if known.
    """
    return info.default_space(given, there) if info.default_space else (info.preset, {})


def _split(
    info: EngineInfo,
    search_space: str | Mapping[str, Any],
    fixed: Mapping[str, Any],
    there: Circumstances | None,
) -> tuple[Preset | None, dict[str, Any], list[Problem]]:
    """The preset, the keys the study writes itself, and what is wrong with either."""
    own = {} if isinstance(search_space, str) else dict(search_space)
    written = search_space if isinstance(search_space, str) else own.pop("preset", None)
    if written is None and "preset" not in search_space:
        return None, own, []
    known = presets(info.name)
    name, replaced = written, dict[str, Any]()
    if written == DEFAULT:
        name, domains = default_preset(info, {**own, **fixed}, there)
        replaced = dict(domains)
    if isinstance(name, str) and name in known:
        return _replaced(known[name], replaced), own, []
    key = "search_space" if isinstance(search_space, str) else "search_space.preset"
    names = ", ".join(known) or "none; write the space itself"
    message = f"expected a preset of {info.name} ({names}), got {name!r}"
    return None, own, [Problem(key, message + nearest_name(str(name), known))]


def _replaced(preset: Preset, domains: Mapping[str, Any]) -> Preset:
    """A preset with other domains; None drops a key."""
    both = {**preset.space, **domains}
    return replace(
        preset, space={key: domain for key, domain in both.items() if domain is not None}
    )


def _unknown(prefix: str, info: EngineInfo, given: Mapping[str, Any]) -> list[Problem]:
    known = info.params.model_fields
    return [
        Problem(f"{prefix}.{key}", _unknown_message(info, key, given[key]))
        for key in given
        if key not in known
    ]


def _of_another_engine(
    info: EngineInfo, fixed: Mapping[str, Any], own: Mapping[str, Any]
) -> list[Problem]:
    """One problem for several unknown keys that all are another engine's."""
    keys = [key for key in dict.fromkeys((*fixed, *own)) if key not in info.params.model_fields]
    if len(keys) < _FOREIGN_KEYS:
        return []
    for name in engines():
        known = engine_info(name).params.model_fields
        if all(key in known for key in keys):
            message = (
                f"expected hyperparameters of {info.name}, got {', '.join(keys)}, which are those "
                f"of {name}; did you mean `trainable: {name}`?"
            )
            return [Problem("trainable", message)]
    return []


def _unknown_message(info: EngineInfo, key: str, value: object) -> str:
    known = list(info.params.model_fields)
    alias = info.params.aliases.get(key)
    hint = f"; did you mean {alias}?" if alias else nearest_name(key, known)
    allowed = "" if hint else f" ({', '.join(known)})"
    return f"expected a hyperparameter of {info.name}{allowed}, got {key} = {value!r}{hint}"


def _clashes(fixed: Mapping[str, Any], own: Mapping[str, Any]) -> list[Problem]:
    """Keys that the study both fixes and searches; against a preset, what is fixed wins."""
    return [
        Problem(
            f"fixed.{key}",
            f"expected a key that is not searched, got {key} = {value!r}; keep one; search_space "
            f"has {own[key]!r}",
        )
        for key, value in fixed.items()
        if own.get(key) is not None
    ]


def _choices(domain: Any) -> tuple[Any, ...] | None:
    """The values of a written choice or constant, None for other domains and broken ones."""
    if not isinstance(domain, Mapping):
        return (domain,)
    try:
        parsed = parse_domain({key: value for key, value in domain.items() if key != "when"})
    except ValueError:
        return None
    return parsed.choices if isinstance(parsed, ChoiceDomain) else None


def _merge(
    params: _Params, preset: Preset | None, own: Mapping[str, Any], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """The preset with the study's own keys in place of its own; null drops a key.

    A key also takes the place of its alternatives.
    """
    base = {} if preset is None else dict(preset.space)
    given = {key: domain for key, domain in own.items() if domain is not None}
    set_keys = given.keys() | {key for key, value in fixed.items() if value is not None}
    replaced = {*own, *fixed}.union(*(group for group in params.alternatives if group & set_keys))
    kept = {key: domain for key, domain in base.items() if key not in replaced}
    given_values = {key: {"fixed": value} for key, value in fixed.items()}
    fitted = _fit_conditions(kept, {**given, **given_values}, defaults(params))
    order = [*base, *(key for key in given if key not in base)]
    both = {**fitted, **given}
    return {key: both[key] for key in order if key in both}


def _fit_conditions(
    kept: Mapping[str, Any], given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """A preset's domains whose conditions can hold beside the keys given in their place."""
    fitted = dict(kept)
    while True:
        known = {**fitted, **given}
        once = {key: _fit(domain, known, defaults) for key, domain in fitted.items()}
        once = {key: domain for key, domain in once.items() if domain is not None}
        if once == fitted:
            return fitted
        fitted = once


def _fit(domain: Any, known: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """A domain with only those conditions that are still open, or None if one cannot hold."""
    if not isinstance(domain, Mapping) or "when" not in domain:
        return domain
    when = {}
    for key, values in domain["when"].items():
        wanted = values if isinstance(values, list | tuple) else [values]
        possible = _choices(known[key]) if key in known else (defaults.get(key),)
        met = [value for value in wanted if possible is None or value in possible]
        if not met:
            return None
        if key in known:
            when[key] = met
    rest = {kind: value for kind, value in domain.items() if kind != "when"}
    return {**rest, "when": when} if when else rest


# --- what the engine allows
def _check_fixed(
    info: EngineInfo, fixed: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """The fixed values of known keys as the engine reads them, and what is wrong with them."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in fixed.items():
        if key not in info.params.model_fields:
            continue
        read, wrong = _read(info.params, key, value)
        if wrong is None:
            values[key] = read
        else:
            problems.append(Problem(f"fixed.{key}", wrong))
    return values, problems


def _read(params: _Params, key: str, value: Any) -> tuple[Any, str | None]:
    """A value as the engine's field reads it, or why it is not valid."""
    try:
        read = getattr(params.model_validate({key: value}), key)
    except ValidationError as error:
        wrong = [entry for entry in error.errors() if entry["loc"][:1] == (key,)]
        if not wrong:
            return value, None
        if wrong[0]["type"] == "value_error":
            return None, str(wrong[0]["ctx"]["error"])
        return None, mismatch(*field_schema(params, key), value)
    if _other_kind(value, read):
        return None, mismatch(*field_schema(params, key), value)
    return read, None


def _other_kind(value: object, read: object) -> bool:
    """Tell whether pydantic took a truth value or a text for a number."""
    if isinstance(value, bool) != isinstance(read, bool):
        return True
    return isinstance(value, str) and isinstance(read, int | float)


def _check_domains(
    params: _Params, space: SearchSpace, fixed: Mapping[str, Any]
) -> Iterator[Problem]:
    """Values that a domain can draw, but that the engine's field does not allow."""
    for name, parameter in space.parameters.items():
        for value in _probes(parameter.domain):
            _, wrong = _read(params, name, value)
            if wrong is not None:
                source = f" (the search space has {parameter.domain})"
                yield Problem(f"search_space.{name}", wrong + source)
                break
    for name, value in space.constants.items():
        _, wrong = _read(params, name, value)
        if wrong is not None and name not in fixed:
            yield Problem(f"search_space.{name}", wrong)


def _probes(domain: Domain) -> list[Any]:
    """All values of a small domain; of a large one its ends and a value with a long fraction."""
    n = n_values(domain)
    if isinstance(domain, ChoiceDomain) or (n is not None and n <= _ALL_VALUES):
        return domain_values(domain) or []
    if isinstance(domain, FloatDomain) and n is not None:
        return [domain.value(place) for place in (0, n // 2, n - 1)]
    middle = domain.low + (domain.high - domain.low) * 0.6180339887
    return [domain.low, domain.high, middle if isinstance(domain, FloatDomain) else int(middle)]


def _constants(params: _Params, space: SearchSpace, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that the space itself fixes, as the engine reads them."""
    own = {key: value for key, value in space.constants.items() if key not in fixed}
    return {key: _read(params, key, value)[0] for key, value in own.items()}


def possible_values(space: SearchSpace) -> dict[str, tuple[Any, ...]]:
    """The values of each searched key: all, or the ends of a continuous domain."""
    return {
        name: p.domain.choices
        if isinstance(p.domain, ChoiceDomain)
        else (p.domain.low, p.domain.high)
        for name, p in space.parameters.items()
    }


def _conditions_on(no_effect: Mapping[str, str], space: SearchSpace) -> list[Problem]:
    return [
        Problem(
            f"search_space.{name}.when.{key}",
            f"expected a key that has an effect, got {key} ({no_effect[key]})",
        )
        for name, parameter in space.parameters.items()
        for key in parameter.when
        if key in no_effect
    ]


def defaults(params: _Params) -> dict[str, Any]:
    """The values that hyperparameters have unless they are set; required ones have none."""
    fields = params.model_fields.items()
    return {name: field.get_default() for name, field in fields if not field.is_required()}


# --- points
def _idle(key: str, resolved: ResolvedSpace) -> bool:
    """Tell whether the framework ignores a key, so that a point's value does not matter."""
    return key in resolved.no_effect and key not in resolved.fixed


def _canonical(space: SearchSpace, point: Mapping[str, Any]) -> Point:
    """A legal point with the space's own values (8, not 8.0, for a choice of 8), in its order."""
    return {
        name: parameter.domain.nearest(point[name])
        for name, parameter in space.parameters.items()
        if name in point
    }
