"""Columns of the tables of particles: names, definitions, sources, and how each is calibrated.

This is the one place where a column is defined; docs/measurements.md lists the same texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Column:
    """A quantity of one particle.

    Attributes:
        name: Its name in a table without a scale.
        dimension: Power of length: 1 for lengths, 2 for areas, 0 for numbers without a unit, None
            for what no scale changes, such as grey values, angles and places in the picture.
        definition: What it is, as a sentence.
        source: Where the definition is from.
        aliases: Names that the system replaced gave it, in micrometres.
        unit: Unit of a column of dimension None, which its name ends in where it has one.
    """

    name: str
    dimension: int | None
    definition: str
    source: str
    aliases: tuple[str, ...] = ()
    unit: str = ""

    def titled(self, unit: str) -> str:
        """Name with the unit, as it heads a column: `area_um2`, `feret_max_nm`, `circularity`."""
        power = {1: "", 2: "2"}
        if self.dimension in power:
            return f"{self.name}_{unit}{power[self.dimension]}"
        return self.name

    def unit_in(self, unit: str) -> str:
        """Unit of the column's values where lengths are in `unit`; empty for plain numbers."""
        return {1: unit, 2: f"{unit}^2"}.get(self.dimension or 0, self.unit)


_ISO: Final = "ISO 9276-6:2008"
_IMAGEJ: Final = "ImageJ User Guide, Analyze > Set Measurements"
_SKIMAGE: Final = "scikit-image, regionprops"
_SEED: Final = "deepEMIA's measurements, in their correct form"
_HERE: Final = "defined here"
_HULLS: Final = (
    "by default the mean of what the hull of the pixels' centres and that of their corners give"
)

