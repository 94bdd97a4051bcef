"""The form that the readers of all formats fill: pictures with their objects, and problems.

A reader says what a file says; whether that makes sense (is there such a picture, has the outline
an area, does it lie inside) is checked here, once for all formats.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Final

from search_spaces.names import nearest_name
from trainables.datasets import geometry
from trainables.datasets.geometry import Polygon, Rle
from trainables.datasets.images import SUFFIXES, Header, UnreadableImageError, probe
from trainables.datasets.particle_size import ParticleSize
from trainables.datasets.raw.entries import (
    CLIPPED,
    Kind,
    Outline,
    RawImage,
    RawObject,
    RawProblem,
    RawSource,
)
from trainables.datasets.raw.folder import LeavesFolderError, NotFoundError, RawFolder
from trainables.datasets.records import ParticleDisc
from trainables.datasets.tiff import FIRST_SIDEWAYS
from trainables.files.words import counted

SLACK_PX: Final = 1.0
"""An outline may reach this far beyond the picture without a word: tools round and snap."""

NO_CLASSES: Final = frozenset(
    {"ignore", "ignored", "ignoreregion", "ignorearea", "toignore", "dontcare", "donotcare"}
)
"""Names, by their letters alone, of what is not to be learnt."""

DOUBTFUL_CLASSES: Final = frozenset({"background", "void", "unlabeled", "unlabelled"})
"""Names, by their letters alone, of what may be a class, or what is not to be learnt.

