"""Writes an engine's hyperparameters as a page of the documentation.

python tools/engine_table.py yolo_seg > docs/yolo_seg.md
"""

import sys
from collections.abc import Iterator
from typing import Any

from search_spaces.presets.registry import presets
from search_spaces.space import parse_space
from trainables.registry import engine_info


def page(engine: str) -> str:
    """The page, in Markdown."""
    info = engine_info(engine)
    spaces = {name: parse_space(preset.space)[0] for name, preset in presets(engine).items()}
    lines = [
        f"# Hyperparameters of `{engine}`",
        "",
        "Any of these may stand under `fixed:` or be searched. What a preset searches or fixes is",
        f"in its column; `segtune plan` shows what a study really does. Made by `tools/{_NAME}`.",
        "",
        "| key | default | allowed | meaning |" + "".join(f" `{name}` |" for name in spaces),
        "| --- | --- | --- | --- |" + " --- |" * len(spaces),
    ]
    schema = info.params.model_json_schema()
    for key, described in schema["properties"].items():
        cells = [f"`{key}`", _code(described.get("default")), _allowed(described)]
        cells.append(described.get("description", ""))
        cells += [_in_preset(space, key) for space in spaces.values()]
        lines.append("| " + " | ".join(cell.replace("|", "or") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


_NAME = "engine_table.py"


def _in_preset(space: Any, key: str) -> str:
    if key in space.parameters:
        return str(space.parameters[key].domain)
    return _code(space.constants[key]) if key in space.constants else ""


def _code(value: object) -> str:
    return f"`{value}`" if not isinstance(value, float) else f"`{value:g}`"


def _allowed(described: dict[str, Any]) -> str:
    if "enum" in described:
        return ", ".join(str(value) for value in described["enum"])
    if "anyOf" in described:
        return " or ".join(filter(None, (_allowed(part) for part in described["anyOf"])))
    return " ".join([described.get("type", ""), *_bounds(described)]).strip()


def _bounds(described: dict[str, Any]) -> Iterator[str]:
    words = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    for key, sign in words.items():
        if key in described:
            yield f"{sign} {described[key]:g}"
    if "multipleOf" in described:
        yield f"multiple of {described['multipleOf']:g}"


if __name__ == "__main__":
    print(page(sys.argv[1]), end="")
