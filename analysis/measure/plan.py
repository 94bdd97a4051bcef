"""A measurement that was asked for, checked before anything is computed or written."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, TypeVar

from analysis.errors import MeasureError
from analysis.finding.rules import make_rules
from analysis.finding.settings import class_limits
from analysis.measure.job.folder import LABELME, LABELS, OVERLAYS, ROIS, SETTINGS, JobFolder
from analysis.measure.job.pace import known_pace
from analysis.measure.outlines import Outlines, read_outlines
from analysis.measure.settings import MeasureSettings, ScaleSettings
from analysis.models.device import chosen_device
from analysis.models.find import TrainedModel, find_model, load_model
from analysis.pictures.micrographs import Micrograph, find_micrographs
from analysis.scale.reading import ScaleWishes
from analysis.scale.run import plan_scale
from cluster.machines.machine import this_machine
from trainables.contract import Device
from trainables.datasets.images import UnreadableImageError, probe
from trainables.files.errors import UserError
from trainables.files.places import why_not_writable
from trainables.files.words import counted
from trainables.metrics.names import MASK_GROUPS
from trainables.registry import engine_info
from tune.best.configuration import confidences_in

FORMAT: Final = 1

_FOLDERS: Final = {"labels": LABELS, "overlays": OVERLAYS, "labelme": LABELME, "rois": ROIS}

_OUTLINED: Final = ("labels", "labelme", "rois")

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
        gpus: GPUs to find on: all there are, unless one was asked for; 0 on the CPU.
        figures: Whether figures of all particles are wanted, and a page of them.
        outlines: What is measured in place of what models find.
    """

    models: Sequence[TrainedModel]
    pictures: Sequence[Micrograph]
    out: Path
    device: Device
    settings: MeasureSettings
    wishes: ScaleWishes | None
    gpus: int = 0
    figures: bool = True
    outlines: Outlines | None = None

    @property
    def folder(self) -> JobFolder:
        """The folder of the run."""
        left_out = self.without_outlines
        asked = [name for name in self.settings.write if name not in left_out]
        return JobFolder(self.out, [_FOLDERS[name] for name in asked if name in _FOLDERS])

    @property
    def without_outlines(self) -> list[str]:
        """The files that are asked for and need outlines, which models of boxes do not find."""
        groups = [engine_info(model.engine).metrics for model in self.models]
        if not groups or any(MASK_GROUPS.intersection(metrics) for metrics in groups):
            return []
        return [name for name in self.settings.write if name in _OUTLINED]

    @cached_property
    def hashed(self) -> dict[str, Any]:
        """The files that settings name, by their content, and what is on record of the models.

        A model searches as its record says: at its confidence, in windows of its pictures' size.
        """
        table = self.settings.scale.table
        return {
            "scale_table": None if table is None else _sha256(table),
            "models": [_identity(model) for model in self.models],
        }

    def of_a_picture(self) -> dict[str, Any]:
        """Values that must be equal for a picture that is done to be left as it is."""
        settings = self.settings.of_a_picture()
        if self.outlines is not None:
            settings.pop("finding")  # nothing is searched
        return {"format": FORMAT, **self.hashed, **settings}

    def of_each(self) -> list[dict[str, Any]]:
        """The same of each picture; its outlines, where they are given, are among them."""
        common, outlines = self.of_a_picture(), self.outlines
        if outlines is None:
            return [common] * len(self.pictures)
        return [{**common, "outlines": outlines.fingerprint(n)} for n in range(len(self.pictures))]

    def done(self) -> list[Micrograph]:
        """The pictures that are done, and as they were then."""
        folder = self.folder
        settings = zip(self.pictures, self.of_each(), strict=True)
        return [picture for picture, own in settings if folder.is_done(picture, own)]

    def kind(self) -> dict[str, Any]:
        """All that the time depends on that a picture takes: runs of one kind are alike."""
        settings = self.settings.of_a_picture()
        return {
            "models": self.hashed["models"],
            "device": [self.device.name, self.device.cpus],
            "pixels": _size(self.pictures[0]),
            **{name: settings[name] for name in ("finding", "write")},
            "scale": self.settings.scale.source,
        }

    def seconds(self, n_left: int) -> str:
        """How long so many pictures take, in words; "" where nobody knows."""
        pace = known_pace(self.out, self.kind()) if n_left else None
        if pace is None:
            return ""
        return f"about {n_left * pace:.0f} s, by what earlier runs of this kind took"

    def lines(self) -> list[str]:
        """What would be done, in lines for the user."""
        n_done = len(self.done())
        n_left = len(self.pictures) - n_done
        models = ", ".join(f"{model.name} ({model.engine})" for model in self.models)
        means = f"{models} on {self.device.name}"
        if self.outlines is not None:
            means = f"the outlines of {self.outlines.folder} ({self.outlines.form})"
        lines = [
            f"{counted(len(self.pictures), 'picture')}, {n_done} of them done before, with {means}",
            f"writes {self.out}",
            *(self.outlines.problems if self.outlines is not None else ()),
        ]
        lines += self.remarks()
        if seconds := self.seconds(n_left):
            lines.append(seconds)
        return lines

    def remarks(self) -> list[str]:
        """What is asked for and cannot be, in lines for the user."""
        if not (left_out := self.without_outlines):
            return []
        what = ", ".join(left_out)
        return [f"{what}: not written, as the model finds boxes without outlines"]