Between underscores, as LabelMe writes `_background_`, they are no classes.
"""


def letters(name: str) -> str:
    """A class name by its letters alone, in one case."""
    return "".join(sign for sign in name.casefold() if sign.isalpha())


def _is_no_class(name: str) -> bool:
    """Whether a name says that what it marks is not to be learnt."""
    return letters(name) in NO_CLASSES or (name[:1] == "_" and letters(name) in DOUBTFUL_CLASSES)


@dataclass
class RawReading:
    """Everything read of a raw folder so far; readers add to it.

    Attributes:
        folder: The raw folder.
        classes: The only class names allowed, or None for whatever is found.
        object_class: Name of objects in a format without classes.
        sizes: Sizes of particles and pixels, from the user's options.
        keep_crowds: Whether regions marked as crowds are objects.
        images: Pictures by file and page.
        labels: Pictures that are annotations of others.
        unasked: Number of objects of each class that is none of `classes`.
        problems: Everything that was left out or clipped, in the order found.
        notes: Remarks that ask for nothing to be mended.
        warnings: Probable mistakes that can be read.
        order: Class names in the order a format gives them; empty where it gives none.
        ignored: Places of objects whose names say that they are not to be learnt, by name.
        rectangles: Outlines that are rectangles, turned or not, (4, 2) or closed (5, 2).
    """

    folder: RawFolder
    classes: tuple[str, ...] | None = None
    object_class: str = "object"
    sizes: ParticleSize = field(default_factory=ParticleSize)
    keep_crowds: bool = False
    images: dict[tuple[PurePosixPath, int], RawImage] = field(default_factory=dict)
    labels: set[PurePosixPath] = field(default_factory=set)
    unasked: Counter[str] = field(default_factory=Counter)
    problems: list[RawProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    ignored: dict[str, list[RawSource]] = field(default_factory=dict)
    rectangles: list[Polygon] = field(default_factory=list)
    _headers: dict[PurePosixPath, Header | None] = field(default_factory=dict)

    def problem(self, kind: Kind, source: RawSource, reason: str) -> None:
        """List a problem whose subject is left out."""
        problem = RawProblem(str(source.file), source.place, kind, reason)
        self.problems.append(replace(problem, n_objects=source.n_objects))
        if source.image is not None:
            source.image.lost += 1

    @contextmanager
    def at(self, source: RawSource) -> Iterator[None]:
        """Turn whatever a malformed entry makes a reader stumble over into a problem."""
        try:
            yield
        except KeyError as error:
            self.problem(Kind.MALFORMED, source, f"no key {error}")
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            self.problem(Kind.MALFORMED, source, str(error))
        except (OSError, LeavesFolderError) as error:
            self.problem(Kind.UNREADABLE_ANNOTATION, source, str(error))

    def image(self, reference: str, source: RawSource) -> RawImage | None:
        """The picture that an annotation file names, or None with a problem listed."""
        try:
            file, page = self.folder.find_page(reference, source.file)
        except LeavesFolderError as error:
            self.problem(Kind.LEAVES_FOLDER, source, str(error))
        except NotFoundError as error:
            self.problem(Kind.MISSING_IMAGE, source, str(error))
        else:
            found = self.open(file, page)
            if found is not None and reference in self.folder.by_name_alone:
                found.by_name_alone = True
            return found
        return None

    def open(self, file: PurePosixPath, page: int | None = None) -> RawImage | None:
        """A picture of the folder, or None with a problem listed once.

        Args:
            file: Path below the folder.
            page: Index of the page, counted from 0; the first by default.
        """
        header = self.header(file)
        if header is None:
            return None
        index = 0 if page is None else page
        if index >= len(header.pages):
            reason = f"page {index} of {len(header.pages)} (counted from 0)"
            self.problem(Kind.MISSING_IMAGE, RawSource(file), reason)
            return None
        key = (file, header.pages[index])
        if key not in self.images:
            self.images[key] = RawImage(
                file,
                self.folder.path(file),
                header.pages[index],
                len(header.pages) > 1,
                header.width,
                header.height,
                um_per_px=header.um_per_px,
                orientation=header.orientation,
                turned_alone=header.orientation != 1,
            )
        return self.images[key]

    def pages(self, file: PurePosixPath) -> int:
        """Number of pages of a picture; 0 if it cannot be read (listed as a problem)."""
        return len(self.page_numbers(file))

    def page_numbers(self, file: PurePosixPath) -> tuple[int, ...]:
        """Indices of the pages of a picture that are no previews; empty if it cannot be read."""
        header = self.header(file)
        return header.pages if header else ()

    def claim(self, image: RawImage, source: RawSource) -> bool:
        """Say that `source` annotates `image`; False, with a problem, if that was said before.

        Where one file speaks of it twice, by two names, or by a path that leads out, it is left
        out: objects of another picture may be among its own. So it is where the first file has
        no objects and the second has some: it is no negative.
        """
        if image.annotated_by:
            reason = f"{image.file} is already annotated by {image.annotated_by[0]}"
            lost = bool(source.n_objects) and not (image.objects or image.n_claimed or image.lost)
            if lost or image.by_name_alone or image.annotated_by[0] == str(source.file):
                n = len(image.objects) or image.n_claimed
                reason += f" with {counted(n, 'object')}; which are its own is not known, and it "
                reason += "is left out"
                image.doubtful = True
            self.problem(Kind.ANNOTATED_TWICE, source, reason)
            return False
        image.annotated_by.append(str(source.file))
        image.n_claimed = source.n_objects or 0
        return True

    def fits(self, image: RawImage, size: tuple[Any, Any], source: RawSource) -> bool:
        """Whether the width and height an annotation file gives, if any, are the picture's."""
        width, height = (int(n) if isinstance(n, str) and n.isdecimal() else n for n in size)
        if (width or image.width, height or image.height) == (image.width, image.height):
            self._see_orientation(image, source, sized=bool(width and height))
            return True
        turned = " as its orientation tag turns it" if image.orientation > 1 else ""
        reason = (
            f"annotated at {width} x {height} pixels, but {image.file} has "
            f"{image.width} x {image.height}{turned}; all its objects are left out"
        )
        self.problem(Kind.SIZE_DIFFERS, source.of(image), reason)
        return False

    def _see_orientation(self, image: RawImage, source: RawSource, *, sized: bool) -> None:
        """Find out whether a picture and what annotates it are turned alike, by their sizes.

        Args:
            image: The picture.
            source: Its annotation, which may be a label picture.
            sized: Whether the annotation says its size.
        """
        other, is_picture = 1, source.file.suffix.lower() in SUFFIXES
        if is_picture and (header := self.header(source.file)):
            other = header.orientation
        apart = (other >= FIRST_SIDEWAYS) != (image.orientation >= FIRST_SIDEWAYS)
        shown = sized and apart and image.width != image.height
        image.turned_alone = not shown and image.orientation != other

    def add(self, image: RawImage, label: Any, outline: Outline, source: RawSource) -> None:
        """Add an object, or list why it is left out."""
        source = source.of(image)
        with self.at(source):
            name = self.class_name(label, source)
            rle = self._rasterise(image, outline, source) if name else None
            if name and rle:
                image.objects.append(RawObject(name, rle, str(source.file), source.place))
                if geometry.is_rectangle(outline.parts):
                    self.rectangles.append(outline.parts[0])

    def add_disc(self, image: RawImage, disc: ParticleDisc, source: RawSource) -> None:
        """Add a particle by its centre and radius, or list why it is left out."""
        source = source.of(image)
        name = self.class_name(self.object_class, source)
        if not name:
            return
        if not math.isfinite(disc.x + disc.y):
            self.problem(Kind.MALFORMED, source, "expected two numbers x and y")
        elif not (0 <= disc.x <= image.width and 0 <= disc.y <= image.height):
            reason = f"({disc.x:g}, {disc.y:g}) is not in {image.width} x {image.height} pixels"
            self.problem(Kind.OUTSIDE, source, reason)
        else:
            rle = geometry.disc(disc.x, disc.y, disc.radius, image.width, image.height)
            image.objects.append(RawObject(name, rle, str(source.file), source.place, disc))

    def header(self, file: PurePosixPath) -> Header | None:
        """Size and pages of a picture; None if it cannot be read (listed as a problem)."""
        if file not in self._headers:
            self._headers[file] = None
            try:
                self._headers[file] = probe(self.folder.path(file))
            except LeavesFolderError as error:
                self.problem(Kind.LEAVES_FOLDER, RawSource(file), str(error))
            except UnreadableImageError as error:
                self.problem(Kind.UNREADABLE_IMAGE, RawSource(file), str(error))
        return self._headers[file]

    def class_name(self, label: Any, source: RawSource) -> str:
        """An object's class, or "" with a problem listed."""
        name = str(label).strip() if isinstance(label, str | int) else ""
        if _is_no_class(name) and name not in (self.classes or ()):
            self.ignored.setdefault(name, []).append(source)
            if source.image is not None:
                source.image.lost += 1
            return ""
        if not name:
            self.problem(Kind.UNKNOWN_LABEL, source, f"expected a class name, got {label!r}")
            return ""
        if self.classes is None or name in self.classes:
            return name
        self.unasked[name] += 1
        hint = nearest_name(name, self.classes)
        reason = f"{name!r} is none of the classes {', '.join(self.classes)}{hint}"
        self.problem(Kind.UNKNOWN_LABEL, source, reason)
        return ""

    def _rasterise(self, image: RawImage, outline: Outline, source: RawSource) -> Rle | None:
        parts = self._usable_parts(outline.parts, source)
        if not parts and not outline.masks:
            if not outline.parts:
                self.problem(Kind.NO_OUTLINE, source, "it has neither outline nor mask")
            return None
        masks = list(outline.masks)
        if parts and not self.lies_inside(image, parts, source):
            return None
        if parts:
            holes = [hole for hole in outline.holes if geometry.distinct_points(hole) >= 3]
            masks.append(geometry.encode_polygons(parts, holes, image.width, image.height))
        return self._with_area(image, masks, source)

    def _usable_parts(self, parts: Sequence[Polygon], source: RawSource) -> list[Polygon]:
        usable = []
        for number, part in enumerate(parts, start=1):
            points = geometry.distinct_points(part)
            if points >= geometry.MIN_POINTS:
                usable.append(part)
                continue
            reason = f"expected at least {geometry.MIN_POINTS} different points, got {points}"
            if len(parts) > 1:
                reason = f"part {number} of {len(parts)}: {reason}"
            self.problem(Kind.TOO_FEW_POINTS, source, reason)
        return usable

    def lies_inside(self, image: RawImage, parts: Sequence[Polygon], source: RawSource) -> bool:
        """Whether a part of an outline or box is in the picture; a problem where not all is."""
        over = geometry.overshoot(parts, image.width, image.height)
        if over <= SLACK_PX:
            return True
        size = f"the picture of {image.width} x {image.height}"
        if not geometry.touches(parts, image.width, image.height):
            self.problem(Kind.OUTSIDE, source, f"it lies wholly outside {size}")
            return False
        reason = f"it reaches {over:.0f} pixels beyond {size}"
        self.problems.append(
            RawProblem(str(source.file), source.place, Kind.PARTLY_OUTSIDE, reason, CLIPPED)
        )
        return True

    def _with_area(self, image: RawImage, masks: Sequence[Rle], source: RawSource) -> Rle | None:
        sizes = {tuple(mask["size"]) for mask in masks}
        if sizes != {(image.height, image.width)}:
            got = ", ".join(f"{width} x {height}" for height, width in sorted(sizes))
            reason = f"the mask has {got} pixels, {image.file} has {image.width} x {image.height}"
            self.problem(Kind.SIZE_DIFFERS, source, reason)
            return None
        merged = geometry.merge(masks)
        if geometry.area(merged) == 0:
            self.problem(Kind.ZERO_SIZE, source, "it covers no pixel")
            return None
        return merged
