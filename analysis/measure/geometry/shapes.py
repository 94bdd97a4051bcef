"""The table of shapes of the particles of one picture, in pixels."""

from __future__ import annotations

import math

import numpy as np

from analysis.measure.geometry.columns import SHAPES
from analysis.measure.geometry.hulls import Feret, hull_shapes
from analysis.measure.geometry.moments import moment_shapes
from analysis.measure.geometry.neighbours import nearest, overlap_fractions
from analysis.measure.geometry.raster import raster_shapes
from analysis.measure.geometry.runs import Floats, Masks, Rectangle, Runs, runs_of

Table = dict[str, Floats]
"""Name of a column to its (N,) float64 values, NaN where a value is not defined."""


def shape_table(
    rles: Masks,
    *,
    feret: Feret = "mean",
    analysed: Rectangle | None = None,
    size: tuple[int, int] | None = None,
) -> Table:
    """Every shape property of the particles of one picture, in pixels.

    A mask without pixels has area 0 and nothing else.

    Args:
        rles: N masks, all of one picture: COCO run-length encodings, or their runs.
        feret: Hulls of which lengths are taken: "mean" of centres and corners, or "corner" as
            ImageJ does.
        analysed: The part of the picture that was searched; None for all of it. A particle that
            reaches its edge touches the border.
        size: Rows and columns of the picture; needed only where there is no mask.

    Returns:
        A column for each name in `columns.SHAPES`, with N values each.

    Raises:
        ValueError: The masks are of pictures of different sizes, or one is no such encoding.
    """
    runs = runs_of(rles, size)
    found = {
        **raster_shapes(runs),
        **moment_shapes(runs),
        **hull_shapes(runs, feret),
        **_boxes(runs.boxes.astype(np.float64), analysed or (0, 0, runs.width, runs.height)),
        "overlap_fraction": overlap_fractions(runs),
    }
    found |= _derived(found, runs.areas.astype(np.float64))
    found |= _neighbours(found, runs)
    table = {name: runs.spread(values) for name, values in found.items()}
    table["area"] = np.where(np.isnan(table["area"]), 0.0, table["area"])
    return {column.name: table[column.name] for column in SHAPES}


def box_table(boxes: Floats, analysed: Rectangle) -> Table:
    """All that is known of particles whose model gives boxes only: no area, no shape.

    Args:
        boxes: (N, 4) float64, x0 y0 x1 y1 in pixels.
        analysed: The part of the picture that was searched.
    """
    return _boxes(np.asarray(boxes, np.float64).reshape(-1, 4), analysed)


def _boxes(boxes: Floats, analysed: Rectangle) -> Table:
    x0, y0, x1, y1 = boxes.T
    cut = (x0 <= analysed[0]) | (y0 <= analysed[1]) | (x1 >= analysed[2]) | (y1 >= analysed[3])
    return {
        "box_x_px": x0,
        "box_y_px": y0,
        "box_width": x1 - x0,
        "box_height": y1 - y0,
        "touches_border": cut.astype(np.float64),
    }


def _derived(found: Table, area: Floats) -> Table:
    """Quantities that follow from areas and lengths."""
    perimeter = found["perimeter"]
    length, width = found["rectangle_length"], found["rectangle_width"]
    sphericity = 2 * np.sqrt(math.pi * area) / perimeter
    return {
        "area": area,
        "equivalent_diameter": np.sqrt(4 * area / math.pi),
        "aspect_ratio": length / width,
        "roundness": width / length,
        "circularity": sphericity**2,
        "sphericity": sphericity,
        "solidity": area / found["hull_area"],
        "convexity": found["hull_perimeter"] / perimeter,
        "inscribed_diameter": np.minimum(found["inscribed_diameter"], found["feret_min"]),
        "width_mean": area / found["skeleton_length"],
    }


def _neighbours(found: Table, runs: Runs) -> Table:
    distance, which = nearest(found["centroid_x"], found["centroid_y"])
    alone = np.isnan(which)
    index = runs.present[np.where(alone, 0, which).astype(np.int64)]
    return {
        "neighbour_distance": distance,
        "neighbour": np.where(alone, np.nan, index + 1),
    }
