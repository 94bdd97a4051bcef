import csv
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.picking.files import read_picks, write_picks
from tests.support.places import ROOT
from tests.support.raw_samples import labelme_set, shape, square, write_labelme, write_picture
from trainables.datasets.coordinates import read_coordinates
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.raw.folder import RawFolder
from trainables.datasets.raw.given_splits import given_splits
from trainables.files.cells import csv_cell, from_csv_cell, markdown_text
from trainables.files.whole import write_table
from trainables.results import Picks

PACKAGES = ("analysis", "cluster", "search_spaces", "trainables", "tune")

PLANTED = (
    '=HYPERLINK("http://x","a")',
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\uff1d1+1",
    "'=1",
)


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("name", PLANTED)
def test_a_text_that_a_spreadsheet_would_run_begins_with_a_quote(name: str) -> None:
    assert csv_cell(name) == f"'{name}"
    assert from_csv_cell(csv_cell(name)) == name


@pytest.mark.parametrize("value", [Path("=1+1"), Path("-a"), PurePosixPath("@b")])
def test_a_value_is_looked_at_as_the_text_that_is_written(value: object) -> None:
    assert csv_cell(value) == f"'{value}"


def test_every_writer_of_csv_writes_its_cells_here() -> None:
    """In each of the product's modules that makes a CSV writer."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    writers = [
        file.relative_to(ROOT).as_posix()
        for file in files
        if re.search(r"csv\.(DictWriter|writer)\(|to_csv\(|savetxt\(", file.read_text())
    ]
    assert len(writers) >= 5
    for name in writers:
        text = (ROOT / name).read_text()
        own = r"from trainables\.files\.cells import .*csv_(cell|row)"
        shared = r"from analysis\.measure\.tables import [^)]*picture_cells"  # made of csv_cell
        assert re.search(f"{own}|{shared}", text), name
        for written in re.findall(r"\.writerows?\((.*)", text):
            made = any(word in written for word in ("csv_", "_cell(", "picture_cells("))
            known = made or written.startswith("[")
            assert known, f"{name}: {written}"


@pytest.mark.parametrize("number", [-0.5, 3, True, None, "-0.5", "+1e-3", "-inf", "nan", "'60s"])
def test_numbers_and_plain_texts_stay_as_they_are(number: object) -> None:
    assert csv_cell(number) == number
    assert from_csv_cell(str(number)) == str(number)


@given(st.text())
def test_any_text_is_read_back_as_it_was_and_none_is_run(text: str) -> None:
    written = csv_cell(text)
    assert from_csv_cell(written) == text
    try:
        float(written)
    except ValueError:
        assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_table_holds_no_formula_in_its_cells_or_its_header(tmp_path: Path) -> None:
    rows = [{"class": name, "bias": -0.5, "=column": 1} for name in PLANTED]
    header, *found = cells(write_table(rows, tmp_path / "classes.csv"))
    assert header == ["class", "bias", "'=column"]
    assert [row[0] for row in found] == [f"'{name}" for name in PLANTED]
    assert {row[1] for row in found} == {"-0.5"}


def test_picks_of_micrographs_with_such_names_are_read_back(tmp_path: Path) -> None:
    names = [f"{name}.mrc".replace("/", "_") for name in PLANTED[:4]]
    picks = {name: Picks(np.array([[3.0, 4.0]]), np.array([0.9])) for name in names}
    write_picks(tmp_path, "all", picks, "csv")
    path = tmp_path / "all.csv"
    assert [row[0] for row in cells(path)[1:]] == [f"'{name}" for name in names]
    assert list(read_picks(path)) == names
    found = read_coordinates(path)
    assert found is not None
    assert list(found) == names


def test_a_table_of_splits_with_quoted_names_is_understood(tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text("file,split\n'=a.png,train\n'-b.png,val\nc.png,test\n")
    parts, _ = given_splits(RawFolder(tmp_path))
    assert parts == {"=a.png": "train", "-b.png": "val", "c.png": "test"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Sc1Tile_001-001-000", "Sc1Tile_001-001-000"),
        ("_a_ *b* `c`", r"\_a\_ \*b\* \`c\`"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("![x](http://evil/x.png)", r"![x\](http:\//evil/x.png)"),
        ("a | b\n# title", r"a \| b # title"),
        ("# title", r"\# title"),
        ("## title", r"\## title"),
        ("- item", r"\- item"),
        ("#1 of -0.5", "#1 of -0.5"),
        ("-0.5", "-0.5"),
    ],
)
def test_a_name_is_shown_in_markdown_as_it_is(name: str, shown: str) -> None:
    assert markdown_text(name) == shown


def test_the_report_of_a_data_set_takes_no_name_for_markup(tmp_path: Path) -> None:
    raw = labelme_set(tmp_path / "raw")
    name = "*x*<b>"
    write_picture(raw / f"{name}.png", seed=77)
    write_labelme(raw, name, [shape(square(5, 5), "[a](http://b)")])
    report = prepare(raw, tmp_path / "data", name="=*set*|")
    text = (tmp_path / "data/report.md").read_text()
    assert report.data.counts()["train"] > 0
    assert text.startswith("# =\\*set\\*\\|\n")
    assert r"[a\](http:\//b)" in text
    assert r"\*x\*\<b\>" in text
