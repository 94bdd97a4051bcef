"""A picking that was asked for, checked before anything is computed or written."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from analysis.errors import PickError
from analysis.models.device import chosen_device
from analysis.models.find import TrainedModel, find_model
from analysis.pictures.micrographs import Micrograph, find_micrographs
from trainables.contract import Device, Picker, Predictor
from trainables.datasets.particle_size import ANGSTROM_PER_UM, HEADER_TOLERANCE, Length, read_length
from trainables.files.errors import UserError
from trainables.metrics.names import PARTICLE_GROUP
from trainables.registry import engine_info, engines
from tune.best.configuration import confidences_in

SETTINGS: Final = "pick.json"

FORMAT: Final = 3  # 1: masks were of a half, whatever the confidence; 2: data bars were searched

Progress = Callable[[int, int], None]

_T = TypeVar("_T")


@dataclass(frozen=True)
class PickWishes:
    """The options of a picking beside micrographs, model and folder.

    Attributes:
        trainable: Engine of the model, needed where nothing beside its file says so.
        device: As torch names it; None for the first GPU where there is one.
        confidence: Lowest confidence of a pick that counts; None for the validation part's best.
        min_distance: Least distance of two picks, as "30px" or "80A"; None for the model's own.
        pixel_size: Side of a pixel, as "1.77A"; None for what an MRC's header says.
        box_px: Side of the boxes; None for one and a half diameters.
        save_prob: Whether to keep the maps of probabilities.
        overwrite: Whether to pick again what is done.
        progress: Told how many of how many micrographs are done.
    """

    trainable: str | None = None
    device: str | Device | None = None
    confidence: float | None = None
    min_distance: str | None = None
    pixel_size: str | None = None
    box_px: int | None = None
    save_prob: bool = False
    overwrite: bool = False
    progress: Progress = lambda done, total: None


@dataclass(frozen=True)
class PickPlan:
    """The plan of a picking: everything is checked, nothing computed.

    Attributes:
        model: Model to pick with.
        micrographs: Micrographs in the order asked for, at least one.
        out: Folder to write, absolute.
        device: Device to predict on.
        min_distance: Least distance of two picks, or None.
        pixel_size: Side of a pixel, or None.
        wishes: The other options.
    """

    model: TrainedModel
    micrographs: Sequence[Micrograph]
    out: Path
    device: Device
    min_distance: Length | None
    pixel_size: Length | None
    wishes: PickWishes

    def settings(self, confidence: float) -> dict[str, Any]:
        """Values that must be equal for a micrograph that is done to be left as it is."""
        with self.model.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        wishes = self.wishes
        return {
            "format": FORMAT,
            "engine": self.model.engine,
            "model_sha256": digest,
            "confidence": confidence,
            "min_distance": wishes.min_distance,
            "pixel_size": wishes.pixel_size,
            "box_px": wishes.box_px,
            "save_prob": wishes.save_prob,
        }

    def um_per_px(self, header_um: float | None) -> float | None:
        """Pixel size of a micrograph: the given one, else its header's."""
        return self.pixel_size.um if self.pixel_size else header_um

    def min_distance_px(self, um_per_px: float | None) -> float | None:
        """Least distance of two picks in a micrograph; None for the model's own.

        Raises:
            PickError: It was asked for in a unit that needs a pixel size nobody said.
        """
        asked = self.min_distance
        if asked is None or asked.unit == "px":
            return asked.value if asked else None
        if um_per_px is None:
            raise PickError(
                f"--min-distance {asked.text} needs the side of a pixel, which this file does not "
                "say: give --pixel-size, or the distance in px"
            )
        return asked.um / um_per_px


def plan_pick(asked: Sequence[str], model: Path, out: Path, wishes: PickWishes) -> PickPlan:
    """Check the options of a picking, and find model and micrographs; all problems at once.

    Args:
        asked: Files, folders and patterns.
        model: As `find_model` takes it.
        out: Folder to write.
        wishes: The other options.

    Raises:
        PickError: Something of it cannot be.
    """
    problems: list[str] = []

    def checked(read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except UserError as error:
            problems.append(str(error))
            return None

    out = out.absolute()
    micrographs = checked(lambda: find_micrographs(asked, out))
    trained = checked(lambda: _checked_model(model, wishes))
    distance = checked(lambda: _length("--min-distance", wishes.min_distance, "30px or 80A", True))
    pixel_size = checked(lambda: _length("--pixel-size", wishes.pixel_size, "1.77A", False))
    device = checked(lambda: chosen_device(wishes.device))
    checked(lambda: _check_out(out))
    if problems or micrographs is None or trained is None or device is None:
        raise PickError(_listed([line for text in problems for line in text.splitlines()]))
    return PickPlan(trained, micrographs, out, device, distance, pixel_size, wishes)


def validated_confidence(plan: PickPlan, predictor: Predictor) -> tuple[float, str]:
    """The lowest confidence of a pick that counts, and the reason in words.

    Raises:
        PickError: None was asked for, and none lies beside the model.
    """
    if plan.wishes.confidence is not None:
        return plan.wishes.confidence, "as asked for"
    why = "the best on the model's validation part"
    if isinstance(predictor, Picker):
        return predictor.confidence, why
    found = confidences_in(plan.model.metrics)
    if not found:
        raise PickError(
            f"--confidence: expected a number from 0 to 1, as none lies beside {plan.model.path} "
            f"({plan.model.origin}), got none"
        )
    return next(iter(found.values())), why


def check_pixel_size(predictor: Predictor, um_per_px: float | None) -> None:
    """Refuse a micrograph of another magnification than the model knows.

    Raises:
        PickError: Both pixel sizes are known, and are not the same.
    """
    known = predictor.um_per_px if isinstance(predictor, Picker) else None
    if known is None or um_per_px is None or abs(um_per_px / known - 1) <= HEADER_TOLERANCE:
        return
    trained, got = known * ANGSTROM_PER_UM, um_per_px * ANGSTROM_PER_UM
    raise PickError(
        f"expected a pixel size of {trained:.4g} Å, with which the model was trained, got "
        f"{got:.4g} Å: particles look {known / um_per_px:.3g} times as large to it. Scale the "
        "micrographs, or give --pixel-size where the header is wrong"
    )


def _listed(problems: Sequence[str]) -> str:
    """One problem as it is, several as a list."""
    if len(problems) == 1:
        return problems[0]
    return "\n  ".join([f"pick: {len(problems)} problems", *problems])


def _checked_model(path: Path, wishes: PickWishes) -> TrainedModel:
    model = find_model(path, wishes.trainable)
    if wishes.save_prob and PARTICLE_GROUP not in engine_info(model.engine).metrics:
        pickers = [name for name in engines() if PARTICLE_GROUP in engine_info(name).metrics]
        raise PickError(
            f"--save-prob: expected a model that draws maps of probabilities, such as one of "
            f"{' or '.join(pickers)}, got one of {model.engine}, which finds instances; leave it "
            "out"
        )
    return model


def _length(option: str, text: str | None, examples: str, pixels: bool) -> Length | None:
    return None if text is None else read_length(option, text, examples, pixels=pixels)


def _check_out(out: Path) -> None:
    """Refuse a folder that holds something else than earlier picks.

    Raises:
        PickError: It does.
    """
    if not out.exists() or (out.is_dir() and all(f.name.startswith(".") for f in out.iterdir())):
        return  # hidden: what a kill left of the first file, or a file manager
    try:
        json.loads((out / SETTINGS).read_text("utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise PickError(
            f"--out: expected a new folder or one of an earlier `segtune pick`, got {out} with "
            "something else in it; choose another"
        ) from None
