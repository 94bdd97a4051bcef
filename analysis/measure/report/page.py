"""Writes `report.html`: what a measurement found, to look at, on one page that loads nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import plotly.offline

from analysis.measure.figures import ClassFigures
from analysis.measure.report.charts import MOST, histograms
from analysis.measure.report.gallery import drawn, why_flagged
from analysis.measure.report.particles import (
    counted_particles,
    outliers,
    sampled,
    shown_pictures,
)
from analysis.measure.report.words import figure_rows, headline, length_words
from analysis.measure.tables import DonePictures, classes_of
from analysis.pages.environment import page_environment
from analysis.pages.packing import pack
from analysis.pictures.micrographs import Micrograph
from trainables.files.whole import write_text
from trainables.files.words import counted as counted_words

REPORT: Final = "report.html"

MOST_PICTURES: Final = 24

MOST_PARTICLES: Final = 60

MOST_OUTLIERS: Final = 12

MOST_ROWS: Final = 200
"""Rows of the table of pictures to look at."""


@dataclass(frozen=True)
class Attention:
    """A picture that failed, or that a person should look at.

    Attributes:
        name: Name of the picture.
        failed: Whether it has no results.
        why: The reason.
        picture: Its place among the measured ones; None of one that failed.
    """

    name: str
    failed: bool
    why: str
    picture: int | None


def write_page(
    done: DonePictures,
    failed: Mapping[Micrograph, str],
    figures: Sequence[ClassFigures],
    unit: str,
    about: Mapping[str, Any],
) -> Path:
    """Write the page into the run's folder.

    Parts and pictures are read one after the other and a fixed number of them is shown, so that a
    run of any size needs little memory beside the sizes of its particles.

    Args:
        done: The pictures that are measured.
        failed: Those that are not, with the reason.
        figures: Figures of the particles.
        unit: Unit of the calibrated columns; "" for pixels.
        about: Versions, models and settings of the run.
    """
    classes = classes_of(done)
    counted = counted_particles(done, unit, classes)
    unusual = outliers(counted, classes, MOST_OUTLIERS)
    records = list(done.records.values())
    flagged = [n for n, record in enumerate(records) if why_flagged(record.row)]
    of_outliers = [int(counted.picture[one.index]) for one in unusual]
    places = shown_pictures(len(records), flagged, of_outliers, MOST_PICTURES)
    shown = [*unusual, *sampled(counted, places, unusual, MOST_PARTICLES - len(unusual))]
    pictures, particles = drawn(done, classes, places, counted, shown, unit or "px")
    boxes = bool(len(counted)) and bool(np.isnan(counted.solidity).all())
    size_words = "width of the box" if boxes else "equivalent diameter"
    charts = histograms(figures, counted, classes, size_words)
    attention = _attention(done, failed)
    environment = page_environment()
    environment.filters |= {"counted": counted_words, "length_words": length_words}
    text = environment.get_template("measurement.html").render(
        name=done.folder.out.name,
        groups=[(one, figure_rows(one)) for one in figures],
        headline=headline(figures),
        size_words=size_words,
        charts=charts,
        most_charts=MOST,
        packed_charts=pack("{" + ",".join(f'"{k}":{v}' for k, v in charts.items()) + "}"),
        packed_plotly=pack(plotly.offline.get_plotlyjs()) if charts else "",
        pictures=pictures,
        shown={picture.number for picture in pictures},
        particles=particles,
        n_counted=len(counted),
        n_found=sum(record.row["particles"] for record in records),
        n_pictures=len(records),
        n_asked=len(records) + len(failed),
        attention=attention[:MOST_ROWS],
        n_attention=len(attention),
        models=list(zip(about["models"], about["records"]["models"], strict=True)),
        outlines=about.get("outlines"),
        version=about["segtune"],
        settings=json.dumps(about["settings"], indent=2, ensure_ascii=False),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    path = done.folder.out / REPORT
    write_text(path, text)
    return path


def _attention(done: DonePictures, failed: Mapping[Micrograph, str]) -> list[Attention]:
    """Pictures that failed, then those that a person should look at."""
    flagged = [
        Attention(picture.name, False, why, number)
        for number, (picture, record) in enumerate(done.records.items())
        if (why := why_flagged(record.row))
    ]
    return [Attention(p.name, True, why, None) for p, why in failed.items()] + flagged
