"""A study file read and checked whole, on this machine and with its data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from cluster.machines.machine import Machine
from tune.plan.readiness import check_study
from tune.study.allowed import validation_problems
from tune.study.file import Written, read_study_file
from tune.study.problems import study_error
from tune.study.study import Study


def load_study(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    check_data: bool = True,
    machine: Machine | None = None,
) -> Study:
    """Read a study file and check all of it.

    Args:
        path: The file. Relative paths in it start at its own folder, wherever one is.
        overrides: `key=value` as after `--set`; relative paths in them start where one is.
        check_data: Whether the data set and this machine must be able to train now; without, a
            study of another day or machine can be read.
        machine: What there is to train on; default: this machine, or whatever RAY_ADDRESS names.

    Raises:
        StudyError: With a line for everything that is wrong.
    """
    written = read_study_file(Path(path), overrides)
    written.values.setdefault("storage", str(written.folder / "studies"))
    parts, problems = _parts(written)
    problems = [*written.problems, *problems]
    problems += check_study(parts, here=check_data, machine=machine).problems
    if problems:
        raise study_error(written.name, problems, written.places)
    return Study(**parts)


_STAND_IN: Final[Mapping[str, Any]] = {
    "study": "study",
    "data": "data",
    "trainable": "",
    "budget": {"trials": 1, "epochs": 1},
}


def _parts(written: Written) -> tuple[dict[str, Any], list[Any]]:
    """The top-level values that are right in themselves, and what is wrong with the others."""
    try:
        study, broken, problems = Study.model_validate(written.values), set[str](), []
    except ValidationError as error:
        problems = validation_problems(error, Study)
        broken = {str(entry["loc"][0]) for entry in error.errors() if entry["loc"]}
        right = {key: value for key, value in written.values.items() if key not in broken}
        study = Study.model_validate({**_STAND_IN, **right})
    names = [name for name in Study.model_fields if name not in broken]
    return {name: getattr(study, name) for name in names}, problems
