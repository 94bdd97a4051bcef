"""A study's best model as an ONNX file in 8 bits.

::

    int8/model.onnx       the network, in its metadata what its outputs mean and how it was made
    int8/labels.txt       class names, one a line: the first one is category 1
    int8/card.json        the metadata, and the figures before and after
    int8/summary.md       both for people
    int8/comparison.png   what both find in the same pictures, beside each other

The file in float that it is made of is written first, and must find what the model finds
(`analysis.models.onnx`). The ranges of activations are seen in pictures of the training part. Both
files are measured on the validation part; nothing is written where F1 falls by more than is
allowed.
"""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from analysis.errors import ExportError
from analysis.evaluation.plan import EvaluationPlan, Wishes, plan_evaluation
from analysis.int8.comparison import MAX_LOSS, Comparison, Figures
from analysis.int8.figures import main_group, validation_metrics
from analysis.int8.speed import alone, rates, this_cpu, whole
from analysis.models.agreement import View, views
from analysis.models.device import chosen_device
from analysis.models.export import best_of, data_at_hand
from analysis.models.onnx import (
    CARD,
    LABELS,
    SUMMARY,
    Progress,
    check_replaceable,
    validation_views,
    write_file,
)
from analysis.models.side_by_side import draw_side_by_side
from trainables.contract import Device, Picker
from trainables.datasets.prepared import PreparedDataset, check_pictures
from trainables.datasets.records import ImageRecord
from trainables.files.whole import locked, new_folder, write_json, write_text
from trainables.graphs.int8 import write_int8
from trainables.metrics.names import PARTICLE_GROUP
from trainables.onnx.load import load_onnx
from trainables.onnx.manifest import MODEL_ONNX, Manifest, Quantisation
from trainables.onnx.session import manifest_of
from trainables.onnx.stamping import stamp_file
from tune.best.configuration import BestConfig
from tune.directory.reader import StudyDir

log = logging.getLogger(__name__)

INT8_FOLDER: Final = "int8"

SHEET: Final = "comparison.png"

TITLES: Final = ("float", "int8")

CALIBRATED_ON: Final = 64
"""Most training pictures that ranges are taken from."""

TIMED: Final = 5
"""Most validation pictures that speed is measured on."""


def export_int8(
    study: StudyDir,
    to: Path | None = None,
    pictures: Sequence[View] = (),
    progress: Progress = lambda doing: None,
    max_loss: float = MAX_LOSS,
) -> Path:
    """Write the best trial's model as an ONNX file in 8 bits; returns the folder.

    Args:
        study: Finished or not.
        to: Folder to write; `int8/` of the study directory by default.
        pictures: Pictures to compare the file in float with the model on; default: of the
            validation part.
        progress: Told what is being done.
        max_loss: By how much F1 may fall on the validation part.

    Raises:
        ExportError: As for `export_onnx`; or the study's data are not at hand, or F1 falls by more.
        OnnxError: A package is missing.
        DatasetError: The data's pictures were changed.
        FolderError: The folder cannot be written, or another process is writing it.
    """
    config, model = best_of(study)
    place = (to or study.path / INT8_FOLDER).absolute()
    check_replaceable(place)
    data, images = _training_pictures(config)
    shown = list(pictures) or validation_views(config)
    with locked(place):
        check_replaceable(place)
        with new_folder(place) as new:
            source = new / "float"
            source.mkdir()
            write_file(config, model, source, shown, progress)
            file = _quantised(source / MODEL_ONNX, new / MODEL_ONNX, data, images, progress)
            comparison = _compared(source / MODEL_ONNX, file, data, progress)
            if problem := comparison.problem(max_loss):
                raise ExportError(f"{config.source}: {problem}")
            _write_beside(file, source / MODEL_ONNX, comparison, shown)
            shutil.rmtree(source)
    for line in comparison.lines():
        log.info("%s", line)
    return place


