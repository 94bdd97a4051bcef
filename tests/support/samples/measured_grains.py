"""Pictures of bright grains whose pixels are known, a model that finds them, and their measurement.

The model is the third party's engine with the threshold engine's one number: what is bright is a
grain, and how bright it is, is its score.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tifffile
from pycocotools import mask as rle

from analysis.measure.job.folder import PictureRecord
from analysis.measure.job.searching import PictureSearcher
from analysis.measure.job.stages import PictureMeasurer, PictureReader
from analysis.measure.plan import MeasurePlan, plan_measure
from analysis.measure.settings import MeasureSettings
from analysis.measure.tables import DonePictures
from analysis.pictures.micrographs import Micrograph
from trainables.contract import Device
from trainables.datasets import geometry

CPU: Final = Device("cpu", cpus=1)

HEIGHT, WIDTH = 120, 160

LARGE, SMALL, CUT = (100.0, 60.0, 15.0), (40.0, 40.0, 10.0), (5.0, 100.0, 12.0)
"""x, y and radius of the grains of a picture; the last is cut by its left border."""

LARGE_LEVELS: Final = 20_000, 30_000
"""Grey values of the left and of the right half of the large grain."""

CUT_LEVEL, SMALL_LEVEL, GROUND = 22_000, 18_000, 1_000


def mask_of(grain: tuple[float, float, float]) -> npt.NDArray[np.bool_]:
    """The pixels (H, W) of a grain."""
    mask: npt.NDArray[np.bool_] = rle.decode(geometry.disc(*grain, WIDTH, HEIGHT)).astype(bool)
    return mask


def grains_picture() -> npt.NDArray[np.uint16]:
    """A picture of 16 bits with the three grains."""
    picture = np.full((HEIGHT, WIDTH), GROUND, np.uint16)
    large = mask_of(LARGE)
    picture[large] = LARGE_LEVELS[0]
    picture[:, 100:][large[:, 100:]] = LARGE_LEVELS[1]
    picture[mask_of(SMALL)] = SMALL_LEVEL
    picture[mask_of(CUT)] = CUT_LEVEL
    return picture


def empty_picture() -> npt.NDArray[np.uint16]:
    """A picture of 16 bits with single bright pixels, which are too small to be grains."""
    picture = np.full((HEIGHT, WIDTH), GROUND, np.uint16)
    picture[::5, ::5] = 30_000
    return picture


def write_picture(path: Path, pixels: npt.NDArray[Any], nm_per_px: float | None = None) -> Path:
    """Write a TIFF; with a pixel size as ImageJ says it, where there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if nm_per_px is None:
        tifffile.imwrite(path, pixels)
    else:
        per_um = 1000 / nm_per_px
        tifffile.imwrite(
            path, pixels, imagej=True, resolution=(per_um, per_um), metadata={"unit": "um"}
        )
    return path


def write_model(folder: Path, classes: Sequence[str] = ("grain",), threshold: float = 0.4) -> Path:
    """Write a model of the threshold engine."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.pt"
    content = {"threshold": threshold, "min_area": 9, "classes": list(classes)}
    path.write_text(json.dumps(content))
    return path


def settings_of(**values: Any) -> MeasureSettings:
    """Settings with a confidence, as no best one of the model is on record."""
    finding = {"confidence": 0.1, **values.pop("finding", {})}
    return MeasureSettings.model_validate({"finding": finding, **values})


def planned(pictures: Sequence[Path | str], model: Path, out: Path, **values: Any) -> MeasurePlan:
    """The plan of a measurement with the threshold engine."""
    return plan_measure(
        [str(path) for path in pictures],
        [model],
        out,
        settings_of(**values),
        trainable="threshold",
        device=CPU,
    )


def measured_here(plan: MeasurePlan) -> DonePictures:
    """The pictures of a plan through all stages, in this process and without Ray."""
    folder = plan.folder
    folder.begin()
    read = PictureReader(plan.pictures, plan.wishes)
    search = PictureSearcher(plan.pictures, plan.models, plan.device, plan.settings)
    measure = PictureMeasurer(plan.pictures, folder, plan.settings, plan.of_each())
    records: dict[Micrograph, PictureRecord] = {}
    for number, picture in enumerate(plan.pictures):
        known = read(number)
        measure(number, known, search([number], [known])[0])
        record = folder.record(picture)
        assert record is not None
        records[picture] = record
    return DonePictures(folder, records, plan.settings)
