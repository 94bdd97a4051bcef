"""The JSON schema of a study file, from which editors complete and check it."""

from typing import Any, Final

from search_spaces.domains import KINDS
from search_spaces.presets.registry import presets
from trainables.contract import EngineInfo
from trainables.registry import engine_info, engines
from tune.study.checks import objectives
from tune.study.space import DEFAULT

_NUMBERS: Final = {"type": "array", "items": {"type": "number"}}

_KIND_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "uniform": {**_NUMBERS, "minItems": 2, "maxItems": 2, "description": "[low, high]"},
    "loguniform": {
        **_NUMBERS,
        "minItems": 2,
        "maxItems": 2,
        "description": "[low, high], drawn uniformly in the logarithm; low > 0",
    },
    "quniform": {**_NUMBERS, "minItems": 3, "maxItems": 3, "description": "[low, high, step]"},
    "randint": {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": 2,
        "maxItems": 2,
        "description": "[low, high] whole numbers; high itself is excluded",
    },
    "choice": {"type": "array", "minItems": 1, "description": "one of these values"},
    "fixed": {"description": "this value in every trial"},
}


def completed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of `Study` with the engines, presets and hyperparameters installed here."""
    infos = [engine_info(name) for name in engines()]
    properties, parts = schema["properties"], schema["$defs"]
    parts["Objective"].pop("required", None)
    parts["Objective"]["properties"]["metric"]["examples"] = _metrics(infos)
    parts["domain"] = _domain()
    properties["trainable"]["enum"] = [info.name for info in infos]
    properties["price"]["anyOf"].insert(0, {"type": "number", "exclusiveMinimum": 0})
    properties["mirror"]["anyOf"].insert(0, {"type": "string"})
    for key in ("scheduler", "plateau"):
        _allow_name(properties[key])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "segtune study",
        "required": ["study", "data", "trainable", "budget"],
        "allOf": [_for_engine(info) for info in infos],
    }


def _metrics(infos: list[EngineInfo]) -> list[str]:
    return list(dict.fromkeys(name for info in infos for name in objectives(info)))


def _allow_name(schema: dict[str, Any]) -> None:
    """Allow a kind's name in place of a mapping with that kind."""
    kinds = list(schema["discriminator"]["mapping"])
    union = {"oneOf": schema.pop("oneOf"), "discriminator": schema.pop("discriminator")}
    schema["anyOf"] = [{"enum": kinds}, union]


def _domain() -> dict[str, Any]:
    """A domain as a study file writes it; a plain value is a fixed one, null drops a key."""
    when = {"type": "object", "description": "only where these keys have (one of) these values"}
    one_kind = [
        {
            "type": "object",
            "properties": {kind: _KIND_SCHEMAS[kind], "when": when},
            "required": [kind],
            "additionalProperties": False,
        }
        for kind in KINDS
    ]
    return {"anyOf": [*one_kind, {"type": ["number", "string", "boolean", "null"]}]}


def _for_engine(info: EngineInfo) -> dict[str, Any]:
    """The part of the schema for studies of one engine: its hyperparameters and presets."""
    fields = info.params.model_json_schema()["properties"]
    preset = {"enum": [DEFAULT, *presets(info.name)]}
    domains = {
        name: {"$ref": "#/$defs/domain", "description": field.get("description", "")}
        for name, field in fields.items()
    }
    space = {
        "type": "object",
        "properties": {"preset": preset, **domains},
        "additionalProperties": False,
    }
    fixed = {"type": "object", "properties": fields, "additionalProperties": False}
    then = {"fixed": fixed, "search_space": {"anyOf": [preset, space]}}
    return {
        "if": {"properties": {"trainable": {"const": info.name}}, "required": ["trainable"]},
        "then": {"properties": then},
    }
