"""A trained model measured on a data set."""

from collections.abc import Callable
from pathlib import Path

from analysis.evaluation.particles.result import ParticleResult
from analysis.evaluation.plan import N_OVERLAYS, Wishes
from analysis.evaluation.result import EvaluationResult
from analysis.evaluation.run import evaluate_model
from trainables.contract import Device


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
        data: A prepared data set: its folder, or gs://BUCKET/FOLDER.
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
    return evaluate_model(Path(model), data, None if out is None else Path(out), wishes)
