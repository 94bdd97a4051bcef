"""The hyperparameters in an `experiment.json`, the record of one training.

The file holds more than them (its name, status, data split, results); only its section
`hyperparameters` is read and written here.
"""

import json
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from search_spaces.training import LoopParams
from trainables.files.whole import write_json
from tune.study.allowed import validation_problems
from tune.study.problems import Problem, study_error

SECTION: Final = "hyperparameters"

Params = TypeVar("Params", bound=LoopParams)


def load_hyperparameters(path: Path, schema: type[Params]) -> Params:
    """The hyperparameters of an experiment.

    A value that is the schema's default counts as not edited: it follows a change of architecture.

    Args:
        path: Path of the `experiment.json`.
        schema: Hyperparameters of the experiment's task, as in `search_spaces.tasks.TRAININGS`.

    Raises:
        StudyError: The file cannot be read, or something in its section is wrong; every problem
            at once.
    """
    section = _read(path).get(SECTION)
    if not isinstance(section, dict):
        raise study_error(str(path), [Problem(SECTION, f"expected a mapping, got {section!r}")])
    try:
        params = schema.model_validate_json(json.dumps(section), strict=True)
    except ValidationError as error:
        problems = validation_problems(error, schema)
        raise study_error(str(path), [_in_section(problem) for problem in problems]) from error
    return schema.model_validate(
        {key: value for key, value in params if value != schema.model_fields[key].default}
    )


def save_hyperparameters(path: Path, params: LoopParams) -> None:
    """Write every hyperparameter into an experiment, which is made where there is none.

    Whatever else the file holds stays as it is.

    Raises:
        StudyError: There is a file that is no experiment.
    """
    content = _read(path) if path.exists() else {}
    write_json(path, {**content, SECTION: params.model_dump(mode="json")})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise study_error(str(path), [Problem("", f"expected a JSON file, got {error}")]) from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise study_error(str(path), [Problem("", f"expected a JSON object, got a {kind}")])
    return content


def _in_section(problem: Problem) -> Problem:
    return Problem(f"{SECTION}.{problem.key}".rstrip("."), problem.message)
