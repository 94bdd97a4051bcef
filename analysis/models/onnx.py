"""A study's best model as an ONNX file that finds what the model itself finds.

::

    onnx/model.onnx       the network, with what its outputs mean in its metadata
    onnx/labels.txt       class names, one a line: the first one is category 1
    onnx/card.json        the metadata, and how far the file agrees with the model
    onnx/summary.md       both for people
    onnx/agreement.png    what both find in the same pictures, beside each other

Nothing is written unless both agree.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from analysis.errors import ExportError
from analysis.models.agreement import N_VIEWS, Agreement, View, compare, views
from analysis.models.device import chosen_device
from analysis.models.export import best_of, data_at_hand
from analysis.models.side_by_side import draw_side_by_side
from trainables.contract import Device, ExportForm, InfeasibleParams, Picker
from trainables.datasets.prepared import PreparedDataset
from trainables.files.whole import locked, new_folder, write_json, write_text
from trainables.files.words import counted
from trainables.metrics.confidence import confidence_text
from trainables.onnx.load import load_onnx
from trainables.onnx.manifest import Manifest, Particles
from trainables.onnx.session import manifest_of
from trainables.onnx.stamping import stamp_file
from trainables.registry import load_engine
from tune.best.configuration import BestConfig, own_version
from tune.directory.reader import StudyDir

log = logging.getLogger(__name__)

ONNX_FOLDER: Final = "onnx"

CARD: Final = "card.json"

LABELS: Final = "labels.txt"

SUMMARY: Final = "summary.md"

SHEET: Final = "agreement.png"

Progress = Callable[[str], object]
"""Told what is being done as soon as it begins."""


def _silent(doing: str) -> None:
    del doing


def export_onnx(
    study: StudyDir,
    to: Path | None = None,
    pictures: Sequence[View] = (),
    progress: Progress = _silent,
) -> Path:
    """Write the best trial's model as an ONNX file; returns the folder.

    Args:
        study: Finished or not.
        to: Folder to write; `onnx/` of the study directory by default.
        pictures: Pictures to compare the file with the model on; default: of the validation part.
        progress: Told what is being done.

    Raises:
        ExportError: There is no model yet, its engine writes no ONNX, no pictures are at hand, the
            file does not find what the model finds, or `to` holds something else.
        OnnxError: A package is missing.
        FolderError: The folder cannot be written, or another process is writing it.
    """
    config, model = best_of(study)
    place = (to or study.path / ONNX_FOLDER).absolute()
    check_replaceable(place)
    shown = list(pictures) or validation_views(config)
    with locked(place):
        check_replaceable(place)
        with new_folder(place) as new:
            write_file(config, model, new, shown, progress)
    return place


def write_file(
    config: BestConfig,
    model: Path,
    folder: Path,
    shown: Sequence[View],
    progress: Progress = _silent,
) -> Agreement:
    """Write a model as an ONNX file with all that lies beside it, if both agree.

    Args:
        config: Configuration of the model.
        model: File of the model.
        folder: Folder to write into.
        shown: Pictures to compare both on.
        progress: Told what is being done.

    Raises:
        ExportError: The engine writes no ONNX, or the two do not agree.
        OnnxError: A package is missing.
    """
    progress("loading the framework")
    engine = load_engine(config.engine)
    progress("tracing the network")
    try:
        file = engine.export(model, folder, ExportForm.ONNX)
    except InfeasibleParams as error:
        raise ExportError(f"{config.source}: cannot be exported to ONNX: {error}") from error
    manifest = described(manifest_of(file), config)
    stamp_file(file, manifest)
    progress("loading the model and the file")
    device = Device("cpu", cpus=chosen_device("cpu").cpus)
    own, other = engine.load(model, device), load_onnx(file, device)
    parts = views(shown, maps=isinstance(own, Picker))
    agreement = compare(
        own, other, parts, lambda number, total: progress(f"comparing, batch {number} of {total}")
    )
    if agreement.reason:
        raise ExportError(
            f"{config.source}: expected the ONNX file to find what the model finds, got a "
            f"difference, and nothing was written: {agreement.reason}"
        )
    progress("drawing both side by side")
    pixels = [part.pixels for part in parts]
    found = own(pixels), other(pixels)
    sure = (manifest.confidence, manifest.confidence)
    draw_side_by_side(parts, found, sure, len(manifest.classes), folder / SHEET)
    write_text(folder / LABELS, "".join(f"{name}\n" for name in manifest.classes))
    card = {"model": manifest.model_dump(mode="json"), "agreement": agreement.plain()}
    write_json(folder / CARD, card)
    write_text(folder / SUMMARY, summary(manifest, agreement, parts))
    log.info("%s", agreed(agreement))
    return agreement


def described(manifest: Manifest, config: BestConfig) -> Manifest:
    """What a file says of itself, with what the study knows of the model."""
    source = config.source
    trial = "" if source.trial is None else f", trial {source.trial}"
    return manifest.model_copy(
        update={
            "segtune": own_version(),
            "name": source.study,
            "origin": f"study {source.study}{trial}, epoch {config.objective.epoch}",
            "metrics": dict(config.metrics),
            "fingerprint": config.data.fingerprint,
            "val_objects": config.data.val_objects,
            "picture_px": config.data.picture_px,
        }
    )


def validation_views(config: BestConfig) -> list[View]:
    """Pictures of the validation part that a model was chosen by, of as many sizes as it has.

    Raises:
        ExportError: The data set is not at hand.
    """
    data = data_at_hand(config, pictures=True)
    if data is None or not data.images("val"):
        raise ExportError(
            f"{config.source}: expected the study's data set to compare the ONNX file with the "
            f"model on its validation pictures, got none with fingerprint "
            f"{config.data.fingerprint[:12]} at {config.data.path}; put it there, or name pictures "
            "with --pictures"
        )
    return [View(image.path.name, data.read(image)) for image in _spread(data)]


def _spread(data: PreparedDataset) -> list[Any]:
    images = sorted(data.images("val"), key=lambda i: (i.width * i.height, i.width, i.id))
    n = min(N_VIEWS, len(images))
    return [images[k * (len(images) - 1) // max(n - 1, 1)] for k in range(n)]


def check_replaceable(place: Path) -> None:
    """Refuse to write an export over something that is none.

    Raises:
        ExportError: `place` exists and is neither empty nor an earlier export to ONNX.
    """
    if place.is_dir() and (not any(place.iterdir()) or (place / CARD).is_file()):
        return
    if place.exists():
        kind = "a folder with other files" if place.is_dir() else "a file"
        raise ExportError(
            f"{place}: expected a new folder or an earlier export to ONNX, got {kind}; choose "
            "another with --to"
        )


def agreed(agreement: Agreement) -> str:
    """How far a file agrees with its model, in a sentence."""
    where = f"on {counted(agreement.n_pictures, 'picture')} in batches of 1, 2 and 5"
    if agreement.n_replaced:
        where += f" ({counted(agreement.n_replaced, 'batch', 'batches')} a pixel smaller)"
    if agreement.map:
        return f"ONNX Runtime and PyTorch agree {where}: maps to {agreement.map:.1g}"
    masks = f", masks to IoU {agreement.iou:.5f}" if agreement.iou is not None else ""
    return (
        f"ONNX Runtime and PyTorch agree {where}, {counted(agreement.n_finds, 'find')}: boxes to "
        f"{agreement.box_px:.1g} px, scores to {agreement.score:.1g}{masks}"
    )


def summary(manifest: Manifest, agreement: Agreement, parts: Sequence[View]) -> str:
    """What a file is and how it is used, in Markdown."""
    how = _sized(manifest)
    finds = (
        "a map of probabilities, in which segtune finds the particles"
        if isinstance(manifest.finds, Particles)
        else f"up to {manifest.finds.n} instances a picture"
    )
    sizes = ", ".join(f"{v.pixels.shape[1]} x {v.pixels.shape[0]}" for v in parts)
    return "\n".join(
        (
            f"# {manifest.name}: {manifest.engine} as ONNX",
            "",
            f"From {manifest.origin}. It finds {', '.join(manifest.classes)} and gives {finds}; "
            f"finds count from confidence {confidence_text(manifest.confidence)}.",
            "",
            f"Pictures go in {how} ({manifest.normalisation}). `segtune predict PICTURES --model "
            "model.onnx --out FOLDER` does it, without PyTorch.",
            "",
            *_table(manifest.outputs),
            "",
            f"{agreed(agreement)}. Sizes: {sizes} px. `{SHEET}` shows them.",
            "",
        )
    )


def _sized(manifest: Manifest) -> str:
    """How a picture becomes an input."""
    size = manifest.size
    if size.rule == "letterbox":
        return (
            f"scaled to {size.longer_px} px along the longer side, padded with grey {size.fill} to "
            f"multiples of {size.multiple_px}"
        )
    if size.rule == "shortest_edge":
        return (
            f"scaled to {size.shorter_px} px along the shorter side, the longer one to "
            f"{size.longest_px} px at most"
        )
    return "as they are" if size.rule == "whole" else "as they are, larger ones in tiles"


def _table(outputs: Mapping[str, str]) -> list[str]:
    rows = (f"| `{name}` | {meaning} |" for name, meaning in outputs.items())
    return ["| input, outputs | |", "| --- | --- |", *rows]
