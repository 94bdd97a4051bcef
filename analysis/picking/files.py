"""Picked particles in files that other programs read, and back.

The conventions are those of `trainables.datasets.coordinates`; `segtune prepare` reads all four:

- `.star`: one table as RELION writes and reads it, rlnCoordinateX, rlnCoordinateY,
  rlnAutopickFigureOfMerit and rlnMicrographName. The name comes last: a row that began with the
  name of a folder such as `data_1` would be taken for a new table.
- `.csv`: micrograph, x, y, confidence.
- `.json`: {"micrograph": [[x, y, confidence], ...]}.
- `.box`: EMAN 1, one file a micrograph, of the micrograph's name: whole numbers, so that a centre
  may move by half a pixel, and no confidence. Rows are counted from the first one of the file,
  whatever kind of picture it is: EMAN does so for MRC files alone.

Every file appears whole or not at all.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Final, Literal

import numpy as np

from trainables.datasets.coordinates import (
    OWN_NAME,
    Coordinates,
    Points,
    coordinates_of_json,
    read_coordinates,
)
from trainables.datasets.prepared import DatasetError
from trainables.files.cells import csv_cell
from trainables.files.whole import new_file
from trainables.results import Picks

PickForm = Literal["star", "csv", "json", "box"]

PicksByMicrograph = Mapping[str, Picks]
"""File name of a micrograph to its picks."""

_DECIMALS: Final = 3

_SCORE_DECIMALS: Final = 6


def write_picks(
    folder: Path, name: str, picks: PicksByMicrograph, form: PickForm, *, box_px: int = 0
) -> list[Path]:
    """Write picks below `folder`; returns the files.

    Args:
        folder: Existing folder.
        name: Name of the file without suffix; not used for `box`, whose files bear the
            micrographs' names.
        picks: Picks of every micrograph, those without a particle included.
        form: Format of the files.
        box_px: Side of the boxes, for `box`: larger than a particle.

    Raises:
        ValueError: Boxes without a side, or two micrographs whose boxes would lie in one file.
    """
    if form == "box":
        return _write_boxes(folder, picks, box_px)
    path = folder / f"{name}.{form}"
    writers: Mapping[str, Callable[[Path, PicksByMicrograph], None]] = {
        "star": _write_star,
        "csv": _write_csv,
        "json": _write_json,
    }
    with new_file(path) as temporary:
        writers[form](temporary, picks)
    return [path]


def read_picks(path: Path) -> dict[str, Picks]:
    """Picks of a file of any of the formats, by micrograph as the file names it.

    A file that names none is about the micrograph of its own name, without suffix. A pick without
    a confidence has 1.

    Raises:
        DatasetError: It cannot be read, holds no coordinates, or a coordinate is no number.
    """
    try:
        found = _read(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    if found is None:
        raise DatasetError(
            f"{path}: expected coordinates as .star, .box, .csv or .json, got something else"
        )
    return {name if name != OWN_NAME else path.stem: _picks(path, p) for name, p in found.items()}


def _read(path: Path) -> Coordinates | None:
    if path.suffix.lower() == ".json":
        return coordinates_of_json(json.loads(path.read_text(encoding="utf-8-sig")))
    if path.suffix.lower() not in (".star", ".box", ".csv"):
        return None
    return read_coordinates(path)


def _picks(path: Path, points: Points) -> Picks:
    scores = np.ones(len(points)) if points.scores is None else points.scores
    wrong = ~np.isfinite(points.centers).all(axis=1) | ~np.isfinite(scores)
    if wrong.any():
        raise DatasetError(
            f"{path}: expected numbers, got something else in row {points.rows[wrong][0]}"
        )
    return Picks(points.centers, scores)


def _rows(picks: PicksByMicrograph) -> Iterator[tuple[str, float, float, float]]:
    for name, found in picks.items():
        centers, scores = found.centers.round(_DECIMALS), found.scores.round(_SCORE_DECIMALS)
        for (x, y), score in zip(centers.tolist(), scores.tolist(), strict=True):
            yield name, x, y, score


def _write_star(path: Path, picks: PicksByMicrograph) -> None:
    import pandas as pd  # not at the top: neither is needed to read other formats
    import starfile  # type: ignore[import-untyped]  # as pandas

    table = pd.DataFrame(
        [(x, y, score, name) for name, x, y, score in _rows(picks)],
        columns=[
            "rlnCoordinateX",
            "rlnCoordinateY",
            "rlnAutopickFigureOfMerit",
            "rlnMicrographName",
        ],
    )
    commenting = any("#" in name for name in picks)  # what follows would be passed over
    starfile.write(table, path, quote_all_strings=commenting)


def _write_csv(path: Path, picks: PicksByMicrograph) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["micrograph", "x", "y", "confidence"])
        writer.writerows((csv_cell(name), *rest) for name, *rest in _rows(picks))


def _write_json(path: Path, picks: PicksByMicrograph) -> None:
    content: dict[str, list[tuple[float, float, float]]] = {name: [] for name in picks}
    for name, x, y, score in _rows(picks):
        content[name].append((x, y, score))
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_boxes(folder: Path, picks: PicksByMicrograph, box_px: int) -> list[Path]:
    paths = {name: folder / f"{PurePath(name).stem}.box" for name in picks}
    if box_px < 1 or len(set(paths.values())) < len(paths):
        raise ValueError(
            f"expected a side of the boxes of at least 1 px and micrographs of different names, "
            f"got {box_px} and {', '.join(picks)}"
        )
    for name, path in paths.items():
        corners = np.rint(picks[name].centers - box_px / 2).astype(int).tolist()
        lines = [f"{x}\t{y}\t{box_px}\t{box_px}\n" for x, y in corners]
        with new_file(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")
    return list(paths.values())
