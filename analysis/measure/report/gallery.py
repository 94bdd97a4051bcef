"""The pictures and particles of the page, drawn one picture after the other."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa

from analysis.measure.job.folder import OVERLAYS, PictureRecord
from analysis.measure.job.stages import CLASS, PARTICLE, SCORE
from analysis.measure.report.drawing import DrawnPicture, draw_picture, encode
from analysis.measure.report.particles import Counted, Shown
from analysis.measure.report.words import length_words
from analysis.measure.tables import DonePictures, analysed_of
from analysis.pictures.micrographs import Micrograph
from trainables.datasets.images import UnreadableImageError, read_picture

log = logging.getLogger(__name__)

_MOST_BYTES: Final = 1_500_000
"""Of all pictures together, before they are written as text, which takes a third more."""


@dataclass(frozen=True)
class PagePicture:
    """A picture of the page.

    Attributes:
        number: Its place among the measured pictures, for its address on the page.
        name: Name of the picture.
        short: The same without its folders.
        uri: `data:` URI of the picture with its particles outlined.
        width: Width that outlines of its particles are drawn for.
        height: Height, likewise.
        counts: How many particles of each class are in it, in words.
        flags: What a person should look at.
        overlay: Address of the large one beside the page; "" where none was written.
    """

    number: int
    name: str
    short: str
    uri: str
    width: int
    height: int
    counts: str
    flags: str
    overlay: str


@dataclass(frozen=True)
class PageParticle:
    """A particle of the page.

    Attributes:
        picture: Place of its picture among the measured ones.
        name: Name of its picture.
        number: Its number in the tables.
        kind: Its class.
        size: Its size.
        words: Its size with the unit.
        score: Confidence.
        why: What is unusual about it; "" of one that is sampled.
        uri: `data:` URI of the particle cut out of its picture.
        path: Its outline as an SVG path on the picture.
    """

    picture: int
    name: str
    number: int
    kind: str
    size: float
    words: str
    score: float
    why: str
    uri: str
    path: str


def drawn(
    done: DonePictures,
    classes: Sequence[str],
    places: Sequence[int],
    counted: Counted,
    shown: Sequence[Shown],
    unit: str,
) -> tuple[list[PagePicture], list[PageParticle]]:
    """Pictures in this order; particles as they are asked for, the sampled ones by size.

    A picture that is no longer there is left out with its particles.

    Args:
        done: The pictures of the run.
        classes: Class names.
        places: Which of the pictures.
        counted: Particles that count.
        shown: Which of them, all in these pictures.
        unit: Unit of sizes.
    """
    every = list(done.records.items())
    particles: list[tuple[int, PageParticle]] = []
    canvases: list[tuple[int, DrawnPicture, Counter[str]]] = []
    for place in places:
        micrograph, record = every[place]
        part = done.folder.part(micrograph)
        wanted = {
            int(counted.row[one.index]): (order, one)
            for order, one in enumerate(shown)
            if counted.picture[one.index] == place
        }
        picture = _draw(done, micrograph, record, part, classes, list(wanted))
        if picture is None:
            continue
        canvases.append((place, picture, Counter(part[CLASS].to_pylist())))
        for row, (order, one) in wanted.items():
            size = float(counted.sizes[one.index])
            particles.append(
                (
                    order,
                    PageParticle(
                        picture=place,
                        name=micrograph.name,
                        number=part[PARTICLE][row].as_py(),
                        kind=part[CLASS][row].as_py(),
                        size=size,
                        words=length_words(size, unit),
                        score=part[SCORE][row].as_py(),
                        why=one.why,
                        uri=picture.crops[row],
                        path=picture.paths[row],
                    ),
                )
            )
    uris = encode([picture.canvas for _, picture, _ in canvases], _MOST_BYTES)
    pictures = [
        _page_picture(done, place, every[place], picture, counts, uri)
        for (place, picture, counts), uri in zip(canvases, uris, strict=True)
    ]
    return pictures, [particle for _, particle in sorted(particles, key=lambda pair: pair[0])]


def _draw(
    done: DonePictures,
    micrograph: Micrograph,
    record: PictureRecord,
    part: pa.Table,
    classes: Sequence[str],
    rows: Sequence[int],
) -> DrawnPicture | None:
    try:
        pixels = read_picture(micrograph.path, micrograph.page).pixels
    except (OSError, UnreadableImageError) as error:
        log.warning("%s is left out of the report: %s", micrograph.name, error)
        return None
    weights = done.weights(record, part)
    return draw_picture(pixels, part, weights, analysed_of(record), classes, rows)


def _page_picture(
    done: DonePictures,
    place: int,
    found: tuple[Micrograph, PictureRecord],
    picture: DrawnPicture,
    counts: Counter[str],
    uri: str,
) -> PagePicture:
    micrograph, record = found
    height, width = picture.canvas.shape[:2]
    overlay = done.folder.file(OVERLAYS, micrograph)
    return PagePicture(
        number=place,
        name=micrograph.name,
        short=Path(micrograph.name).name,
        uri=uri,
        width=width,
        height=height,
        counts=", ".join(f"{n} {name}" for name, n in counts.most_common()) or "no particle",
        flags=why_flagged(record.row),
        overlay=quote(f"{OVERLAYS}/{overlay.name}") if overlay.is_file() else "",
    )


def why_flagged(row: Any) -> str:
    """What a person should look at in a measured picture; "" where nothing.

    Args:
        row: Its row in the table of pictures.
    """
    reasons = [row["flags"]] if row["flags"] else []
    if row["capped"]:
        reasons.append("it may have more particles than the model reports: raise max_det")
    if not row["particles"]:
        reasons.append("no particle was found")
    return "; ".join(reasons)
