"""A study's best model taken out of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from analysis.errors import ExportError
from analysis.int8.comparison import MAX_LOSS
from analysis.int8.export import export_int8
from analysis.models.agreement import View
from analysis.models.export import export_best
from analysis.models.onnx import Progress, export_onnx
from analysis.pictures.micrographs import find_micrographs
from search_spaces.names import nearest_name
from trainables.datasets.images import UnreadableImageError, read_picture
from tune.mirror.opening import results
from tune.verbs.opening import open_study

Form = Literal["native", "onnx"]

FORMS: Final[tuple[str, ...]] = get_args(Form)


def export(  # noqa: PLR0913  the command's options
    study_dir: Path | str,
    to: Path | str | None = None,
    *,
    form: str = "native",
    pictures: Sequence[str] = (),
    int8: bool = False,
    max_loss: float | None = None,
    progress: Progress | None = None,
    download: bool = True,
) -> Path:
    """Write the best trial's model and configuration in every form, or its model as ONNX.

    Args:
        study_dir: A study directory or study file, of a study that runs or has ended.
        to: Folder to write; default: `best/` in the study directory, of an ONNX file `onnx/`, of
            one in 8 bits `int8/`.
        form: `native` for all but ONNX, which is written only if it finds what the model finds.
        pictures: Files, folders and patterns of the pictures on which an ONNX file is compared with
            its model; default: those of the study's validation part.
        int8: Whether the ONNX file is to be in 8 bits.
        max_loss: By how much F1 may fall with `int8` on the validation part; default: 0.02.
        progress: Told what is being done, for ONNX, as it begins.
        download: Whether the mirror of a study that is named by one is asked.

    Returns:
        The folder.

    Raises:
        StoreError: The study directory cannot be read.
        ExportError: There is no model yet, `to` holds something else than an export, or an ONNX
            file cannot be written, does not agree with its model, or loses too much in 8 bits.
        DatasetError: The folder cannot be written, or another process is writing it.
    """
    if form not in FORMS:
        raise ExportError(
            f"--form: expected one of {', '.join(FORMS)}, got {form!r}{nearest_name(form, FORMS)}"
        )
    if form == "native" and (pictures or int8):
        option = "--int8" if int8 else "--pictures"
        raise ExportError(f"{option}: expected --form onnx beside it, got native")
    if max_loss is not None and not int8:
        raise ExportError("--max-loss: expected --int8 beside it, got none")
    if max_loss is not None and not 0 <= max_loss <= 1:
        raise ExportError(f"--max-loss: expected a fall of F1 in 0 to 1, got {max_loss:g}")
    study, place = (
        open_study(study_dir, results, download=download),
        None if to is None else Path(to),
    )
    if form == "native":
        return export_best(study, place)
    told, shown = progress or (lambda doing: None), _views(pictures)
    if int8:
        return export_int8(study, place, shown, told, MAX_LOSS if max_loss is None else max_loss)
    return export_onnx(study, place, shown, told)


def _views(pictures: Sequence[str]) -> list[View]:
    """Pictures that the user named.

    Raises:
        PicturesError: One of them is no picture.
        ExportError: One of them cannot be read.
    """
    found = []
    for picture in find_micrographs(pictures) if pictures else ():
        try:
            pixels = read_picture(picture.path, picture.page).pixels
        except UnreadableImageError as error:
            raise ExportError(f"--pictures: {picture.path} cannot be read: {error}") from error
        colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        found.append(View(picture.name, colour))
    return found
