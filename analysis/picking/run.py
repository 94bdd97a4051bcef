"""`segtune pick`: a trained model, any number of micrographs, a folder of coordinates.

A micrograph is done when all of its files are there; a second run with the same model and settings
leaves it as it is. One that cannot be picked is remembered with its reason, and the rest goes on.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from analysis.errors import PickError
from analysis.models.find import load_planned
from analysis.picking.finding import Asked, find_in_areas
from analysis.picking.outputs import ALL, FAILED, SHEET, Outputs, Record, box_side
from analysis.picking.plan import (
    SETTINGS,
    PickPlan,
    PickWishes,
    check_pixel_size,
    plan_pick,
    validated_confidence,
)
from analysis.picking.sheet import draw_sheet
from analysis.pictures.micrographs import Micrograph, is_as_it_was, source_of
from analysis.scale.reading import region_of
from analysis.scale.scale import Area
from trainables.contract import Predictor
from trainables.datasets.images import UnreadableImageError, probe, read_picture
from trainables.files.whole import locked, write_json
from trainables.metrics.confidence import confidence_text

log = logging.getLogger(__name__)

_NAMED: Final = 5  # of the failed ones in the message

_T = TypeVar("_T")


@dataclass(frozen=True)
class PickResult:
    """The result of a picking.

    Attributes:
        out: Folder of the run.
        records: Records of the micrographs that are done, in the order asked for.
        failed: Name of a micrograph to the reason why it could not be picked.
        before: Number of micrographs that were done by an earlier run.
        confidence: Lowest confidence of a pick that counts.
        confidence_words: Reason for that confidence.
    """

    out: Path
    records: Sequence[Record]
    failed: Mapping[str, str]
    before: int
    confidence: float
    confidence_words: str

    def lines(self) -> list[str]:
        """The result in lines for the user."""
        counts = [record.picks for record in self.records]
        asked = len(counts) + len(self.failed)
        before = f" ({self.before} of them done before)" if self.before else ""
        middle = f", {median(counts):g} in the median one" if counts else ""
        lines = [
            f"picked {sum(counts)} particles in {len(counts)} of {asked} micrographs{before}"
            f"{middle}, from the confidence {confidence_text(self.confidence)} on "
            f"({self.confidence_words})"
        ]
        if counts and not any(counts):
            lines.append(
                "no particle was found: look at the micrographs beside those of the training, or "
                "lower --confidence"
            )
        cut = sum(record.has_left_out for record in self.records)
        if cut:
            lines.append(
                f"{cut} of them have a data bar, scale bar or frame, where nothing was looked for"
            )
        if counts:
            lines.append(f"wrote {self.out / ALL}.star, .csv, .json, {self.out / SHEET}")
        return lines

    def warnings(self) -> list[str]:
        """The micrographs that failed, in lines for stderr; empty where none did."""
        if not self.failed:
            return []
        listed = [f"  {name}: {why}" for name, why in list(self.failed.items())[:_NAMED]]
        more = len(self.failed) - len(listed)
        total = len(self.failed) + len(self.records)
        return [
            f"{len(self.failed)} of {total} micrographs failed, see {self.out / FAILED}:",
            *listed,
            *([f"  ... and {more} more"] if more else []),
        ]


@dataclass(frozen=True)
class _Read:
    """A micrograph in memory.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8.
        header_um: Pixel size as its header says it, or None.
        source: As `source_of` gives it, before it was read.
        areas: Rectangles of it that show the specimen.
    """

    pixels: npt.NDArray[np.uint8]
    header_um: float | None
    source: Sequence[int | str]
    areas: Sequence[Area]


@dataclass(frozen=True)
class _Picking:
    """A picking with its model in memory."""

    plan: PickPlan
    predictor: Predictor
    outputs: Outputs
    settings: Mapping[str, Any]

    def is_done(self, micrograph: Micrograph) -> bool:
        """Whether an earlier run picked this very file in this very way."""
        record = self.outputs.record(micrograph)
        if record is None or self.plan.wishes.overwrite or record.settings != self.settings:
            return False
        try:
            return is_as_it_was(micrograph, record.source)
        except OSError:
            return False

    def pick(self, micrograph: Micrograph, read: _Read) -> None:
        """Find the particles of a micrograph and write its files.

        Raises:
            PickError: It has another pixel size than the model knows, or one is needed.
        """
        started = time.monotonic()
        um_per_px = self.plan.um_per_px(read.header_um)
        check_pixel_size(self.predictor, um_per_px)
        asked = Asked(self.settings["confidence"], self.plan.min_distance_px(um_per_px))
        height, width = read.pixels.shape[:2]
        with self.outputs.probability(micrograph, (height, width), um_per_px) as map_:
            found = find_in_areas(self.predictor, read.pixels, asked, read.areas, map_)
        scores = found.picks.scores
        record = Record(
            micrograph=micrograph.name,
            settings=self.settings,
            source=read.source,
            width=width,
            height=height,
            um_per_px=None if um_per_px is None else float(f"{um_per_px:.6g}"),
            picks=len(scores),
            median_confidence=round(float(np.median(scores)), 6) if len(scores) else None,
            radius_px=found.radius_px,
            analysed=" ".join(area.text for area in read.areas),
            seconds=round(time.monotonic() - started, 3),
        )
        box_px = self.plan.wishes.box_px or box_side(found.radius_px)
        self.outputs.write(micrograph, found, record, box_px)


def pick_micrographs(
    asked: Sequence[str], model: Path, out: Path, wishes: PickWishes | None = None
) -> PickResult:
    """Pick the particles of micrographs, and write everything down.

    Args:
        asked: Files, folders and patterns.
        model: As `find_model` takes it.
        out: Folder to write.
        wishes: The other options.

    Raises:
        PickError: As for `plan_pick`, or no confidence is known.
        AnalysisError: The engine cannot read the model.
        FolderError: The folder cannot be written, or another process is writing it.
        EngineError: The engine's framework is not installed.
    """
    plan, predictor = load_planned(lambda: plan_pick(asked, model, out, wishes or PickWishes()))
    confidence, words = validated_confidence(plan, predictor)
    outputs = Outputs(plan.out, save_prob=plan.wishes.save_prob)
    picking = _Picking(plan, predictor, outputs, plan.settings(confidence))
    with locked(plan.out):
        plan.out.mkdir(exist_ok=True)
        write_json(plan.out / SETTINGS, {"settings": picking.settings, "model": str(model)})
        outputs.begin()
        before = frozenset(m for m in plan.micrographs if picking.is_done(m))
        rest = [m for m in plan.micrographs if m not in before]
        if rest:
            outputs.remove_together()
        failed = _pick_rest(picking, rest)
        records = {m: outputs.record(m) for m in plan.micrographs if m not in failed}
        done = {m: record for m, record in records.items() if record is not None}
        outputs.write_tables(done, failed)
        if done:
            outputs.write_together(list(done))
            at = f"confidence {confidence_text(confidence)}"
            title = f"{plan.model.name}, {at}: {len(done)} micrographs"
            draw_sheet(outputs, list(done.items()), title, plan.out / SHEET)
    return PickResult(
        out=plan.out,
        records=list(done.values()),
        failed={m.name: reason for m, reason in failed.items()},
        before=len(before),
        confidence=confidence,
        confidence_words=words,
    )


def _pick_rest(picking: _Picking, rest: Sequence[Micrograph]) -> dict[Micrograph, str]:
    """Pick micrographs one after the other; those that cannot be, with the reason."""
    failed: dict[Micrograph, str] = {}
    for n, (micrograph, reading) in enumerate(_ahead(rest, _read), start=1):
        picking.outputs.remove(micrograph)  # of an earlier run, which this one replaces
        try:
            picking.pick(micrograph, reading.result())
        except (PickError, UnreadableImageError) as error:
            failed[micrograph] = str(error)
        except Exception as error:  # whatever it is, the others go on
            failed[micrograph] = f"{type(error).__name__}: {error}"
            log.warning("%s: not expected, left out", micrograph.name, exc_info=True)
        picking.plan.wishes.progress(n, len(rest))
    return failed


def _ahead(
    items: Sequence[Micrograph], read: Callable[[Micrograph], _T]
) -> Iterator[tuple[Micrograph, "Future[_T]"]]:
    """Each item with what is read of it, the next one being read meanwhile."""
    waiting: deque[tuple[Micrograph, Future[_T]]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for item in items:
            waiting.append((item, pool.submit(read, item)))
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting


def _read(micrograph: Micrograph) -> _Read:
    """A micrograph's pixels.

    Raises:
        UnreadableImageError: It cannot be decoded.
    """
    try:
        source = source_of(micrograph)
    except OSError as error:
        raise UnreadableImageError(f"it cannot be read: {error.strerror}") from error
    header = probe(micrograph.path)
    pixels = read_picture(micrograph.path, micrograph.page).pixels
    return _Read(pixels, header.um_per_px, source, region_of(pixels))
