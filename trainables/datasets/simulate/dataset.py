"""A folder of simulated micrographs: raw data as a user would have it, and the truth beside it.

Folder::

    images/<name>_<number>.png         or .tif where the spec has 16 bits
    annotations in the form asked for  (see `writers`)
    truth.csv                          one row an object (see `TRUTH_COLUMNS`)
    scale.csv                          one row an image: pixel size and scale bar
    simulation.json                    the spec
"""

import csv
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from search_spaces.names import nearest_name
from trainables.datasets.prepared import DatasetError
from trainables.datasets.simulate.micrograph import render
from trainables.datasets.simulate.spec import SimulationSpec
from trainables.datasets.simulate.truth import SimulatedMicrograph, SimulatedObject
from trainables.datasets.simulate.writers import WRITERS, FormName, write_picture
from trainables.files.cells import csv_cell
from trainables.files.whole import locked, new_folder

GENERATOR: Final = 1
"""Raised whenever the same spec no longer gives the same bytes."""

TRUTH_COLUMNS: Final = {
    "file": "picture, below the folder",
    "label": "1 for the object farthest at the back; its number in the form `masks`",
    "class": "name",
    "form": "disc, ellipse, rod, faceted, agglomerate, ring or pair",
    "x_px": "centroid of the whole shape; the picture's upper left corner is (0, 0)",
    "y_px": "the same, downwards",
    "major_px": "longer axis of the whole shape (rod: length; ring: outer diameter; polygon and "
    "discs: largest extent)",
    "minor_px": "extent across it",
    "angle_deg": "direction of the longer axis, from x towards y (clockwise), 0 to 180",
    "area_px2": "exact area of the whole shape",
    "perimeter_px": "exact length of its outlines, those of holes included",
    "feret_px": "largest distance of two of its points",
    "equivalent_diameter_px": "of a disc of that area",
    "major_um": "as above, in micrometres",
    "minor_um": "",
    "area_um2": "",
    "perimeter_um": "",
    "feret_um": "",
    "equivalent_diameter_um": "",
    "visible_px": "pixels seen",
    "hidden_px": "pixels in the picture that other objects hide",
    "cut": "1 if the border or the data bar cuts it",
    "um_per_px": "pixel size of the picture",
    "visible_rle": "pixels seen as COCO's compressed run lengths",
}

ORIGIN: Final = "simulation.json"
"""What a set was made from; marks a folder as one."""

_SCALE_COLUMNS: Final = (
    "file",
    "bar_text",
    "bar_um",
    "bar_x0",
    "bar_x1",
    "bar_y",
    "bar_px",
    "um_per_px",
)

_T = TypeVar("_T")


def simulate(
    spec: SimulationSpec,
    to: Path,
    *,
    form: FormName = "coco",
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a set of simulated micrographs with its annotations and its truth.

    The folder appears when it is complete.

    Args:
        spec: Description of the set.
        to: Folder to make.
        form: Annotation format.
        force: Whether a simulated set that is there is replaced.
        progress: Told how many images are done, and of how many.

    Returns:
        `to`.

    Raises:
        DatasetError: `form` is unknown, or `to` already holds something.
    """
    if form not in WRITERS:
        hint = nearest_name(str(form), WRITERS)
        raise DatasetError(f"form: expected one of {', '.join(WRITERS)}, got {form!r}{hint}")
    origin = {"generator": GENERATOR, "form": form, "spec": spec.model_dump(mode="json")}
    with locked(to):
        _check_free(to, force=force)
        with new_folder(to) as part:
            _write(spec, part, form, progress)
            (part / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    return to


def _check_free(to: Path, *, force: bool) -> None:
    """Refuse a folder that is not to be replaced.

    Raises:
        DatasetError: It holds a simulated set and may not be replaced, or something else.
    """
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    if not (to / ORIGIN).is_file():
        raise DatasetError(
            f"{to}: expected a folder that is new or empty, got one with other files; choose "
            "another folder"
        )
    if not force:
        raise DatasetError(f"{to}: there is a simulated set here; --force replaces it")


def _write(
    spec: SimulationSpec,
    root: Path,
    form: FormName,
    progress: Callable[[int, int], None] | None,
) -> None:
    (root / "images").mkdir()
    writer = WRITERS[form](root, tuple(item.name for item in spec.classes))
    truth, scale = [], []
    for index in range(spec.images):
        image = render(spec, index)
        file = root / "images" / f"{image.name}{'.png' if spec.bits == 8 else '.tif'}"
        write_picture(file, image.image)
        writer.add(image, file)
        name = file.relative_to(root).as_posix()
        truth += [truth_row(spec, image, item, name) for item in image.objects]
        scale.append(_scale_row(image, name))
        if progress:
            progress(index + 1, spec.images)
    writer.finish()
    _write_table(root / "truth.csv", tuple(TRUTH_COLUMNS), truth)
    _write_table(root / "scale.csv", _SCALE_COLUMNS, scale)


def truth_row(
    spec: SimulationSpec, image: SimulatedMicrograph, item: SimulatedObject, file: str
) -> dict[str, Any]:
    """Facts of an object by column of `truth.csv`."""
    shape, um = item.shape, image.um_per_px
    lengths = {
        "major": shape.axes.major_px,
        "minor": shape.axes.minor_px,
        "perimeter": shape.perimeter_px,
        "feret": shape.feret_px,
        "equivalent_diameter": math.sqrt(4 * shape.area_px2 / math.pi),
    }
    return {
        "file": file,
        "label": item.order + 1,
        "class": spec.classes[item.category].name,
        "form": item.kind,
        "x_px": shape.cx,
        "y_px": shape.cy,
        "angle_deg": math.degrees(shape.axes.angle_rad) % 180,
        "area_px2": shape.area_px2,
        "area_um2": shape.area_px2 * um**2,
        **{f"{name}_px": value for name, value in lengths.items()},
        **{f"{name}_um": value * um for name, value in lengths.items()},
        "visible_px": item.visible_px,
        "hidden_px": item.hidden_px,
        "cut": int(item.cut),
        "um_per_px": um,
        "visible_rle": item.rle["counts"].decode("ascii"),
    }


def _scale_row(image: SimulatedMicrograph, file: str) -> dict[str, Any]:
    row: dict[str, Any] = {"file": file, "um_per_px": image.um_per_px}
    if image.bar:
        row |= {
            "bar_text": image.bar.text.replace("\N{MICRO SIGN}", "u"),
            "bar_um": image.bar.um,
            "bar_x0": image.bar.x0,
            "bar_x1": image.bar.x1,
            "bar_y": image.bar.y,
            "bar_px": image.bar.length_px,
        }
    return row


def _write_table(file: Path, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(name, value) for name, value in row.items()})


def _cell(name: str, value: Any) -> Any:
    """A value as its column has it; run-length encodings are data, whatever they begin with."""
    return value if name == "visible_rle" else csv_cell(_short(value))


def _short(value: _T) -> _T | str:
    """Numbers with 12 digits, which hides rounding noise and nothing else."""
    return f"{value:.12g}" if isinstance(value, float) else value
