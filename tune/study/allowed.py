"""Words for the values that a pydantic model allows, and the nearest valid one to a wrong one.

Both are read off the model's JSON schema, so that what is refused, what the message says and what
an editor offers cannot differ.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from search_spaces.names import nearest_name
from tune.study.problems import Problem

Schema = Mapping[str, Any]

_TYPES: Final = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
}


def validation_problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """The problems in pydantic's error, one for each key."""
    root = _schema(model)
    found: dict[str, Problem] = {}
    for entry in error.errors(include_url=False):
        keys, schema = _follow(root, entry["loc"])
        problem = _problem(entry, keys, schema, root)
        found.setdefault(problem.key, problem)
    return list(found.values())


def _problem(
    entry: Mapping[str, Any], keys: Sequence[str], schema: Schema, root: Schema
) -> Problem:
    key, kind, got = ".".join(keys), entry["type"], entry["input"]
    if kind == "extra_forbidden":
        name = str(entry["loc"][-1])
        known = list(_properties(schema, root))
        return Problem(".".join([*keys, name]), unknown_key(got, name, known))
    if kind in {"value_error", "assertion_error"}:
        return Problem(key, str(entry["ctx"]["error"]))
    if kind == "union_tag_invalid":
        tags = list(schema["discriminator"]["mapping"])
        name = schema["discriminator"]["propertyName"]
        tag = entry["ctx"]["tag"]
        return Problem(f"{key}.{name}", mismatch({"enum": tags}, root, tag))
    if kind == "missing":
        return Problem(key, f"required key is missing, expected {describe(schema, root)}")
    return Problem(key, mismatch(schema, root, got))


def unknown_key(value: object, name: str, known: Sequence[str]) -> str:
    """The message for a key that does not exist.

    >>> unknown_key(8, "trails", ["trials", "epochs"])
    'unknown key (value 8), expected one of trials, epochs; did you mean trials?'
    """
    return (
        f"unknown key (value {value!r}), expected one of {', '.join(known)}"
        f"{nearest_name(name, known)}"
    )


def mismatch(schema: Schema, root: Schema, got: object) -> str:
    """The message for a value that the schema does not allow."""
    return f"expected {describe(schema, root)}, got {got!r}{_hint(schema, root, got)}"


def field_schema(model: type[BaseModel], name: str) -> tuple[Schema, Schema]:
    """The schema of one field, and the model's for references."""
    root = _schema(model)
    return root["properties"][name], root


@cache
def _schema(model: type[BaseModel]) -> Schema:
    return model.model_json_schema()


# --- in words
def describe(schema: Schema, root: Schema) -> str:
    """Words for the values that a schema allows.

    >>> describe({"type": "integer", "exclusiveMinimum": 0}, {})
    'a whole number above 0'
    >>> describe({"anyOf": [{"const": "auto"}, {"type": "number", "minimum": 0, "maximum": 1}]}, {})
    'auto or a number from 0 to 1'
    """
    schema = _deref(schema, root)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    branches = _branches(schema)
    if branches:
        return " or ".join(dict.fromkeys(describe(branch, root) for branch in branches))
    if schema.get("format") == "path":
        return "a path"
    keys = schema.get("properties", {})
    if keys:
        return f"a mapping with {', '.join(keys)}"
    return _TYPES.get(schema.get("type", ""), "a value") + _bounds(schema)


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        parts = [f"from {low:g} to {high:g}"]
    else:
        parts = [
            text
            for bound, text in (
                (above, f"above {above}"),
                (low, f"of at least {low}"),
                (below, f"below {below}"),
                (high, f"of at most {high}"),
            )
            if bound is not None
        ]
    step = f", in multiples of {schema['multipleOf']:g}" if "multipleOf" in schema else ""
    return "".join(f" {part}" for part in [" and ".join(parts)] if part) + step


# --- the nearest valid value
def _hint(schema: Schema, root: Schema, got: object) -> str:
    names = [str(value) for value in _values(schema, root) if isinstance(value, str)]
    if isinstance(got, str):
        hint = nearest_name(got, names)
        if hint:
            return hint
    number = _number(got)
    near = None if number is None else _nearest_number(schema, root, number)
    if near is None:
        return ""
    return f"; the nearest is {int(near) if near == int(near) else near}"


def _values(schema: Schema, root: Schema) -> Iterator[Any]:
    schema = _deref(schema, root)
    yield from schema.get("enum", ())
    if "const" in schema:
        yield schema["const"]
    for branch in _branches(schema):
        yield from _values(branch, root)


def _number(got: object) -> float | None:
    if isinstance(got, bool) or not isinstance(got, int | float | str):
        return None
    try:
        number = float(got)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _nearest_number(schema: Schema, root: Schema, number: float) -> float | None:
    schema = _deref(schema, root)
    found = [_nearest_number(branch, root, number) for branch in _branches(schema)]
    allowed = [value for value in schema.get("enum", ()) if _number(value) is not None]
    if schema.get("type") in {"integer", "number"}:
        found.append(_clamp(schema, number))
    near = [value for value in (*found, *allowed) if isinstance(value, int | float)]
    return min(near, key=lambda value: abs(value - number), default=None)


def _clamp(schema: Schema, number: float) -> float | None:
    """The allowed number closest to `number`, or None where an open bound has no closest."""
    whole = schema.get("type") == "integer"
    step = schema.get("multipleOf", 1 if whole else None)
    if step is not None:
        number = round(number / step) * step
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if step is not None:
        low = max(low, schema.get("exclusiveMinimum", -math.inf) + step)
        high = min(high, schema.get("exclusiveMaximum", math.inf) - step)
    near = min(max(number, low), high)
    if near <= schema.get("exclusiveMinimum", -math.inf):
        return None
    return None if near >= schema.get("exclusiveMaximum", math.inf) else near


# --- the schema's structure
def _follow(root: Schema, loc: Iterable[int | str]) -> tuple[list[str], Schema]:
    """The keys of pydantic's location that a user wrote, and the schema at their end.

    The tags of unions, which pydantic puts in between, are left out.
    """
    keys: list[str] = []
    schema: Schema = _deref(root, root)
    for part in loc:
        step = _step(schema, root, part)
        if step is None:
            schema = _branch(schema, root, part)
            continue
        keys.append(str(part))
        schema = step
    return keys, schema


def _step(schema: Schema, root: Schema, part: int | str) -> Schema | None:
    if isinstance(part, int) and "items" in schema:
        return _deref(schema["items"], root)
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    if part in properties:
        return _deref(properties[part], root)
    return _deref(others, root) if isinstance(others, Mapping) else None


def _branch(schema: Schema, root: Schema, part: int | str) -> Schema:
    mapping = schema.get("discriminator", {}).get("mapping", {})
    return _deref({"$ref": mapping[part]}, root) if part in mapping else schema


def _properties(schema: Schema, root: Schema) -> Schema:
    properties: Schema = _deref(schema, root).get("properties", {})
    return properties


def _branches(schema: Schema) -> Sequence[Schema]:
    branches: Sequence[Schema] = schema.get("anyOf") or schema.get("oneOf") or ()
    return [branch for branch in branches if branch.get("type") != "null"] or branches


def _deref(schema: Schema, root: Schema) -> Schema:
    """A schema without references; of a mapping that may be left out, the mapping's."""
    branches = _branches(schema)
    if len(branches) == 1 and "$ref" in branches[0]:
        schema = {**branches[0], **{k: v for k, v in schema.items() if k != "anyOf"}}
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = {**root["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema
