"""A measurement as one file, which says what is measured, by which model, and where it goes.

It is what `segtune submit` sends to a cluster; the settings in it are those of `--config`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from analysis.errors import MeasureError
from analysis.measure.settings import MeasureSettings
from cluster.storage.opening import is_address
from tune.errors import StudyError
from tune.spec import Spec
from tune.study.allowed import validation_problems
from tune.study.file import Written, read_yaml_file
from tune.study.problems import study_error

KEYS: Final = frozenset(("images", "model", "out"))
"""Keys that tell the file of a measurement from a study's."""

_Places = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class MeasureAsked(Spec):
    """A measurement.

    Attributes:
        images: Files, folders and patterns.
        model: Models as `segtune measure --model` takes them; several are an ensemble.
        out: Folder to write.
        trainable: Engine of the models, where nothing beside their files says so.
        settings: As in the file of `--config`.
    """

    images: _Places
    model: _Places
    out: str
    trainable: str | None = None
    settings: MeasureSettings = MeasureSettings()


def read_asked(path: Path, overrides: Sequence[str] = ()) -> MeasureAsked:
    """The measurement of a file; relative places in it start at its folder.

    Raises:
        MeasureError: There is no such file, or a value is wrong; all problems at once.
    """
    return _read(path, overrides)[0]


def asked_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a file that were found right, with absolute places, to be written again.

    Raises:
        MeasureError: As `read_asked`.
    """
    return _read(path, overrides)[1]


def _read(path: Path, overrides: Sequence[str]) -> tuple[MeasureAsked, dict[str, Any]]:
    try:
        written = read_yaml_file(path, overrides, "measurement")
    except StudyError as error:
        raise MeasureError(str(error)) from None
    problems, values = written.problems, _located(written)
    try:
        asked = MeasureAsked.model_validate(values)
    except ValidationError as error:
        problems = [*problems, *validation_problems(error, MeasureAsked)]
    if problems:
        raise MeasureError(str(study_error(written.name, problems, written.places)))
    return asked, values


def _located(written: Written) -> dict[str, Any]:
    """Values with one place made a list of one, and relative places made absolute."""
    values = dict(written.values)
    for key in ("images", "model"):
        places = [values[key]] if isinstance(values.get(key), str) else values.get(key)
        if isinstance(places, list):
            values[key] = [_absolute(place, written.folder) for place in places]
    if "out" in values:
        values["out"] = _absolute(values["out"], written.folder)
    return values


def _absolute(place: object, folder: Path) -> object:
    if not isinstance(place, str) or not place or is_address(place):
        return place
    return str((folder / Path(place).expanduser()).absolute())
