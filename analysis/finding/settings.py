"""Settings of finding: what counts as an instance of a class, and how pictures are searched.

They are checked twice: their own values when they are made, and the classes that they name when
the model is known (`resolve`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, model_validator

from analysis.errors import FindingError
from analysis.finding.overlaps import Floats
from search_spaces.names import nearest_name
from tune.spec import Spec
from tune.study.allowed import validation_problems

Fraction = Annotated[float, Field(ge=0, le=1)]

Overlap = Annotated[float, Field(gt=0, le=1)]

ClassKey = str | int
"""A class by its name, or by its 0-based index in the model's list."""

_Value = TypeVar("_Value")


class ClassSettings(Spec):
    """What counts as an instance of one class; what is left out is as for all classes.

    Attributes:
        confidence: Lowest score that counts.
        iou: Overlap of two instances of the class above which they are one object.
        min_size_px: Least area, px (of boxes: of the box).
        scales: Whether the class is looked for at other scales than the model's own, where these
            are asked for.
    """

    confidence: Fraction | None = None
    iou: Overlap | None = None
    min_size_px: Annotated[int, Field(ge=0)] | None = None
    scales: bool = True


class WindowSettings(Spec):
    """How pictures larger than those of the training are cut.

    Attributes:
        size_px: Side of a window; None for the longer side of the model's training pictures, or no
            windows where nobody knows it.
        overlap: Share of a window that its neighbour shows, too.
    """

    size_px: Annotated[int, Field(ge=32)] | None = None
    overlap: Annotated[float, Field(ge=0, le=0.75)] = 0.125


class PassSettings(Spec):
    """Further searches of the same picture that differ from the first, and when they end.

    Attributes:
        maximum: Most passes; 1 for a single one.
        kinds: How passes differ, in turn: `flip` mirrors the picture, `turn` turns it by quarters,
            `shift` moves the windows, `mask` paints over what was found so far.
        min_total_masks: Instances below which only a pass that adds nothing ends the search.
        min_relative_increase: Share of the instances so far that a pass must add to go on.
        max_consecutive_zero: So many passes in a row that add nothing end the search.
        min_iterations: Passes before the relative increase counts.
    """

    maximum: Annotated[int, Field(ge=1, le=32)] = 1
    kinds: Annotated[
        tuple[Literal["flip", "turn", "shift", "mask"], ...], Field(strict=False, min_length=1)
    ] = ("flip", "turn", "shift", "mask")
    min_total_masks: Annotated[int, Field(ge=0)] = 10
    min_relative_increase: Annotated[float, Field(ge=0)] = 0.25
    max_consecutive_zero: Annotated[int, Field(ge=1)] = 1
    min_iterations: Annotated[int, Field(ge=1)] = 2


class EnsembleSettings(Spec):
    """How the finds of several models become one.

    Attributes:
        scores: `calibrated`: scores are brought to one scale by the confidence at which each model
            was best on its validation part, and the best find of an object stays. `vote`: an object
            counts that enough models found, each at its own best confidence.
        votes: Models that must have found an object; None for more than half of them. For `vote`.
    """

    scores: Literal["calibrated", "vote"] = "calibrated"
    votes: Annotated[int, Field(ge=1)] | None = None


class OverlapRule(Spec):
    """How instances of one class may lie on each other.

    Attributes:
        allow_overlap: Whether they may overlap at will; the limit then counts only below 0.9.
        allow_touch: Whether two may lie side by side without a pixel between them.
        max_iou_threshold: Overlap of two above which the weaker one is removed.
    """

    allow_overlap: bool = False
    allow_touch: bool = True
    max_iou_threshold: Fraction = 0.5


class RuleSettings(Spec):
    """Rules of how instances of classes may lie to each other.

    Attributes:
        enabled: Whether the rules are kept.
        containment_rules: Class to the class in which its instances must lie.
        containment_threshold: Share of an instance that must lie in one instance of that class.
        overlap_rules: Class to the rule for its instances among themselves.
    """

    enabled: bool = True
    containment_rules: dict[ClassKey, ClassKey] = Field(default_factory=dict)
    containment_threshold: Overlap = 0.95
    overlap_rules: dict[ClassKey, OverlapRule] = Field(default_factory=dict)


ADAPTIVE: Final = "adaptive"


