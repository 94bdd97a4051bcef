"""The file `best.yaml`: a best configuration written, and read back as the same value."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from search_spaces.names import nearest_file, nearest_name
from trainables.registry import EngineError, engine_info
from tune.best.configuration import (
    BEST_FOLDER,
    BEST_YAML,
    BestConfig,
    outdated_params,
    params_as_read,
)
from tune.errors import BestConfigError
from tune.spec import Spec


def to_yaml(config: BestConfig) -> str:
    """Text that `load_best` reads back as the same value."""
    header = (
        f"# Best configuration of the study {config.source.study}, written by segtune.\n"
        "# Train it again: segtune retrain best.yaml --data DATA --out FOLDER\n"
    )
    return header + yaml.safe_dump(config.plain(), sort_keys=False, allow_unicode=True)


def load_best(path: Path) -> BestConfig:
    """Read the `best.yaml` of a path for a training of today: values are checked by their engine.

    Args:
        path: The file, its folder, or a study directory.

    Raises:
        BestConfigError: As for `read_best`, or its engine refuses some of the hyperparameters
            today; all problems at once.
    """
    file = best_file(path)
    config = read_best(file)
    return config.model_copy(update={"params": _checked_params(file, config)})


def read_best(file: Path) -> BestConfig:
    """Read a `best.yaml` as it was written, unchecked by its engine, which may have changed since.

    Raises:
        BestConfigError: It cannot be read, or it is invalid; all problems at once.
    """
    try:
        text = file.read_text("utf-8")  # JSON has numbers, 1e-05, that YAML 1.1 takes for texts
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BestConfigError(
            f"{file}: expected a {BEST_YAML} as `segtune export` writes it, got a file that "
            f"cannot be read: {error}"
        ) from error
    if not isinstance(content, dict):
        raise BestConfigError(
            f"{file}: expected a {BEST_YAML} as `segtune export` writes it (a mapping), got "
            f"{type(content).__name__}"
        )
    if {"trainable", "budget"} <= set(content):
        raise BestConfigError(
            f"{file}: expected a {BEST_YAML} as `segtune export` writes it, got a study file; "
            f"`segtune tune {file}` runs it"
        )
    try:
        # by way of JSON, where a list may become a tuple and a text a path
        return BestConfig.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise BestConfigError(_listed(file, _problems(error))) from error


def best_file(path: Path) -> Path:
    """The `best.yaml` that a file, a folder or a study directory means.

    Raises:
        BestConfigError: There is none.
    """
    candidates = [path, path / BEST_YAML, path / BEST_FOLDER / BEST_YAML]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if found:
        return found[0]
    if (path / "study.yaml").is_file():
        raise BestConfigError(
            f"{path}: this study has no {BEST_FOLDER}/{BEST_YAML} yet: run `segtune export "
            f"{path}`, or name the {BEST_YAML} that was exported to another folder"
        )
    beside = [place.name for place in path.parent.glob("*.yaml")]
    hint = nearest_file(path.name, beside, path.parent)
    got = "a folder without one" if path.is_dir() else "no such file or folder"
    raise BestConfigError(
        f"{path}: expected a {BEST_YAML}, a folder with one, or an exported study's directory, got "
        f"{got}{hint}"
    )


def _problems(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            hint = nearest_name(str(problem["loc"][-1]), _fields_at(problem["loc"][:-1]))
            lines.append(f"{key}: unknown key{hint}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: expected this key, got none")
        else:
            lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return lines


def _listed(file: Path, lines: Sequence[str]) -> str:
    """One message for all problems of a file, a line each."""
    noun = "problem" if len(lines) == 1 else "problems"
    return "\n".join([f"{file}: {len(lines)} {noun}", *(f"  {line}" for line in lines)])


def _fields_at(place: tuple[int | str, ...]) -> list[str]:
    fields: type[Spec] = BestConfig
    for name in place:
        found = fields.model_fields.get(str(name))
        kind = found.annotation if found else None
        if not (isinstance(kind, type) and issubclass(kind, Spec)):
            return []
        fields = kind
    return list(fields.model_fields)


def _checked_params(file: Path, config: BestConfig) -> dict[str, Any]:
    """Hyperparameters as their engine reads them.

    Raises:
        BestConfigError: The engine refuses some of them, or there is no such engine.
    """
    try:
        info = engine_info(config.engine)
    except EngineError as error:
        raise BestConfigError(
            f"{file}: engine: {str(error).removeprefix('trainable: ')}"
        ) from error
    if problems := outdated_params(info, config.params):
        listed = _listed(file, [f"params.{problem}" for problem in problems])
        raise BestConfigError(
            f"{listed}\nwhere another version of {config.engine} wrote these: bring them up to "
            "date in the file, or train it with that version"
        )
    return params_as_read(info, config.params)