def plan_measure(  # noqa: PLR0913  the command's options
    asked: Sequence[str],
    models: Sequence[Path],
    out: Path,
    settings: MeasureSettings,
    *,
    trainable: str | None = None,
    device: str | Device | None = None,
    figures: bool = True,
) -> MeasurePlan:
    """Check what is asked of a measurement, and find models and pictures; all problems at once.

    Args:
        asked: Files, folders and patterns.
        models: As `find_model` takes them.
        out: Folder to write.
        settings: Settings of searching and measuring.
        trainable: Engine of the models, needed where nothing beside their files says so.
        device: As torch names it; None for the first GPU where there is one.
        figures: Whether figures of all particles are wanted, and a page of them.

    Raises:
        MeasureError: Something of it cannot be.
    """
    checked = Checks("measure" if figures else "predict")
    out = out.absolute()
    pictures = checked(lambda: find_micrographs(asked, out))
    found = [checked(partial(find_model, path, trainable)) for path in models]
    known = [model for model in found if model is not None]
    chosen = checked(lambda: chosen_device(device))
    checked(lambda: _check_classes(known, settings))
    wishes = checked(lambda: _scale_wishes(settings.scale))
    checked(lambda: _check_out(out))
    if not models:
        checked.problems.append("--model: expected at least one model, got none")
    checked.end()
    assert pictures is not None
    assert chosen is not None
    wishes = wishes and wishes.among(pictures)
    gpus = 0 if chosen.name == "cpu" else 1 if device is not None else this_machine().gpus
    return MeasurePlan(known, pictures, out, chosen, settings, wishes, gpus, figures)


def plan_outlines(
    folder: Path,
    out: Path,
    settings: MeasureSettings,
    *,
    pictures: Sequence[str] = (),
    form: str | None = None,
) -> MeasurePlan:
    """Check what is asked of a measurement of outlines; all problems at once.

    Args:
        folder: Folder with outlines in a format that `prepare` reads.
        out: Folder to write.
        settings: Settings; those of finding have no effect.
        pictures: Where the pictures are, if they lie elsewhere.
        form: Name of the format; None to find it out.

    Raises:
        MeasureError: Something of it cannot be.
    """
    checked = Checks("measure")
    out = out.absolute()
    found = checked(lambda: find_micrographs(pictures, out) if pictures else [])
    outlines = None
    if found is not None:
        known = found
        outlines = checked(lambda: read_outlines(folder, known, form))
    wishes = checked(lambda: _scale_wishes(settings.scale))
    checked(lambda: _check_out(out))
    if out == folder.absolute() or folder.absolute() in out.parents:
        checked.problems.append(f"--out: expected a folder outside of {folder}, got {out}")
    checked.end()
    assert outlines is not None
    wishes = wishes and wishes.among(outlines.pictures)
    device = Device("cpu", cpus=this_machine().cpus)
    return MeasurePlan((), outlines.pictures, out, device, settings, wishes, outlines=outlines)


class Checks:
    """Checks of what was asked for, whose problems are told together.

    Args:
        verb: The command that is asked.
    """

    def __init__(self, verb: str) -> None:
        self.problems: list[str] = []
        self._verb = verb

    def __call__(self, read: Callable[[], _T]) -> _T | None:
        """What a check returns; None where it found a problem."""
        try:
            return read()
        except UserError as error:
            self.problems.append(str(error))
            return None

    def end(self) -> None:
        """Refuse what had a problem.

        Raises:
            MeasureError: There was one; the message names all.
        """
        lines = [line for text in self.problems for line in text.splitlines()]
        if len(lines) == 1:
            raise MeasureError(lines[0])
        if lines:
            raise MeasureError("\n  ".join([f"{self._verb}: {len(lines)} problems", *lines]))


def _check_classes(models: Sequence[TrainedModel], settings: MeasureSettings) -> None:
    """Refuse settings of classes that no model knows.

    Where a model's classes are not on record it is loaded, as its file says them.

    Raises:
        UserError: Settings name such a class, or a model cannot be loaded.
    """
    rules = settings.finding.rules
    if not models or not (
        settings.finding.classes or rules.containment_rules or rules.overlap_rules
    ):
        return
    known = [model.classes or load_model(model, Device("cpu", cpus=1)).classes for model in models]
    classes = list(dict.fromkeys(name for names in known for name in names))
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


def _size(picture: Micrograph) -> list[int]:
    """Width and height of a picture; empty where it cannot be read."""
    try:
        header = probe(picture.path)
    except (OSError, UnreadableImageError):
        return []
    return [header.width, header.height]


def _identity(model: TrainedModel) -> dict[str, Any]:
    return {
        "engine": model.engine,
        "sha256": _sha256(model.path),
        "confidence": next(iter(confidences_in(model.metrics).values()), None),
        "picture_px": model.picture_px,
        "limit": model.limit,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
