"""The page of an evaluation: one small file that loads nothing and needs no script."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from analysis.evaluation.coco import COCO_NAMES
from analysis.evaluation.result import (
    OVERLAYS,
    PAGE,
    EvaluationResult,
    Ranked,
    counted,
    drawn_pictures,
)
from analysis.pages.environment import page_environment
from analysis.pages.pictures import Picture, data_uri
from trainables.files.whole import write_text
from trainables.metrics.confidence import confidence_text
from trainables.metrics.names import GROUPS, MEASURE, shift_of_size, shifts_by_size
from trainables.metrics.overlays.instances import caption

_CURVES: Final = {
    "MaskPR_curve.png": "Masks: precision over recall",
    "MaskF1_curve.png": "Masks: F1 over confidence",
    "BoxPR_curve.png": "Boxes: precision over recall",
    "BoxF1_curve.png": "Boxes: F1 over confidence",
}

_CONFUSION: Final = {
    "confusion_matrix.png": "Objects",
    "confusion_matrix_normalized.png": "Fractions of the true objects of a class",
}

_COCO_WORDS: Final = {
    "AP": "mean over IoU 0.50 to 0.95",
    "AP50": "at IoU 0.5",
    "AP75": "at IoU 0.75",
    "APs": "small objects, below 32 x 32 px",
    "APm": "medium ones",
    "APl": "large ones, from 96 x 96 px",
    "AR1": "recall with the best prediction of a class in a picture",
    "AR10": "with the best 10",
    "AR100": "with the best 100",
    "ARmax": "with all that count",
    "ARs": "with all that count, of small objects",
    "ARm": "of medium ones",
    "ARl": "of large ones",
}

_MEASURE_WORDS: Final = {
    "count_error": "objects counted wrongly in a picture, as a share of all",
    "diameter_bias": "relative error of the mean equivalent diameter",
    "size_distance": "Wasserstein distance of the diameters, relative to their mean",
    "diameter_shift": "the error of the mean diameter of all finds, below 0 too small",
}


def measure_words(measurement: Mapping[str, float]) -> dict[str, str]:
    """What each measurement error is, by its name; none is left without a word.

    >>> measure_words({"diameter_shift_8_to_16px": 0.1})
    {'diameter_shift_8_to_16px': 'that of the found ones alone whose true diameter is 8 to 16 px'}
    """
    low_ends = shifts_by_size({f"{MEASURE}/{name}": value for name, value in measurement.items()})
    of_size = {
        shift_of_size(low).removeprefix(f"{MEASURE}/"): (
            f"that of the found ones alone whose true diameter is {low} to {2 * low} px"
        )
        for low in low_ends
    }
    return {name: {**_MEASURE_WORDS, **of_size}[name] for name in measurement}


def write_page(result: EvaluationResult, folder: Path) -> Path:
    """Write `evaluation.html`.

    Args:
        result: Result that the page shows.
        folder: Folder to write into; holds the curves, matrices and overlays.
    """
    return write_html(
        PAGE,
        folder,
        r=result,
        seconds=result.seconds,
        groups=GROUPS,
        coco_names=COCO_NAMES,
        coco_words=_COCO_WORDS,
        measure_words=measure_words(result.measurement),
        curves=pictures_of(folder, _CURVES),
        confusion=pictures_of(folder, _CONFUSION),
        overlays=overlays_of(result, folder),
    )


def write_html(template: str, folder: Path, **values: Any) -> Path:
    """Write `evaluation.html`.

    Args:
        template: File name of the template.
        folder: Folder to write into.
        values: Values for the template.
    """
    environment = page_environment()
    environment.filters |= {"metric": metric, "counted": counted, "confidence": confidence_text}
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = environment.get_template(template).render(**values, written=written)
    write_text(folder / PAGE, text)
    return folder / PAGE


def metric(value: float | None) -> str:
    """A figure as a table shows it.

    >>> metric(0.69620033), metric(None)
    ('0.6962', '-')
    """
    return "-" if value is None else f"{value:.4f}"


def pictures_of(folder: Path, titles: Mapping[str, str]) -> list[Picture]:
    """The pictures of these names that lie in a folder, with their titles."""
    return [
        Picture(title, title, data_uri(folder / name))
        for name, title in titles.items()
        if (folder / name).is_file()
    ]


def overlays_of(result: Ranked, folder: Path) -> dict[str, list[Picture]]:
    """Overlays by place, "worst" and "best", each with its picture's caption."""
    found: dict[str, list[Picture]] = {"worst": [], "best": []}
    for drawn in drawn_pictures(result):
        words = caption(drawn.image, drawn.score)
        uri = data_uri(folder / OVERLAYS / drawn.file, photo=True)
        found[drawn.place].append(Picture(words, f"Truth and prediction of {words}", uri))
    return found
