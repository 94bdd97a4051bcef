"""`segtune scale`: a row a picture, whatever is known about it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import analysis.scale.reading as reading_module
import segtune
from analysis.errors import ScaleError
from analysis.scale.bar import ocr
from analysis.scale.bar.ocr import ocr_is_installed
from analysis.scale.scale import Scale, Source, contradictions
from tests.support.command_line import segtune as run_segtune
from tests.support.samples.drawn_bars import DrawnBar, drawn_bar

needs_ocr = pytest.mark.skipif(
    not ocr_is_installed(), reason="rapidocr and onnxruntime are not installed"
)

ZEISS = 12  # the seed of a picture of that layout


def picture(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(50, 150, (120, 160), np.uint8)).save(path)
    return path


def imagej(path: Path, um_per_px: float, pixels: Any = None) -> Path:
    pixels = (
        np.random.default_rng(1).integers(0, 255, (96, 128), np.uint8) if pixels is None else pixels
    )
    resolution = (1 / um_per_px, 1 / um_per_px)
    tifffile.imwrite(path, pixels, imagej=True, resolution=resolution, metadata={"unit": "um"})
    return path


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def drawn() -> DrawnBar:
    return drawn_bar(ZEISS)


def test_a_given_pixel_size_holds_for_every_picture(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", 1)
    out = tmp_path / "scale.csv"
    result = segtune.scale(tmp_path, out, source="given", pixel_size="4.5nm")
    rows = table(out)
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.png"]
    assert {row["um_per_px"] for row in rows} == {"0.0045"}
    assert {row["source"] for row in rows} == {"given"}
    assert {row["analysed"] for row in rows} == {"0,0,160,120"}
    assert result.lines()[0] == "2 of 2 pictures have a scale: 2 as given"
    assert result.warnings() == []


def test_what_is_not_known_is_empty_and_has_a_reason(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    out = tmp_path / "scale.csv"
    segtune.scale(tmp_path / "a.png", out, source="metadata")
    (row,) = table(out)
    empty = ("um_per_px", "um_per_px_x", "um_per_px_y", "source", "rel_uncertainty", "bar_px")
    assert [row[name] for name in empty] == [""] * len(empty)
    assert (row["state"], row["reason"]) == ("done", "its metadata say no pixel size")


def test_the_table_that_was_written_can_be_handed_back(tmp_path: Path) -> None:
    imagej(tmp_path / "a.tif", 0.25)
    picture(tmp_path / "b.png")
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    segtune.scale([tmp_path / "a.tif", tmp_path / "b.png"], first, source="metadata")
    segtune.scale([tmp_path / "a.tif", tmp_path / "b.png"], second, source="table", table=first)
    known, unknown = table(second)
    assert (known["um_per_px"], known["source"]) == ("0.25", "table")
    assert (unknown["um_per_px"], unknown["reason"]) == ("", "first.csv has no pixel size of it")


def test_sources_that_contradict_each_other_leave_the_picture_empty(tmp_path: Path) -> None:
    imagej(tmp_path / "a.tif", 0.25)
    out = tmp_path / "scale.csv"
    segtune.scale(tmp_path / "a.tif", out, pixel_size="0.26um")
    (row,) = table(out)
    assert row["um_per_px"] == ""
    assert row["flags"] == "given says 0.26 um/px and metadata 0.25 um/px, 3.8% apart"
    assert "give --source" in row["reason"]
    segtune.scale(tmp_path / "a.tif", out, pixel_size="0.26um", source="metadata")
    (row,) = table(out)
    assert (row["um_per_px"], row["flags"]) == ("0.25", "")
    segtune.scale(tmp_path / "a.tif", out, pixel_size="0.255um")
    (row,) = table(out)
    assert (row["um_per_px"], row["source"], row["flags"]) == ("0.255", "given", "")


def test_a_short_bar_is_not_asked_for_more_than_it_can_tell() -> None:
    bar = Scale(1.04, 1.04, Source.BAR, 1 / 25, "bar")
    tag = Scale(1.0, 1.0, Source.METADATA, 0.0005, "tag")
    assert contradictions([tag, bar]) == []
    assert len(contradictions([tag, Scale(1.04, 1.04, Source.BAR, 1 / 200, "bar")])) == 1


def test_every_page_of_a_stack_has_a_row(tmp_path: Path) -> None:
    stack = np.random.default_rng(2).integers(0, 255, (3, 96, 128), np.uint8)
    imagej(tmp_path / "s.tif", 0.5, stack)
    result = segtune.scale(tmp_path / "s.tif", tmp_path / "o.csv", source="metadata")
    assert [(row["page"], row["um_per_px"]) for row in table(tmp_path / "o.csv")] == [
        ("0", "0.5"),
        ("1", "0.5"),
        ("2", "0.5"),
    ]
    assert [reading.name for reading in result.readings][1:] == [
        f"{tmp_path}/s_p1.tif",
        f"{tmp_path}/s_p2.tif",
    ]


@needs_ocr
def test_the_bar_is_read_within_a_region_and_drawn(tmp_path: Path, drawn: DrawnBar) -> None:
    Image.fromarray(drawn.pixels).save(tmp_path / "a.png")
    out, debug = tmp_path / "scale.csv", tmp_path / "debug"
    segtune.scale(tmp_path / "a.png", out, source="bar", roi="0,0.9,1,0.1", debug=debug)
    (row,) = table(out)
    assert row["bar_text"] == drawn.text
    assert abs(int(row["bar_x0"]) - drawn.x0) <= 1
    assert abs(int(row["bar_x1"]) - drawn.x1) <= 1
    assert float(row["um_per_px"]) == pytest.approx(drawn.um_per_px, rel=0.02)
    assert float(row["rel_uncertainty"]) == pytest.approx(1 / int(row["bar_px"]), rel=0.01)
    with Image.open(debug / "a.png") as shown:
        colors = {color for _, color in shown.getcolors(1 << 24) or []}
    assert {(0, 200, 0), (60, 120, 255), (0, 220, 220), (255, 40, 40)} <= colors
    segtune.scale(tmp_path / "a.png", out, source="bar", roi="0,0,1,0.5")
    (row,) = table(out)
    assert (row["um_per_px"], row["bar_px"]) == ("", "")


@needs_ocr
def test_a_bar_beside_a_tag_that_says_something_else_is_flagged(
    tmp_path: Path, drawn: DrawnBar
) -> None:
    imagej(tmp_path / "a.tif", 2 * drawn.um_per_px, drawn.pixels)
    (reading,) = segtune.scale(tmp_path / "a.tif").readings
    assert reading.scale is None
    assert len(reading.flags) == 1
    assert "metadata says" in reading.flags[0]
    assert {scale.source for scale in reading.sources} == {Source.METADATA, Source.BAR}


def test_without_the_packages_there_is_one_message_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png")
    for module in (ocr, reading_module):
        monkeypatch.setattr(module, "ocr_is_installed", lambda: False)
    with pytest.raises(ScaleError, match=r"pip install 'segtune\[scale\]'"):
        segtune.scale(tmp_path / "a.png", source="bar")
    (reading,) = segtune.scale(tmp_path / "a.png").readings
    assert reading.scale is None
    assert "pip install 'segtune[scale]'" in reading.reason


def test_a_picture_that_cannot_be_read_is_a_row_and_exit_code_1(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    out = tmp_path / "scale.csv"
    done = run_segtune(tmp_path, "scale", ".", "--out", "scale.csv", "--pixel-size", "1.77A")
    assert done.returncode == 1, done.stderr
    good, bad = table(out)
    assert (good["state"], good["um_per_px"]) == ("done", "0.000177")
    assert (bad["state"], bad["um_per_px"]) == ("failed", "")
    assert bad["reason"]
    assert "1 of 2 pictures have a scale: 1 as given" in done.stdout
    assert "b.png" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source": "metdata"}, "--source: expected one of auto, given, .* did you mean metadata?"),
        ({"source": "given"}, "--source given: expected --pixel-size beside it"),
        ({"source": "table"}, "--source table: expected --table FILE beside it"),
        ({"pixel_size": "4.5"}, "above 0 with its unit, .* got '4.5', which has none of A, nm, um"),
        ({"pixel_size": "4,5nm"}, "got '4,5nm'; did you mean 4.5nm?"),
        ({"pixel_size": "3px"}, "the unit 'px' is none of A, nm, um, mm, pm"),
        ({"roi": "1,2", "pixel_size": "nm"}, r"scale: 2 problems\n  --pixel-size.*\n  --roi"),
    ],
)
def test_wrong_options_are_refused_before_a_picture_is_read(
    tmp_path: Path, options: dict[str, str], said: str
) -> None:
    with pytest.raises(segtune.UserError, match=said):
        segtune.scale(tmp_path / "none.png", tmp_path / "o.csv", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "o.csv").exists()
