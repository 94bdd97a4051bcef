"""Writes hyperparameters as a page of the documentation: an engine's, or those of our own loops.

python -m tools.engine_table yolo_seg > docs/yolo_seg.md
python -m tools.engine_table hyperparameters > docs/hyperparameters.md
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from search_spaces.names import written
from search_spaces.presets.registry import presets
from search_spaces.space import parse_space
from search_spaces.tasks import TRAININGS, TrainingParams, losses
from search_spaces.training import USED_WITH
from trainables.registry import engine_info

_NAME: Final = "engine_table.py"
LOOPS: Final = "hyperparameters"
"""Names the page of `search_spaces.training`."""


def page(engine: str) -> str:
    """The page of an engine, in Markdown."""
    info = engine_info(engine)
    spaces = {name: parse_space(preset.space)[0] for name, preset in presets(engine).items()}
    rows = [
        [*_described(key, described), *(_in_preset(space, key) for space in spaces.values())]
        for key, described in info.params.model_json_schema()["properties"].items()
    ]
    return _lines(
        f"# Hyperparameters of `{engine}`",
        "",
        "Any of these may stand under `fixed:` or be searched. What a preset searches or fixes is",
        f"in its column; `segtune plan` shows what a study really does. Made by `tools/{_NAME}`.",
        "",
        *_table([*_HEAD, *(f"`{name}`" for name in spaces)], rows),
    )


_HEAD: Final = ("key", "default", "allowed", "meaning")


_LOOPS_HEAD: Final = f"""\
# Hyperparameters of our own training loops

One schema, `search_spaces/training.py`, for every engine whose loop is ours. An engine may change
defaults and offer only some of the losses; its own keys come on top. Made by `tools/{_NAME}`.
"""
_LOOPS_RULES: Final = """
A key without effect beside the others is marked `no effect` and never sampled. In a study the
length is `budget.epochs`, and `early_stopping_patience` is 0 unless it is given; a trial that it
ends has the stop reason `patience`.

**Schedules.** The rate rises evenly from a tenth of `learning_rate` over `warmup_epochs`, which
must be fewer than the epochs. What follows is as long as what is left: `cosine` and `poly` end at 0
with the training. `milestones` are epochs of the whole training.

## Defaults of each task

Those that are not the same for all. A change of architecture fills the form with them again, but
for what was edited.
"""


def loops_page() -> str:
    """The page of the schema that the engines with a loop of ours share, in Markdown."""
    schema = TrainingParams.model_json_schema()["properties"]
    rows = [[*_described(key, schema[key]), _used_with(key)] for key in schema]
    tasks = _tasks_by_schema()
    defaults = [
        [f"`{key}`", *(_code(task.model_fields[key].default) for task in tasks)]
        for key in schema
        if len({task.model_fields[key].default for task in tasks}) > 1
    ]
    offered = [[names, ", ".join(f"`{loss}`" for loss in losses(t))] for t, names in tasks.items()]
    return _lines(
        _LOOPS_HEAD,
        *_table([*_HEAD, "only with"], rows),
        _LOOPS_RULES,
        *_table(["key", *tasks.values()], defaults),
        "",
        "## Losses of each task",
        "",
        *_table(["task", "losses"], offered),
    )


def _tasks_by_schema() -> dict[type[TrainingParams], str]:
    schemas = dict.fromkeys(TRAININGS.values())
    return {
        schema: ", ".join(task for task, its in TRAININGS.items() if its is schema)
        for schema in schemas
    }


def _used_with(key: str) -> str:
    if key not in USED_WITH:
        return ""
    parent, values = USED_WITH[key]
    return f"`{parent}` {' or '.join(values)}"


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "or") for cell in cells) + " |"


def _described(key: str, described: dict[str, Any]) -> list[str]:
    meaning = described.get("description", "")
    return [f"`{key}`", _code(described.get("default")), _allowed(described), meaning]


def _in_preset(space: Any, key: str) -> str:
    if key in space.parameters:
        return str(space.parameters[key].domain)
    return _code(space.constants[key]) if key in space.constants else ""


def _code(value: object) -> str:
    return f"`{written(value, digits=6)}`"


def _allowed(described: dict[str, Any]) -> str:
    if "enum" in described:
        return ", ".join(map(written, described["enum"]))
    if "anyOf" in described:
        return " or ".join(filter(None, (_allowed(part) for part in described["anyOf"])))
    if described.get("type") == "array":
        return f"list of {_allowed(described['items'])}"
    return " ".join([described.get("type", ""), *_bounds(described)]).strip()


def _bounds(described: dict[str, Any]) -> Iterator[str]:
    words = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    for key, sign in words.items():
        if key in described:
            yield f"{sign} {described[key]:g}"
    if "multipleOf" in described:
        yield f"multiple of {described['multipleOf']:g}"


if __name__ == "__main__":
    print(loops_page() if sys.argv[1] == LOOPS else page(sys.argv[1]), end="")