def _training_pictures(config: BestConfig) -> tuple[PreparedDataset, list[ImageRecord]]:
    """The data set that a model was trained on, and training pictures spread over all of them.

    Raises:
        ExportError: The data set is not at hand, or lacks training or validation pictures.
        DatasetError: A picture was changed.
    """
    data = data_at_hand(config, pictures=True)
    if data is None:
        raise ExportError(
            f"--int8: {config.source}: expected the study's data set, whose training pictures give "
            f"the ranges of activations, got none with fingerprint {config.data.fingerprint[:12]} "
            f"at {config.data.path}; put it there"
        )
    counts = data.counts()
    if not counts["train"] or not counts["val"]:
        there = ", ".join(f"{split} {n}" for split, n in counts.items())
        raise ExportError(
            f"--int8: {data.root}: expected training pictures for the ranges of activations and "
            f"validation pictures for the figures before and after, got {there}"
        )
    every = sorted(data.images("train"), key=lambda image: image.id)
    n = min(CALIBRATED_ON, len(every))
    images = [every[k * len(every) // n] for k in range(n)]
    check_pictures(data, images)
    return data, images


def _quantised(
    source: Path,
    file: Path,
    data: PreparedDataset,
    images: Sequence[ImageRecord],
    progress: Progress,
) -> Path:
    predictor = load_onnx(source, Device("cpu"))
    began = time.monotonic()

    def inputs() -> Iterator[dict[str, Any]]:
        for done, image in enumerate(images):
            left = (time.monotonic() - began) / done * (len(images) - done) if done else None
            told = "" if left is None else f", {left:.0f} s left"
            progress(f"calibrating, picture {done + 1} of {len(images)}{told}")
            yield from predictor.inputs(data.read(image))
        progress("writing integers")

    layers = write_int8(source, file, inputs())
    if not layers.inner:
        raise ExportError(
            "--int8: expected a network of several layers, got one of predictors alone, which stay "
            "in float"
        )
    how = Quantisation(
        pictures=tuple(image.path.name for image in images),
        layers=len(layers.inner),
        float_layers=layers.predictors,
        float_sha256=_sha256(source),
    )
    stamp_file(file, manifest_of(source).model_copy(update={"quantisation": how}))
    return file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compared(source: Path, file: Path, data: PreparedDataset, progress: Progress) -> Comparison:
    """Measure both files, and put its own metrics into the one in int8."""
    wishes = Wishes(split="val", device=Device("cpu", cpus=chosen_device("cpu").cpus))
    plan = plan_evaluation(source, data.root, file.parent / "none", wishes)

    def telling(doing: str) -> Callable[[int, int], object]:
        return lambda done, total: progress(f"{doing} {done} of {total}")

    timed, both = _spread(plan), (source, file)
    metrics = [
        validation_metrics(
            plan, load_onnx(path, plan.device), telling(f"measuring {name}, picture")
        )
        for path, name in zip(both, TITLES, strict=True)
    ]
    group = main_group(plan)
    own = {"metrics": metrics[1], "confidence": metrics[1][f"{group}/confidence"]}
    stamp_file(file, manifest_of(file).model_copy(update=own))
    finds = [
        *(alone(path, timed) for path in both),
        *(whole(load_onnx(path, Device("cpu", cpus=1)), timed) for path in both),
    ]
    speeds = rates(finds, len(timed), progress=telling("timing both on one core, round"))
    before, after = (
        Figures(path.stat().st_size, speeds[k], speeds[k + 2], metrics[k])
        for k, path in enumerate(both)
    )
    return Comparison(
        before=before,
        after=after,
        f1=f"{group}/F1",
        precision=f"{group}/{'average_precision' if group == PARTICLE_GROUP else 'map50_95'}",
        pictures=len(plan.images),
        timed=len(timed),
        cpu=this_cpu(),
    )


def _spread(plan: EvaluationPlan) -> list[Any]:
    """A few pictures of the part, spread over it."""
    n = min(TIMED, len(plan.images))
    return [plan.data.read(plan.images[k * len(plan.images) // n]) for k in range(n)]


def _write_beside(file: Path, source: Path, comparison: Comparison, shown: Sequence[View]) -> None:
    """Write all that lies beside the file."""
    manifest = manifest_of(file)
    folder, device = file.parent, Device("cpu", cpus=chosen_device("cpu").cpus)
    own, other = load_onnx(source, device), load_onnx(file, device)
    parts = views(shown, maps=isinstance(own, Picker))
    pixels = [part.pixels for part in parts]
    draw_side_by_side(
        parts,
        (own(pixels), other(pixels)),
        (manifest.confidence, manifest.confidence),
        len(manifest.classes),
        folder / SHEET,
        titles=TITLES,
    )
    write_text(folder / LABELS, "".join(f"{name}\n" for name in manifest.classes))
    card = {"model": manifest.model_dump(mode="json"), "comparison": comparison.plain()}
    write_json(folder / CARD, card)
    write_text(folder / SUMMARY, _summary(manifest, comparison))


def _summary(manifest: Manifest, comparison: Comparison) -> str:
    """What a file is and what it lost, in Markdown."""
    how = manifest.quantisation
    assert how is not None
    return "\n".join(
        (
            f"# {manifest.name}: {manifest.engine} as ONNX in int8",
            "",
            f"From {manifest.origin}. {how.layers} layers are in 8 bits ({how.method}), by "
            f"{len(how.pictures)} training pictures; in float are the predictors "
            f"({', '.join(f'`{name}`' for name in how.float_layers)}) and all that follows them.",
            "",
            "| | float | int8 | |",
            "| --- | --- | --- | --- |",
            *(f"| {' | '.join(row)} |" for row in comparison.rows()),
            "",
            f"{comparison.told[:1].upper()}{comparison.told[1:]}. A processor without instructions "
            "for 8-bit integers gains less. It is used as the file in float is: `segtune predict "
            f"PICTURES --model model.onnx --out FOLDER`. `{SHEET}` shows what both find.",
            "",
        )
    )
