"""Verbs about trained models: export, evaluate, pick."""

from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.evaluation.particles.result import ParticleResult
from analysis.evaluation.plan import N_OVERLAYS, Wishes
from analysis.evaluation.result import EvaluationResult
from analysis.evaluation.run import evaluate_model
from analysis.models.export import export_best
from analysis.picking.plan import PickWishes
from analysis.picking.run import PickResult, pick_micrographs
from trainables.contract import Device
from tune.directory.reader import StudyDir


def export(study_dir: Path | str, to: Path | str | None = None) -> Path:
    """Write the best trial's model and configuration in every form.

    Args:
        study_dir: A study directory, of a study that runs or has ended.
        to: Folder to write; default: `best/` in the study directory.

    Returns:
        The folder.

    Raises:
        StoreError: The study directory cannot be read.
        ExportError: There is no model yet, or `to` holds something else than an export.
        DatasetError: The folder cannot be written, or another process is writing it.
    """
    return export_best(StudyDir.open(Path(study_dir)), None if to is None else Path(to))


def evaluate(  # noqa: PLR0913  the command's options
    model: Path | str,
    data: Path | str,
    out: Path | str | None = None,
    *,
    split: str | None = None,
    trainable: str | None = None,
    device: str | Device | None = None,
    confidence: float | None = None,
    max_det: int | None = None,
    match_radius: float | None = None,
    other_classes: bool = False,
    overlays: int = N_OVERLAYS,
    progress: Callable[[str, int, int], None] | None = None,
) -> EvaluationResult | ParticleResult:
    """Measure a trained model on a part of a prepared data set, and write everything down.

    Args:
        model: A study, an exported or retrained folder, a trial's folder, or a model file.
        data: Folder of a prepared data set.
        out: Folder to write; default: one below `evaluations/`.
        split: train, val, test or all; default: test, or val where there is none.
        trainable: Engine of the model, where nothing beside its file says so.
        device: As torch names it; default: the first GPU where there is one.
        confidence: From which on a find counts; default: the validation part's best.
        max_det: Most predictions of a class in a picture that count; default: all.
        match_radius: Largest distance of a pick from its particle, in particle radii; default: as
            the model was tuned.
        other_classes: Whether the common classes are measured alone where others are there, too.
        overlays: Pictures drawn of the best and of the worst.
        progress: Told of a stage, and how many of how many pictures are done.

    Returns:
        What was measured; of a model that picks particles, by the places of its picks.

    Raises:
        AnalysisError: There is no such model, or it does not go with the data.
        DatasetError: The data set is none or was changed, or the folder cannot be written.
        EngineError: There is no such engine, or its framework is not installed.
        TuneError: The study cannot be read.
    """
    wishes = Wishes(
        split=split,
        trainable=trainable,
        device=device,
        confidence=confidence,
        max_det=max_det,
        other_classes=other_classes,
        match_radius=match_radius,
        overlays=overlays,
        progress=progress or (lambda stage, done, total: None),
    )
    return evaluate_model(Path(model), Path(data), None if out is None else Path(out), wishes)


def pick(  # noqa: PLR0913  the command's options
    micrographs: Path | str | Sequence[Path | str],
    model: Path | str,
    out: Path | str,
    *,
    trainable: str | None = None,
    device: str | Device | None = None,
    confidence: float | None = None,
    min_distance: str | None = None,
    pixel_size: str | None = None,
    box_px: int | None = None,
    save_prob: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PickResult:
    """Pick the particles of micrographs, and write coordinates, masks and a sheet.

    Args:
        micrographs: Files, folders and patterns, one or several.
        model: A study, an exported or retrained folder, a trial's folder, or a model file.
        out: Folder to write; what is done in it already stays as it is.
        trainable: Engine of the model, where nothing beside its file says so.
        device: As torch names it; default: the first GPU where there is one.
        confidence: From which on a pick counts; default: the validation part's best.
        min_distance: Least distance of two picks: "30px", "80A"; default: the model's own.
        pixel_size: Side of a pixel: "1.77A"; default: an MRC's header.
        box_px: Side of the EMAN boxes; default: one and a half diameters.
        save_prob: Whether the maps of probabilities are kept.
        overwrite: Whether what is done is picked again.
        progress: Told how many of how many micrographs are done.

    Returns:
        What came out, and which micrographs failed and why.

    Raises:
        PickError: There is nothing to pick, or model and wishes do not go together.
        AnalysisError: There is no such model.
        DatasetError: Another process is writing the folder.
        EngineError: There is no such engine, or its framework is not installed.
    """
    several = [micrographs] if isinstance(micrographs, Path | str) else micrographs
    wishes = PickWishes(
        trainable=trainable,
        device=device,
        confidence=confidence,
        min_distance=min_distance,
        pixel_size=pixel_size,
        box_px=box_px,
        save_prob=save_prob,
        overwrite=overwrite,
        progress=progress or (lambda done, total: None),
    )
    return pick_micrographs([str(place) for place in several], Path(model), Path(out), wishes)
