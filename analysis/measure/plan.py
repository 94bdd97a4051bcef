"""A measurement that was asked for, checked before anything is computed or written."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from analysis.errors import MeasureError
from analysis.finding.rules import make_rules
from analysis.finding.settings import class_limits
from analysis.measure.job.folder import LABELME, LABELS, OVERLAYS, ROIS, SETTINGS, JobFolder
from analysis.measure.settings import MeasureSettings, ScaleSettings
from analysis.models.device import chosen_device
from analysis.models.find import TrainedModel, find_model
from analysis.pictures.micrographs import Micrograph, find_micrographs
from analysis.scale.reading import ScaleWishes
from analysis.scale.run import plan_scale
from trainables.contract import Device
from trainables.files.errors import UserError
from trainables.files.places import why_not_writable
from trainables.files.words import counted

FORMAT: Final = 1

_FOLDERS: Final = {"labels": LABELS, "overlays": OVERLAYS, "labelme": LABELME, "rois": ROIS}

_T = TypeVar("_T")


@dataclass(frozen=True)
class MeasurePlan:
    """The plan of a measurement: everything is checked, nothing computed.

    Attributes:
        models: Models to find particles with; several are an ensemble.
        pictures: Pictures in the order asked for, at least one.
        out: Folder to write, absolute.
        device: Device to find on.
        settings: Settings of searching and measuring.
        wishes: How scales are read; None where everything stays in pixels.
    """

    models: Sequence[TrainedModel]
    pictures: Sequence[Micrograph]
    out: Path
    device: Device
    settings: MeasureSettings
    wishes: ScaleWishes | None

    @property
    def folder(self) -> JobFolder:
        """The folder of the run."""
        return JobFolder(self.out, [_FOLDERS[n] for n in self.settings.write if n in _FOLDERS])

    def of_a_picture(self) -> dict[str, Any]:
        """Values that must be equal for a picture that is done to be left as it is."""
        table = self.settings.scale.table
        return {
            "format": FORMAT,
            "scale_table": None if table is None else _sha256(table),
            "models": [{"engine": m.engine, "sha256": _sha256(m.path)} for m in self.models],
            **self.settings.of_a_picture(),
        }

    def lines(self) -> list[str]:
        """What would be done, in lines for the user."""
        folder, settings = self.folder, self.of_a_picture()
        n_done = sum(folder.is_done(picture, settings) for picture in self.pictures)
        n_left = len(self.pictures) - n_done
        models = ", ".join(f"{model.name} ({model.engine})" for model in self.models)
        lines = [
            f"{counted(len(self.pictures), 'picture')}, {n_done} of them done before, with "
            f"{models} on {self.device.name}",
            f"writes {self.out}",
        ]
        seconds = folder.seconds_a_picture()
        if n_left and seconds is not None:
            lines.append(f"about {n_left * seconds:.0f} s, by what earlier runs here took")
        return lines


def plan_measure(
    asked: Sequence[str],
    models: Sequence[Path],
    out: Path,
    settings: MeasureSettings,
    *,
    trainable: str | None = None,
    device: str | Device | None = None,
) -> MeasurePlan:
    """Check what is asked of a measurement, and find models and pictures; all problems at once.

    Args:
        asked: Files, folders and patterns.
        models: As `find_model` takes them.
        out: Folder to write.
        settings: Settings of searching and measuring.
        trainable: Engine of the models, needed where nothing beside their files says so.
        device: As torch names it; None for the first GPU where there is one.

    Raises:
        MeasureError: Something of it cannot be.
    """
    problems: list[str] = []

    def checked(read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except UserError as error:
            problems.append(str(error))
            return None

    out = out.absolute()
    pictures = checked(lambda: find_micrographs(asked, out))
    found = [checked(partial(find_model, path, trainable)) for path in models]
    known = [model for model in found if model is not None]
    chosen = checked(lambda: chosen_device(device))
    checked(lambda: _check_classes(known, settings))
    wishes = checked(lambda: _scale_wishes(settings.scale))
    checked(lambda: _check_out(out))
    if not models:
        problems.append("--model: expected at least one model, got none")
    if problems or pictures is None or chosen is None:
        lines = [line for text in problems for line in text.splitlines()]
        if len(lines) == 1:
            raise MeasureError(lines[0])
        raise MeasureError("\n  ".join([f"measure: {len(lines)} problems", *lines]))
    return MeasurePlan(known, pictures, out, chosen, settings, wishes)


def _check_classes(models: Sequence[TrainedModel], settings: MeasureSettings) -> None:
    """Refuse settings of classes that no model knows, where the models' classes are on record.

    Raises:
        FindingError: Settings name such a class.
    """
    if not models or not all(model.classes for model in models):
        return  # the models' files say them, once they are loaded
    classes = list(dict.fromkeys(name for model in models for name in model.classes))
    class_limits(settings.finding, classes, 0.5)
    make_rules(settings.finding.rules, classes)


def _scale_wishes(scale: ScaleSettings) -> ScaleWishes | None:
    """How scales are to be read.

    Raises:
        UserError: An option or the table is wrong.
    """
    if scale.source == "none":
        return None
    return plan_scale(scale.source, scale.pixel_size, scale.table, scale.roi)


def _check_out(out: Path) -> None:
    """Refuse a folder that cannot be written or holds something else than an earlier measurement.

    Raises:
        MeasureError: It does.
    """
    if why := why_not_writable(out, folder=True):
        raise MeasureError(f"--out: expected a folder to write, got {out}: {why}")
    if not out.exists() or all(file.name.startswith(".") for file in out.iterdir()):
        return  # hidden: what a kill left of the first file, or a file manager
    try:
        json.loads((out / SETTINGS).read_text("utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise MeasureError(
            f"--out: expected a new folder or one of an earlier measurement, got {out} with "
            "something else in it; choose another"
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
