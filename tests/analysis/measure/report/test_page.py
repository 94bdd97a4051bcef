"""The page of a measurement, of a run whose particles were drawn by hand."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from analysis.finding.finder import Found
from analysis.measure.figures import ClassFigures, run_figures
from analysis.measure.job.folder import JobFolder
from analysis.measure.job.stages import PictureMeasurer, ReadPicture, Searched
from analysis.measure.report.charts import bins
from analysis.measure.report.page import MOST_PARTICLES, MOST_PICTURES, write_page
from analysis.measure.report.particles import counted_particles, outliers, shown_pictures
from analysis.measure.run import MeasureResult
from analysis.measure.settings import MeasureSettings
from analysis.measure.tables import DonePictures, write_pictures
from analysis.pictures.micrographs import Micrograph, source_of
from tests.support.report_pages import Page, opened_in_browser
from trainables.files.whole import write_table
from trainables.results import Instances

CLASSES = ("disc", "<b>rod</b>")
SIDE, N = 200, 9  # of a picture, and of its particles
ABOUT: dict[str, Any] = {
    "segtune": "1",
    "models": [{"name": "<i>m</i>", "engine": "e", "origin": "file", "data_fingerprint": "d" * 64}],
    "records": {"models": [{"engine": "e", "sha256": "a" * 64}]},
    "settings": {"key": "<script>alert(1)</script>"},
}


def discs(rng: np.random.Generator) -> Instances:
    """Nine discs on a grid, every third one of the second class."""
    masks, boxes = [], []
    for place in range(N):
        centre = (35 + 65 * (place % 3), 35 + 65 * (place // 3))
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        cv2.circle(drawn, centre, int(rng.integers(8, 20)), 1, -1)
        masks.append(coco.encode(np.asfortranarray(drawn)))
        x, y, width, height = coco.toBbox(masks[-1])
        boxes.append((x, y, x + width, y + height))
    scores = np.linspace(0.9, 0.5, N, dtype=np.float32)
    return Instances(np.array(boxes, np.float32), scores, np.arange(N) % 3 // 2, masks)


def ragged(instances: Instances) -> Instances:
    """The same with a part far away added to the first particle."""
    assert instances.masks is not None
    drawn = coco.decode(dict(instances.masks[0]))
    drawn[20:60, 60:64] = 1
    first = coco.encode(np.asfortranarray(drawn))
    x, y, width, height = coco.toBbox(first)
    boxes = instances.boxes.copy()
    boxes[0] = (x, y, x + width, y + height)
    return replace(instances, boxes=boxes, masks=[first, *instances.masks[1:]])


def measured(
    folder: Path,
    n: int,
    flags: Sequence[str] = (),
    name: str = "p{}.png",
    *,
    boxes: bool = False,
    um_per_px: float | None = 0.01,
    capped: bool = False,
) -> DonePictures:
    """Pictures that are measured; one is flagged, the third has an unusual particle."""
    rng = np.random.default_rng(0)
    settings = MeasureSettings(write=())
    job = JobFolder(folder / "run", [])
    job.begin()
    pictures = []
    for number in range(n):
        path = folder / name.format(number)
        pixels = rng.integers(90, 130, (SIDE, SIDE), dtype=np.uint8)
        (folder / "written.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        (folder / "written.png").rename(path)
        pictures.append(Micrograph(path, 0, path.name, f"p{number}"))
    measurer = PictureMeasurer(pictures, job, settings, [{}] * len(pictures))
    for number, picture in enumerate(pictures):
        instances = ragged(discs(rng)) if number == 2 else discs(rng)
        instances = replace(instances, masks=None) if boxes else instances
        read = ReadPicture(
            source_of(picture),
            SIDE,
            SIDE,
            um_per_px=um_per_px,
            scale_source="given",
            scale_rel_uncertainty=0.01,
            flags=tuple(flags) if number == n - 1 else (),
        )
        found = Found(instances, capped, 1, 1, (1.0,), 0, {}, {}, 0.5)
        measurer(number, read, Searched(found, CLASSES))
    records = {picture: record for picture in pictures if (record := job.record(picture))}
    assert len(records) == n
    return DonePictures(job, records, settings)


def written(done: DonePictures, failed: Sequence[str] = ()) -> tuple[Path, list[ClassFigures]]:
    figures = run_figures(done, "nm", [])
    reasons = {
        Micrograph(Path(name), 0, name, name): f"{name} <u>ends</u> early" for name in failed
    }
    return write_page(done, reasons, figures, "nm", ABOUT), figures


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ClassFigures], DonePictures]:
    """The page of 30 pictures, its figures, and what it is of."""
    done = measured(tmp_path_factory.mktemp("page"), 30, ["two <em>scales</em>"], "a'\"<s>{}.png")
    return *written(done, ["bad<x>.png"]), done


def test_figures_are_those_of_the_table(
    run: tuple[Path, list[ClassFigures], DonePictures], tmp_path: Path
) -> None:
    path, figures, _ = run
    words = Page(path).words
    write_table([row for one in figures for row in one.rows()], tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open() as file:
        rows = {(row["class"], row["figure"]): row for row in csv.DictReader(file)}
    for name in ("all", *CLASSES):
        for figure in ("d10_number", "d50_number", "mean_1_0", "mean_4_3", "number_density"):
            row = rows[name, figure]
            factor = 1e6 if figure == "number_density" else 1.0  # said per µm², not per nm²
            low, high = (factor * float(row[f"combined_{end}_95"]) for end in ("low", "high"))
            assert f"{factor * float(row['value']):.4g}" in words
            assert f"{low:.4g} to {high:.4g}" in words
    assert words.count("particles wholly inside, with Miles-Lantuejoul weights") >= 3 + 3
    assert "segmentation on the validation pictures not known" in words, "no model told its error"
    for one in figures:
        assert f"{one.name}: {one.fit.verdict}" in words
        assert one.nano is not None
        assert one.nano.verdict in words


def test_histograms_hold_every_particle_once_and_the_fitted_curve_is_a_distribution(
    run: tuple[Path, list[ClassFigures], DonePictures],
) -> None:
    path, figures, done = run
    charts = Page(path).charts
    assert list(charts) == ["sizes0", "sizes1", "sizes2"]
    sizes = counted_particles(done, "nm", CLASSES).sizes
    for chart in charts.values():
        bars, curve = chart["data"]
        assert sum(bars["y"]) == pytest.approx(100, abs=0.01)
        assert curve["x"][int(np.argmax(curve["y"]))] < figures[0].fit.median * 1.1
    bars, curve = charts["sizes0"]["data"]
    assert curve["x"][0] == pytest.approx(sizes.min(), rel=1e-4)
    assert curve["x"][-1] == pytest.approx(sizes.max(), rel=1e-4)
    logs = (np.log([sizes.min(), sizes.max()]) - np.log(figures[0].fit.median)) / np.log(
        figures[0].fit.sd
    )
    step, width = curve["x"][1] - curve["x"][0], bars["width"][0]
    inside = np.trapezoid(curve["y"], dx=step) / width
    low, high = cdf(logs[0]), cdf(logs[1])
    assert inside == pytest.approx(100 * (high - low), rel=0.01)


def cdf(z: float) -> float:
    from math import erf, sqrt

    return (1 + erf(z / sqrt(2))) / 2


def test_wide_spreads_have_logarithmic_bins_and_equal_sizes_have_one() -> None:
    edges = bins(np.geomspace(1, 1000, 200))
    assert edges[0] == 1
    assert edges[-1] == 1000
    assert np.ptp(np.diff(np.log(edges))) < 1e-9
    assert len(bins(np.full(5, 3.0))) == 2
    assert np.ptp(np.diff(bins(np.linspace(10, 20, 50)))) < 1e-9


def test_names_are_text_and_nothing_is_loaded(
    run: tuple[Path, list[ClassFigures], DonePictures],
) -> None:
    path, _, _ = run
    page, text = Page(path), path.read_text("utf-8")
    for raw in ("<b>rod", "<em>scales", "<u>ends", "<i>m</i>", "<script>alert", "<s>0.png", "d<x>"):
        assert raw not in text
        assert raw in page.words
    outside = [r for r in page.references if not r.startswith(("data:image/jpeg;base64,", "#"))]
    assert outside == [], "no overlays were written"
    assert len(text) < 5_000_000
    anchors = {link.removeprefix("#") for link in page.references if link.startswith("#")}
    assert all(page.ids[anchor] == 1 for anchor in anchors)


def test_so_many_pictures_and_particles_are_shown_and_the_rest_is_told(
    run: tuple[Path, list[ClassFigures], DonePictures],
) -> None:
    path, _, _ = run
    page, text = Page(path), path.read_text("utf-8")
    assert text.count('<figure id="picture-') == MOST_PICTURES
    assert text.count("<li><a ") == MOST_PARTICLES
    assert f"{MOST_PARTICLES} of the 270 that count" in page.words
    assert f"{MOST_PICTURES} of 30: " in page.words
    assert "270 particles in 30 of 31 pictures" in page.words
    assert page.ids["picture-29"] == 1, "a flagged picture is shown"
    assert text.index('id="picture-29"') < text.index('id="picture-0"'), "flagged ones first"
    assert page.ids["picture-2"] == 1, "so is that of an unusual particle"
    first = text[text.index('<ul class="gallery">') :]
    assert 'data-picture="2"' in first[: first.index("</li>")]
    assert "ragged for disc" in first[: first.index("</li>")]
    assert page.rows["attention"] == 1 + 2
    assert "To look at (2)" in page.words


def test_two_runs_of_the_same_pictures_show_the_same(
    run: tuple[Path, list[ClassFigures], DonePictures],
) -> None:
    path, _, done = run
    before = path.read_text("utf-8")
    again = written(done, ["bad<x>.png"])[0].read_text("utf-8")

    def same(text: str) -> list[str]:
        return [line for line in text.splitlines() if "Written" not in line]

    assert same(again) == same(before)


def test_a_click_shows_the_particle_in_its_picture(
    run: tuple[Path, list[ClassFigures], DonePictures], tmp_path: Path
) -> None:
    path, _, _ = run
    clicks = "document.querySelector('.gallery a').click();"
    clicked = tmp_path / "clicked.html"
    clicked.write_text(
        path.read_text("utf-8").replace("</body>", f"<script>{clicks}</script></body>"), "utf-8"
    )
    content, said = opened_in_browser(clicked, tmp_path)
    assert said == []
    dialog = content[content.index("<dialog") : content.index("</dialog>")]
    assert dialog.startswith('<dialog aria-labelledby="words" open')
    assert "particle 1: disc, " in dialog
    assert 'viewBox="0 0 720 720"' in dialog
    assert 'class="over" d="M' in dialog
    assert 'src="data:image/jpeg' in dialog
    assert content.count('class="main-svg"') >= 3, "all histograms are drawn"


def test_a_picture_that_is_gone_is_left_out_and_the_page_written(tmp_path: Path) -> None:
    done = measured(tmp_path, 3)
    (tmp_path / "p1.png").unlink()
    text = written(done)[0].read_text("utf-8")
    assert text.count('<figure id="picture-') == 2
    assert 'data-picture="1"' not in text
    assert "27 particles in 3 of 3 pictures" in Page(done.folder.out / "report.html").words


def test_boxes_without_a_scale_have_widths_in_pixels_and_nothing_that_needs_masks(
    tmp_path: Path,
) -> None:
    done = measured(tmp_path, 3, boxes=True, um_per_px=None)
    figures = run_figures(done, "", [])
    page = Page(write_page(done, {}, figures, "", ABOUT))
    assert "By width of the box" in page.words
    assert page.charts["sizes0"]["layout"]["xaxis"]["title"]["text"] == "width of the box (px)"
    assert "EU definition" not in page.words
    assert "mean width of the box" in page.words
    assert "mean diameter" not in page.words + " ".join(figures[0].lines())
    of = {row["figure"]: row["of"] for row in figures[0].rows()}
    assert (of["d50_number"], of["number_density"]) == ("box_width", "")
    assert "scale not known" in page.words
    assert f"{figures[0].estimates['d50_number'].value:.4g} px" in page.words
    text = (done.folder.out / "report.html").read_text("utf-8")
    assert text.count("<li><a ") == 27


def test_a_picture_that_may_have_more_particles_is_told_in_its_row_and_in_a_line(
    tmp_path: Path,
) -> None:
    done = measured(tmp_path, 2, capped=True)
    write_pictures(done, list(done.records), {})
    with (done.folder.out / "pictures.csv").open() as file:
        assert [row["capped"] for row in csv.DictReader(file)] == ["True", "True"]
    result = MeasureResult(done.folder.out, list(done.records.values()), {}, 0, "nm")
    [line] = [line for line in result.lines() if "capped" in line]
    assert line.startswith("2 pictures may have more particles than the model reports")


def test_a_run_in_which_everything_failed_has_a_page(tmp_path: Path) -> None:
    done = measured(tmp_path, 1)
    path, _ = written(replace(done, records={}), ["a.png", "b.png"])
    page = Page(path)
    assert "0 particles in 0 of 2 pictures" in page.words
    assert "No particle counts, so there are no figures." in page.words
    assert page.rows["attention"] == 1 + 2
    assert page.charts == {}


def test_outliers_are_far_from_their_own_class(tmp_path: Path) -> None:
    counted = counted_particles(measured(tmp_path, 6), "nm", CLASSES)
    (only,) = outliers(counted, CLASSES, 12)
    assert (int(counted.picture[only.index]), int(counted.row[only.index])) == (2, 0)
    sizes = counted.sizes.copy()
    large = int(np.flatnonzero(counted.classes == 1)[0])
    sizes[large] *= 9
    found = outliers(replace(counted, sizes=sizes), CLASSES, 12)
    assert [(one.index, one.why) for one in found] == [
        (only.index, "ragged for disc"),
        (large, "large for <b>rod</b>"),
    ]
    assert outliers(replace(counted, sizes=sizes), CLASSES, 1) == found[:1]


def test_pictures_are_chosen_evenly_beside_those_that_are_needed() -> None:
    assert shown_pictures(5, [3], [], 24) == [3, 0, 1, 2, 4]
    assert shown_pictures(1000, [], [], 3) == [0, 500, 999]
    chosen = shown_pictures(1000, list(range(500, 900)), [7, 8, 7], 24)
    assert len(chosen) == 24
    assert {7, 8} < set(chosen)
    assert sum(500 <= number < 900 for number in chosen[:8]) == 8


def test_the_settings_of_the_run_end_the_page(
    run: tuple[Path, list[ClassFigures], DonePictures],
) -> None:
    words = Page(run[0]).words
    end = words[words.index("Found by 1 model") :]
    assert "d" * 16 in end
    assert "a" * 16 in end
    assert json.dumps(ABOUT["settings"], indent=2) in end
