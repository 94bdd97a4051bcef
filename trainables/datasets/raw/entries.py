"""What raw data are read as: pictures, objects with their outlines, places in files, problems."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon, Rle
from trainables.datasets.records import ParticleDisc, Split
from trainables.files.words import counted

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 of a box in pixels, x2 and y2 exclusive."""


class Kind(StrEnum):
    """Kinds of problems of raw annotations."""

    TOO_FEW_POINTS = "too few points"
    OUTSIDE = "outside the image"
    PARTLY_OUTSIDE = "partly outside the image"
    ZERO_SIZE = "zero size"
    NO_OUTLINE = "no outline"
    ORIENTED_BOX = "oriented box"
    CROWD = "crowd region"
    UNKNOWN_LABEL = "unknown label"
    SIZE_DIFFERS = "size differs"
    SMALL_PICTURE = "picture smaller than a particle"
    MALFORMED = "malformed"
    MISSING_IMAGE = "missing image"
    UNREADABLE_IMAGE = "unreadable image"
    UNREADABLE_ANNOTATION = "unreadable annotation file"
    LEAVES_FOLDER = "path leaves the data folder"
    LABEL_WITHOUT_IMAGE = "label file without image"
    NAME_CLASH = "name clash"
    ANNOTATED_TWICE = "annotated twice"
    PARTICLE_TWICE = "particle twice"
    NOT_IN_SPLITS = "not in the given splits"
    SHARED_ID = "shared id"
    NO_OBJECT = "no object"
    OBJECT_TWICE = "object twice"


CLIPPED: Final = "clipped"

LEFT_OUT: Final = "left out"


@dataclass(frozen=True)
class RawProblem:
    """Something in the raw data that is not as it should be.

    Attributes:
        file: Path below the raw folder.
        object: Place in the file: "shapes[3]", "line 7"; "" for the whole file.
        kind: Kind of the problem.
        reason: Description in words, with the values.
        action: Consequence: `LEFT_OUT`, or `CLIPPED` at the picture's edge.
        n_objects: Number of objects that are lost by it, where it is about more than one.
    """

    file: str
    object: str
    kind: Kind
    reason: str
    action: str = LEFT_OUT
    n_objects: int | None = None

    def __str__(self) -> str:
        place = f", {self.object}" if self.object else ""
        n = self.n_objects
        done = self.action if n is None else f"{counted(n, 'object')} {self.action}"
        return f"{self.file}{place}: {self.kind}: {self.reason} ({done})"


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


def place_and_size(entry: RawObject) -> tuple[float, float, float, float]:
    """x, y, width and height of an object's box, in pixels."""
    if entry.rle is not None:
        return geometry.box(entry.rle)
    x1, y1, x2, y2 = entry.box or (0.0, 0.0, 0.0, 0.0)
    return x1, y1, x2 - x1, y2 - y1


@dataclass
class RawImage:
    """A picture, or one page of it, with the objects of its annotations.

    Attributes:
        file: Path below the raw folder.
        path: Absolute path, for opening it.
        page: Page of a TIFF.
        paged: Whether the file has several pages.
        width: Columns.
        height: Rows.
        split: The part that folders or files of the raw data put it in, if any.
        objects: Empty for a negative.
        annotated_by: Annotation files that speak of it.
        n_claimed: Number of objects that such a file says it has.
        lost: Entries of its annotations that are left out.
        labelled: False for a micrograph that no coordinates speak of: what is in it is not known.
        um_per_px: Pixel size, or None where nobody said it.
        alias: Name in the prepared set where the file's own is not enough, or "".
        doubtful: True where objects of unknown pictures may be its own: it is no negative.
        by_name_alone: Whether an annotation file names it by a path that leads out of the folder.
        orientation: The orientation that is applied to it, 1 (upright) to 8.
        turned_alone: Whether it is turned, or its label picture, and nothing shows that the other
            is turned alike.
        group: Name of the group that the annotations put it in, or "".
    """

    file: PurePosixPath
    path: Path
    page: int
    paged: bool
    width: int
    height: int
    split: Split | None = None
    objects: list[RawObject] = field(default_factory=list)
    annotated_by: list[str] = field(default_factory=list)
    n_claimed: int = 0
    lost: int = 0
    labelled: bool = True
    um_per_px: float | None = None
    alias: str = ""
    doubtful: bool = False
    by_name_alone: bool = False
    orientation: int = 1
    turned_alone: bool = False
    group: str = ""

    @property
    def stem(self) -> str:
        """Name in the prepared set, without suffix."""
        return self.alias or self.own_name

    @property
    def own_name(self) -> str:
        """Name of the file, without suffix, with the number of the page."""
        return f"{self.file.stem}_p{self.page:03d}" if self.paged else self.file.stem


@dataclass(frozen=True)
class RawSource:
    """Place of something in a raw file.

    Attributes:
        file: Annotation file (or picture), below the raw folder.
        place: Place in the file: "shapes[3]", "line 7"; "" for all of it.
        image: The picture that loses an object if this is left out, if it is known.
        n_objects: Number of objects that are lost if this is left out, where it is more than one.
    """

    file: PurePosixPath
    place: str = ""
    image: RawImage | None = None
    n_objects: int | None = None

    def at(self, place: str) -> "RawSource":
        """Another place in the same file, about one object."""
        return replace(self, place=place, n_objects=None)

    def of(self, image: RawImage) -> "RawSource":
        """The same place, known to be about `image`."""
        return replace(self, image=image)


@dataclass(frozen=True)
class Outline:
    """Shape of an object, as any format may say it.

    Attributes:
        parts: Outlines that are united.
        holes: Outlines that are cut out.
        masks: Encoded masks, united with the parts.
    """

    parts: Sequence[Polygon] = ()
    holes: Sequence[Polygon] = ()
    masks: Sequence[Rle] = ()
