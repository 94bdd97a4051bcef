"""Settings of a measurement, and the file that holds them: measure.yaml."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from analysis.errors import MeasureError
from analysis.finding.settings import FindingSettings
from analysis.measure.geometry.hulls import Feret
from tune.errors import StudyError
from tune.spec import Spec
from tune.study.allowed import validation_problems
from tune.study.file import read_yaml_file
from tune.study.problems import study_error

Written = Literal["labels", "overlays", "coco", "labelme", "rois"]

ALL_WRITTEN: Final[tuple[Written, ...]] = ("labels", "overlays", "coco", "labelme", "rois")

Unit = Literal["auto", "pm", "A", "nm", "um", "mm"]

_Lax = Field(strict=False)


class ScaleSettings(Spec):
    """Where the size of a pixel is known from.

    Attributes:
        source: `auto`: every source is asked, and they must not contradict each other; `none`:
            everything stays in pixels; else that source alone.
        pixel_size: Side of a pixel of all pictures, such as 4.5nm.
        table: CSV file with the pixel size of each picture.
        roi: Part of a picture in which its scale bar is looked for, as x,y,width,height.
    """

    source: Literal["auto", "none", "given", "table", "metadata", "bar"] = "auto"
    pixel_size: str | None = None
    table: Annotated[Path, _Lax] | None = None
    roi: str | None = None


class BorderSettings(Spec):
    """How particles near the edge of a picture count.

    Attributes:
        rule: `weights`: those wholly inside, with Miles-Lantuejoul weights; `guard`: those with
            their middle inside a guard frame; `all`: all, without a correction.
        guard_px: Width of the guard frame, px.
    """

    rule: Literal["weights", "guard", "all"] = "weights"
    guard_px: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _guard_has_a_width(self) -> Self:
        if self.rule == "guard" and not self.guard_px:
            raise ValueError(
                "expected guard_px, half the longest side of a particle or more, with rule guard, "
                "got 0"
            )
        return self


class MeasureSettings(Spec):
    """How pictures are searched and measured; with other settings, other figures come out.

    Attributes:
        finding: How particles are found.
        scale: Where the size of a pixel is known from.
        border: How particles near the edge of a picture count.
        feret: `mean`: lengths are the mean of what the hulls of the pixels' centres and corners
            give, which is right on average; `corner`: of the corners alone, as in ImageJ.
        unit: Unit of the calibrated columns; `auto`: one that suits the particles.
        write: Files a picture beside the tables.
    """

    finding: FindingSettings = FindingSettings()
    scale: ScaleSettings = ScaleSettings()
    border: BorderSettings = BorderSettings()
    feret: Feret = "mean"
    unit: Unit = "auto"
    write: Annotated[tuple[Written, ...], _Lax] = ALL_WRITTEN

    def of_a_picture(self) -> dict[str, Any]:
        """Values that must be equal for a picture that is done to be left as it is."""
        return self.model_dump(mode="json", exclude={"border", "unit"})


def read_measure_settings(path: Path | None, overrides: Sequence[str] = ()) -> MeasureSettings:
    """The settings of a YAML file, with some replaced.

    Args:
        path: The file; None for the settings that are used by default.
        overrides: `key=value`, as for a study: "finding.confidence=0.4".

    Raises:
        MeasureError: There is no such file, or a value is wrong; all problems at once.
    """
    try:
        written = read_yaml_file(path, overrides, "measurement")
        problems = written.problems
        settings = MeasureSettings.model_validate(written.values)
    except StudyError as error:
        raise MeasureError(str(error)) from None
    except ValidationError as error:
        problems = [*written.problems, *validation_problems(error, MeasureSettings)]
    if problems:
        raise MeasureError(str(study_error(written.name, problems, written.places)))
    return settings
