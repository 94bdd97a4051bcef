"""Objects of raw annotations, as all formats give them."""

from dataclasses import dataclass

from trainables.datasets.geometry import Rle
from trainables.datasets.records import ParticleDisc

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 of a box in pixels, x2 and y2 exclusive."""


@dataclass(frozen=True)
class RawObject:
    """One object: its class, its mask or its box, and where it was read.

    Attributes:
        label: Class name.
        rle: Its mask, of the size of the picture; None where its box alone is known.
        file: Annotation file.
        place: Place in that file.
        disc: The particle that the mask is drawn from, for formats of coordinates.
        box: Its box, inside the picture, where it has no mask.
    """

    label: str
    rle: Rle | None
    file: str
    place: str
    disc: ParticleDisc | None = None
    box: Corners | None = None