class FindingSettings(Spec):
    """How instances are found in a picture.

    Attributes:
        confidence: Lowest score that counts; None for the one at which the model was best on its
            validation part.
        iou: Overlap of two instances of a class above which they are one object.
        min_size_px: Least area, px.
        classes: Settings of single classes by name; they go before those for all.
        across_classes_iou: Overlap above which instances of two classes are one object, of which
            the surer class stays; 1 for never.
        between_searches_iou: Overlap above which finds of two scales, passes or models in one class
            are one object, where `iou` is not lower anyway.
        confidence_by_quality: Whether confidences are lowered in dark pictures of little contrast.
        max_det: Most instances that a model is to report in a window; None for the model's own
            limit.
        windows: How large pictures are cut.
        scales: Scales at which pictures are searched, 1 being the model's own, or `adaptive`.
        passes: Further searches that differ.
        ensemble: How several models become one.
        rules: Rules between classes.
    """

    confidence: Fraction | None = None
    iou: Overlap = 0.5
    min_size_px: Annotated[int, Field(ge=0)] = 0
    classes: dict[ClassKey, ClassSettings] = Field(default_factory=dict)
    across_classes_iou: Overlap = 0.7
    between_searches_iou: Overlap = 0.4
    confidence_by_quality: bool = False
    max_det: Annotated[int, Field(ge=1, le=100_000)] | None = None
    windows: WindowSettings = WindowSettings()
    scales: (
        Literal["adaptive"]
        | Annotated[
            tuple[Annotated[float, Field(ge=0.1, le=10)], ...], Field(strict=False, min_length=1)
        ]
    ) = (1.0,)
    passes: PassSettings = PassSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    rules: RuleSettings = RuleSettings()

    @model_validator(mode="after")
    def _scales_differ(self) -> Self:
        if self.scales != ADAPTIVE and len(set(self.scales)) < len(self.scales):
            raise ValueError(f"expected scales that differ, got {list(self.scales)}")
        return self


def read_settings(content: Mapping[str, Any], where: str = "finding") -> FindingSettings:
    """Settings from plain values, as a file has them.

    Raises:
        FindingError: Something is wrong; the message names every problem.
    """
    try:
        return FindingSettings.model_validate(dict(content))
    except ValidationError as error:
        problems = validation_problems(error, FindingSettings)
        noun = "problem" if len(problems) == 1 else "problems"
        lines = [f"{where}: {len(problems)} {noun}", *(f"  {problem}" for problem in problems)]
        raise FindingError("\n".join(lines)) from error


# --- with the classes of the model


@dataclass(frozen=True)
class ClassLimits:
    """What counts as an instance of each class.

    Attributes:
        confidence: (C,) lowest scores.
        iou: (C, C) overlap above which instances of two classes are one object.
        min_size_px: (C,) least areas, px.
        scaled: (C,) whether the class is looked for at other scales.
    """

    confidence: Floats
    iou: Floats
    min_size_px: Floats
    scaled: npt.NDArray[np.bool_]


def class_limits(
    settings: FindingSettings, classes: Sequence[str], default_confidence: float | None
) -> ClassLimits:
    """The settings of each class.

    Args:
        settings: Settings for all classes and for single ones.
        classes: Class names of the model.
        default_confidence: Confidence where the settings give none; without it, that of such
            classes is NaN.

    Raises:
        FindingError: The settings name a class that the model does not know.
    """
    given = by_index(settings.classes, classes, "finding.classes")
    own = [given.get(i, ClassSettings()) for i in range(len(classes))]
    fallback = np.nan if default_confidence is None else default_confidence
    general = fallback if settings.confidence is None else settings.confidence
    iou = np.full((len(own), len(own)), settings.across_classes_iou)
    np.fill_diagonal(iou, [_either(one.iou, settings.iou) for one in own])
    return ClassLimits(
        np.array([_either(one.confidence, general) for one in own], np.float64),
        iou,
        np.array([_either(one.min_size_px, settings.min_size_px) for one in own], np.float64),
        np.array([one.scales for one in own], np.bool_),
    )


def by_index(
    given: Mapping[ClassKey, _Value], classes: Sequence[str], where: str
) -> dict[int, _Value]:
    """Settings by the 0-based index of their class.

    Raises:
        FindingError: A class is unknown, or named twice.
    """
    found: dict[int, _Value] = {}
    for key, value in given.items():
        index = class_index(key, classes, where)
        if index in found:
            raise FindingError(
                f"{where}: expected each class once, got {classes[index]!r} twice (by name and by "
                "index)"
            )
        found[index] = value
    return found


def class_index(key: ClassKey, classes: Sequence[str], where: str) -> int:
    """The 0-based index of a class that the settings name.

    A number is an index; the same as a text is one, too, unless a class is called so.

    Raises:
        FindingError: The model knows no such class.
    """
    if isinstance(key, str) and key in classes:
        return list(classes).index(key)
    if isinstance(key, int) or key.isdecimal():
        if 0 <= int(key) < len(classes):
            return int(key)
        expected = f"an index from 0 to {len(classes) - 1} or a name: {_listed(classes)}"
        raise FindingError(f"{where}.{key}: expected a class of the model, {expected}, got {key!r}")
    raise FindingError(
        f"{where}.{key}: expected a class of the model, one of {_listed(classes)}, got {key!r}"
        f"{nearest_name(key, classes)}"
    )


def _listed(classes: Iterable[str]) -> str:
    return ", ".join(classes)


def _either(own: float | None, general: float) -> float:
    return general if own is None else own