SHAPES: Final = (
    Column("area", 2, "Number of the mask's pixels.", _ISO, ("Area_um2",)),
    Column(
        "equivalent_diameter",
        1,
        "Diameter of the disc with the mask's area: sqrt(4 area / pi).",
        _ISO,
        ("Circular eq. diameter",),
    ),
    Column(
        "perimeter",
        1,
        "Length of the mask's edges, those of holes included, by Crofton's formula in four "
        "directions.",
        "Rivollier 2010; scikit-image, perimeter_crofton",
        ("Perimeter_um", "Chord length"),
    ),
    Column(
        "feret_max",
        1,
        f"Largest distance of two parallel lines that touch the mask on either side; {_HULLS}.",
        f"{_ISO}; {_IMAGEJ} (there the corners' alone)",
        ("Ferret diameter",),
    ),
    Column(
        "feret_min",
        1,
        f"Least distance of two parallel lines that touch the mask on either side; {_HULLS}.",
        f"{_ISO}; {_IMAGEJ} (there the corners' alone)",
    ),
    Column(
        "feret_angle_deg",
        None,
        "Direction of the largest Feret diameter, from the x axis counter-clockwise as seen on a "
        "screen, 0 to 180.",
        _IMAGEJ,
        unit="deg",
    ),
    Column(
        "rectangle_length",
        1,
        f"Longer side of the rectangle of least area around the mask, at any angle; {_HULLS}.",
        "Freeman and Shapira 1975",
        ("C. Length",),
    ),
    Column(
        "rectangle_width",
        1,
        f"Shorter side of the rectangle of least area around the mask; {_HULLS}.",
        "Freeman and Shapira 1975",
        ("C. Width",),
    ),
    Column(
        "axis_major",
        1,
        "Longer axis of the ellipse with the second moments of the mask's pixels.",
        f"Hu 1962; {_SKIMAGE}",
        ("Major_Axis_um", "Major axis length"),
    ),
    Column(
        "axis_minor",
        1,
        "Shorter axis of the ellipse with the second moments of the mask's pixels.",
        f"Hu 1962; {_SKIMAGE}",
        ("Minor_Axis_um", "Minor axis length"),
    ),
    Column(
        "aspect_ratio",
        0,
        "rectangle_length / rectangle_width: 1 or more.",
        _SEED,
        ("Aspect_Ratio", "Aspect ratio"),
    ),
    Column(
        "circularity",
        0,
        "4 pi area / perimeter^2: 1 for a disc; masks of a few pixels may exceed it.",
        f"{_IMAGEJ}",
        ("Circularity",),
    ),
    Column("roundness", 0, "rectangle_width / rectangle_length: 0 to 1.", _SEED, ("Roundness",)),
    Column(
        "sphericity",
        0,
        "2 sqrt(pi area) / perimeter: the square root of the circularity.",
        f"{_SEED}; {_ISO} calls it circularity",
        ("Sphericity",),
    ),
    Column(
        "solidity",
        0,
        "area / number of pixels in the mask's convex hull: 0 to 1.",
        _SKIMAGE,
    ),
    Column(
        "eccentricity",
        0,
        "sqrt(1 - (axis_minor / axis_major)^2): 0 for a disc, near 1 for a rod.",
        _SKIMAGE,
        ("Eccentricity",),
    ),
    Column(
        "convexity",
        0,
        f"Perimeter of the convex hull ({_HULLS}) / perimeter.",
        _ISO,
    ),
    Column(
        "inscribed_diameter",
        1,
        "Diameter of the largest disc about a pixel's centre that holds no background pixel's; at "
        "most feret_min.",
        _ISO,
    ),
    Column(
        "enclosing_diameter", 1, f"Diameter of the smallest circle around the mask; {_HULLS}.", _ISO
    ),
    Column(
        "skeleton_length",
        1,
        "Length of the mask's skeleton without spurs into corners, from edge to edge, all branches "
        "together; at least the largest disc's diameter. Masks over 48 px thick are thinned on a "
        "grid of larger pixels.",
        "Guo and Hall 1989 (thinning); Vossepoel and Smeulders 1982 (length)",
    ),
    Column("width_mean", 1, "area / skeleton_length: the mean width of a rod or fibre.", _HERE),
    Column(
        "n_holes",
        0,
        "Number of holes: background that the mask shuts in, even at pixels' corners.",
        _HERE,
    ),
    Column("holes_area", 2, "Number of pixels in the holes; area does not count them.", _SKIMAGE),
    Column(
        "orientation_deg",
        None,
        "Direction of axis_major, from the x axis counter-clockwise as seen on a screen, 0 to 180; "
        "empty where both axes are equal.",
        _SKIMAGE,
        unit="deg",
    ),
    Column(
        "centroid_x",
        1,
        "Mean x of the mask's pixels; x is 0 at the left edge of the picture, 0.5 px in the middle "
        "of its first column.",
        _HERE,
    ),
    Column(
        "centroid_y",
        1,
        "Mean y of the mask's pixels; y is 0 at the upper edge of the picture and grows downwards.",
        _HERE,
    ),
    Column("box_x_px", None, "First column of the mask, from 0.", _HERE, unit="px"),
    Column("box_y_px", None, "First row of the mask, from 0.", _HERE, unit="px"),
    Column("box_width", 1, "Width of the upright box around the mask.", _HERE),
    Column("box_height", 1, "Height of the upright box around the mask.", _HERE),
    Column(
        "touches_border",
        None,
        "1 where the mask reaches the edge of the analysed part of the picture, and so may be cut.",
        _HERE,
    ),
    Column(
        "overlap_fraction",
        0,
        "Share of the mask's pixels that other particles have, too; each counts them as its own.",
        _HERE,
    ),
    Column(
        "neighbour_distance",
        1,
        "Distance of its centroid to the nearest other one in the picture.",
        "Clark and Evans 1954",
    ),
    Column(
        "neighbour",
        None,
        "Number of that neighbour in the picture, as in the column particle.",
        _HERE,
    ),
)
"""Columns of `shapes.shape_table`, in this order."""

_GREY: Final = "a value of the picture file, of any depth; of colours 0.299 R + 0.587 G + 0.114 B"

INTENSITIES: Final = (
    Column("intensity_mean", None, f"Mean grey value of the mask's pixels: {_GREY}.", _SKIMAGE),
    Column("intensity_sd", None, "Standard deviation of the mask's grey values.", _SKIMAGE),
    Column("intensity_min", None, "Least grey value of the mask's pixels.", _SKIMAGE),
    Column("intensity_max", None, "Largest grey value of the mask's pixels.", _SKIMAGE),
    Column("intensity_median", None, "Median grey value of the mask's pixels.", _SKIMAGE),
    Column(
        "contrast_d10",
        None,
        "Grey value that 10 % of the mask's pixels stay below.",
        "numpy.percentile",
        ("Contrast d10",),
    ),
    Column(
        "contrast_d50",
        None,
        "Grey value that 50 % of the mask's pixels stay below.",
        "numpy.percentile",
        ("Contrast d50",),
    ),
    Column(
        "contrast_d90",
        None,
        "Grey value that 90 % of the mask's pixels stay below.",
        "numpy.percentile",
        ("Contrast d90",),
    ),
    Column(
        "wavelength_nm",
        None,
        "620 - (170 / 270) hue nm, of the hue of the mask's mean colour in degrees; empty for grey "
        "and for hues over 270.",
        "deepEMIA's formula",
        ("Wavelength_nm",),
        "nm",
    ),
)
"""Columns of `intensity.intensity_table`, in this order."""

COLUMNS: Final = {column.name: column for column in (*SHAPES, *INTENSITIES)}
