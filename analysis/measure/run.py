"""`segtune predict` and `segtune measure`: models, any number of pictures, a folder of tables.

A picture is done when all of its files are there; a second run with the same models and settings
leaves it as it is. One that cannot be searched or measured is a row with its reason, and the rest
goes on.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from analysis.errors import MeasureError
from analysis.measure.figures import FIGURES, ClassFigures, run_figures, shift_line
from analysis.measure.job.folder import (
    SETTINGS,
    PictureRecord,
)
from analysis.measure.job.outlines import OutlineSearcher
from analysis.measure.job.pace import remember_pace
from analysis.measure.job.pipeline import NoSearcherError, Passed, Searcher, Stages, passed
from analysis.measure.job.searching import PictureSearcher
from analysis.measure.job.stages import PictureMeasurer, PictureReader
from analysis.measure.job.workers import SharedOut, shared_out
from analysis.measure.live import LiveTable, first_words
from analysis.measure.plan import MeasurePlan
from analysis.measure.report.page import REPORT, write_page
from analysis.measure.tables import (
    COCO,
    PARTICLES,
    PICTURES,
    DonePictures,
    classes_of,
    unit_of,
    write_instances,
    write_particles,
    write_pictures,
)
from analysis.pictures.micrographs import Micrograph
from cluster.machines.local_ray import start_ray
from cluster.machines.machine import Machine, this_machine, visible_gpus
from trainables.contract import Device
from trainables.files.whole import locked, write_json, write_table
from trainables.files.words import counted

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

Tell = Callable[[str], None]

LOG: Final = "ray.log"

_NAMED: Final = 5  # of the failed ones in the message

_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"

_LOST: Final = "what was written of it is gone; run the same command again"


@dataclass(frozen=True)
class MeasureResult:
    """The result of a measurement.

    Attributes:
        out: Folder of the run.
        records: Records of the pictures that are done, in the order asked for.
        failed: Name of a picture to the reason why it could not be searched or measured.
        before: Number of pictures that were done by an earlier run.
        unit: Unit of the calibrated columns; "" where no picture has a scale.
        figures: Figures of all particles, and of each class; none of a prediction.
        report: The page to look at; None of a prediction.
        errors_by_size: The models' errors of diameters on their validation pictures, in words.
        problems: What is to be said of given outlines, in lines for the user.
        complete: Whether all of them could be read.
    """

    out: Path
    records: Sequence[PictureRecord]
    failed: Mapping[str, str]
    before: int
    unit: str
    figures: Sequence[ClassFigures] = ()
    report: Path | None = None
    errors_by_size: str = ""
    problems: Sequence[str] = ()
    complete: bool = True

    @property
    def particles(self) -> int:
        """Number of particles of all pictures."""
        return sum(record.row["particles"] for record in self.records)

    def lines(self) -> list[str]:
        """The result in lines for the user."""
        asked = len(self.records) + len(self.failed)
        before = f" ({self.before} of them done before)" if self.before else ""
        lines = [f"{self.particles} particles in {len(self.records)} of {asked} pictures{before}"]
        capped = [record.picture for record in self.records if record.row["capped"]]
        if capped:
            lines.append(
                f"{counted(len(capped), 'picture')} may have more particles than the model "
                f"reports, such as {capped[0]}: raise max_det (column capped)"
            )
        if self.records and not self.particles:
            lines.append("no particle was found: lower the confidence, or look at the pictures")
        unscaled = [record.picture for record in self.records if not record.row["um_per_px"]]
        if self.figures and unscaled:
            left = "their calibrated columns are empty" if self.unit else "all stays in pixels"
            lines.append(
                f"{counted(len(unscaled), 'picture has', 'pictures have')} no scale, such as "
                f"{unscaled[0]}: {left} (column flags)"
            )
        lines += [line for one in self.figures for line in one.lines()]
        if self.figures and self.errors_by_size:
            lines.append(self.errors_by_size)
        tables = [PARTICLES, PICTURES, *([FIGURES] if self.figures else [])]
        lines.append("wrote " + ", ".join(f"{self.out / name}.csv" for name in tables))
        if self.report is not None:
            lines.append(f"open {self.report}")
        return lines

    def warnings(self) -> list[str]:
        """What is wrong with outlines or pictures, in lines for stderr; empty where nothing is."""
        if not self.failed:
            return [*self.problems]
        listed = [f"  {name}: {why}" for name, why in list(self.failed.items())[:_NAMED]]
        more = len(self.failed) - len(listed)
        total = len(self.failed) + len(self.records)
        return [
            *self.problems,
            f"{len(self.failed)} of {total} pictures failed, see {self.out / PICTURES}.csv:",
            *listed,
            *([f"  ... and {more} more"] if more else []),
        ]


def run_measure(
    plan: MeasurePlan,
    progress: Progress = lambda done, total: None,
    tell: Tell = lambda line: None,
    machine: Machine | None = None,
) -> MeasureResult:
    """Search and measure what is not yet done, and write the tables of all.

    Args:
        plan: The plan.
        progress: Told how many of how many pictures are done.
        tell: Told a line at the beginning, where it is known how long it takes, and one when the
            first picture is done.
        machine: Processors to use; default: this machine's.

    Raises:
        MeasureError: The models cannot be loaded.
        ClusterError: Ray cannot be started.
        FolderError: Another process is writing the folder.
    """
    folder = plan.folder
    with locked(plan.out):
        plan.out.mkdir(exist_ok=True, parents=True)
        about = _about(plan)
        write_json(plan.out / SETTINGS, {"settings": plan.of_a_picture(), "about": about})
        folder.begin()
        before = plan.done()
        found, failed = _run(plan, before, progress, tell, machine or this_machine())
        records: dict[Micrograph, PictureRecord] = {}
        for picture in plan.pictures:
            if (record := found.get(picture)) is not None:
                records[picture] = record
            else:
                failed.setdefault(picture, _LOST)
        done = DonePictures(folder, records, plan.settings)
        unit = _write_tables(plan, done, failed, about)
        figures = _write_figures(plan, done, unit)
        report = write_page(done, failed, figures, unit, about) if plan.figures else None
        if report is None:
            (plan.out / REPORT).unlink(missing_ok=True)  # of a measurement before
    return MeasureResult(
        out=plan.out,
        records=list(records.values()),
        failed={picture.name: why for picture, why in failed.items()},
        before=len(before),
        unit=unit,
        figures=figures,
        report=report,
        errors_by_size=shift_line(plan.models),
        problems=plan.outlines.problems if plan.outlines is not None else (),
        complete=plan.outlines is None or plan.outlines.complete,
    )


def _write_tables(
    plan: MeasurePlan,
    done: DonePictures,
    failed: Mapping[Micrograph, str],
    about: Mapping[str, Any],
) -> str:
    """Write the tables of particles and pictures; returns the unit of the calibrated columns."""
    unit = unit_of(done)
    write_particles(done, unit, about)
    write_pictures(done, plan.pictures, failed)
    if "coco" in plan.settings.write:
        write_instances(done, classes_of(done), about)
    else:
        (plan.out / COCO).unlink(missing_ok=True)
    return unit


def _write_figures(plan: MeasurePlan, done: DonePictures, unit: str) -> list[ClassFigures]:
    """Write the table of figures where they are asked for; returns them."""
    figures = run_figures(done, unit, plan.models) if plan.figures else []
    rows = [row for one in figures for row in one.rows()]
    if rows:
        write_table(rows, plan.out / f"{FIGURES}.csv")
    else:
        (plan.out / f"{FIGURES}.csv").unlink(missing_ok=True)  # of an earlier run
    return figures


def _about(plan: MeasurePlan) -> dict[str, Any]:
    """What stands in every file about the run: versions, models, settings."""
    given = plan.outlines
    return {
        "segtune": version("segtune"),
        "models": [
            {
                "name": model.name,
                "engine": model.engine,
                "origin": model.origin,
                "data_fingerprint": model.fingerprint,
            }
            for model in plan.models
        ],
        "outlines": None if given is None else {"folder": str(given.folder), "format": given.form},
        "settings": plan.settings.model_dump(mode="json"),
        "records": plan.of_a_picture(),
    }


def _run(
    plan: MeasurePlan,
    before: Sequence[Micrograph],
    progress: Progress,
    tell: Tell,
    machine: Machine,
) -> tuple[dict[Micrograph, PictureRecord], dict[Micrograph, str]]:
    """Search and measure what is not yet done on Ray.

    Returns:
        Records of the pictures that are done, by this run or an earlier one; and the reasons of
        those that failed.
    """
    folder, known = plan.folder, frozenset(before)
    records = {p: record for p in before if (record := folder.record(p)) is not None}
    rest = [n for n, picture in enumerate(plan.pictures) if picture not in known]
    failed: dict[Micrograph, str] = {}
    if not rest:
        return records, failed
    for number in rest:
        folder.remove(plan.pictures[number])  # of an earlier run, which this one replaces
    live, started = LiveTable(plan.out, list(records.values())), time.monotonic()
    for remark in plan.remarks():
        tell(remark)
    if seconds := plan.seconds(len(rest)):
        tell(f"{counted(len(rest), 'picture')} to do: {seconds}")
    first = True
    for n, done in enumerate(_passed(plan, rest, machine), start=1):
        picture = plan.pictures[done.number]
        record = None if done.reason else folder.record(picture)
        if record is not None:
            records[picture] = record
        else:
            failed[picture] = done.reason or _LOST
        live.add(picture.name, record, failed.get(picture, ""))
        if record is not None and first:
            tell(first_words(record))
            first = False
        progress(n, len(rest))
    remember_pace(plan.out, plan.kind(), (time.monotonic() - started) / len(rest))
    return records, failed


def _passed(plan: MeasurePlan, numbers: list[int], machine: Machine) -> Iterator[Passed]:
    """Bring pictures through all stages on Ray, and tell of each as it is done.

    Raises:
        MeasureError: The models cannot be loaded.
    """
    shares = shared_out(plan.device, plan.gpus, machine)
    stages = Stages(
        PictureReader(plan.pictures, plan.wishes),
        _searcher(plan, shares),
        PictureMeasurer(plan.pictures, plan.folder, plan.settings, plan.of_each()),
    )
    workers = shares.workers
    with _only_gpu(plan.device, plan.gpus), _ray(shares.ray_cpus, plan.gpus, plan.out / LOG):
        try:
            yield from passed(numbers, stages, workers)
        except NoSearcherError as error:
            raise MeasureError(str(error)) from None


def _searcher(plan: MeasurePlan, shares: SharedOut) -> Callable[[], Searcher]:
    """Maker of what searches: models, or outlines that are given."""
    if plan.outlines is not None:
        given = plan.outlines
        return partial(OutlineSearcher, plan.pictures, given.of_each, given.classes)
    return partial(
        PictureSearcher, plan.pictures, plan.models, shares.device, plan.settings, shares.at_once
    )


@contextlib.contextmanager
def _only_gpu(device: Device, gpus: int) -> Iterator[None]:
    """Where one GPU of several is asked for, what is started in the block sees no other."""
    _, _, index = device.name.partition(":")
    if gpus != 1 or not index:
        yield
        return
    seen = visible_gpus(os.environ)
    before = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = index if seen is None else seen[int(index)]
    try:
        yield
    finally:
        os.environ.pop(_VISIBLE)
        if before is not None:
            os.environ[_VISIBLE] = before


@contextlib.contextmanager
def _ray(cpus: int, gpus: int, log_file: Path) -> Iterator[None]:
    """A Ray to run on; one that was started here ends with the block, and talks to a file."""
    import ray.data  # put off: slow to import, and what is done needs none

    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray.data").handlers = []  # else its words go to the screen
    with _stderr_into(log_file):
        start_ray(cpus, gpus)
        try:
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _stderr_into(path: Path) -> Iterator[None]:
    """What libraries write to the file descriptor of stderr goes to a file; `sys.stderr` stays.

    Ray's core writes there whatever its logging is told.
    """
    before = sys.stderr
    before.flush()
    kept = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        with os.fdopen(os.dup(kept), "w", buffering=1) as screen:
            sys.stderr = screen if _is_descriptor(before) else before
            try:
                yield
            finally:
                sys.stderr = before
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _is_descriptor(stream: Any) -> bool:
    """Whether a stream writes to the file descriptor of stderr, and not to a test's memory."""
    try:
        return bool(stream.fileno() == 2)
    except (AttributeError, OSError, ValueError):
        return False
