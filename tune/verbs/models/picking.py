"""A trained model put to work on micrographs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.picking.plan import PickWishes
from analysis.picking.run import PickResult, pick_micrographs
from trainables.contract import Device


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
