from pathlib import Path

import pytest

from analysis.errors import ScaleError
from analysis.scale.roi import read_roi
from analysis.scale.table import read_table


def written(folder: Path, text: str) -> Path:
    path = folder / "scale.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_picture_is_found_by_its_path_beside_the_table_and_by_its_name(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "file,um_per_px\nimages/a.tif,0.25\n"))
    for picture in (tmp_path / "images" / "a.tif", Path("elsewhere/a.tif")):
        scale = table.of(picture, 0)
        assert scale is not None
        assert (scale.um_per_px_x, scale.um_per_px_y) == (0.25, 0.25)
    assert table.of(tmp_path / "images" / "b.tif", 0) is None


def test_a_name_that_two_pictures_share_stands_for_none_of_them(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "file,um_per_px\nx/a.tif,0.25\ny/a.tif,0.5\n"))
    assert table.of(Path("elsewhere/a.tif"), 0) is None
    scale = table.of(tmp_path / "y" / "a.tif", 0)
    assert scale is not None
    assert scale.um_per_px == 0.5


def test_a_picture_of_which_none_is_known_has_not_that_of_one_of_its_name(tmp_path: Path) -> None:
    text = "file,page,um_per_px\nx/a.tif,,0.25\ny/a.tif,,\nz/s.tif,,0.5\nz/s.tif,1,\n"
    table = read_table(written(tmp_path, text))
    for unknown in (tmp_path / "y" / "a.tif", Path("elsewhere/a.tif")):
        assert table.of(unknown, 0) is None
    known = table.of(tmp_path / "x" / "a.tif", 0)
    assert known is not None
    assert known.um_per_px == 0.25
    for stack in (tmp_path / "z" / "s.tif", Path("elsewhere/s.tif")):
        assert table.of(stack, 0) is not None
        assert table.of(stack, 1) is None


def test_rows_of_two_stacks_of_one_name_are_not_mixed_page_by_page(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "file,page,um_per_px\nx/s.tif,,0.25\ny/s.tif,0,0.5\n"))
    assert table.of(Path("elsewhere/s.tif"), 0) is None
    assert table.of(Path("elsewhere/s.tif"), 1) is None


def test_a_row_with_a_folder_is_not_that_of_two_pictures_of_its_name(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "file,um_per_px\nx/a.tif,0.25\nb.tif,0.5\n"))
    x, y = tmp_path / "x" / "a.tif", tmp_path / "y" / "a.tif"
    assert table.of(x, 0) is not None
    assert table.among([y]).of(y, 0) == table.of(x, 0)
    both = table.among([x, y])
    assert both.of(x, 0) == table.of(x, 0)
    assert both.of(y, 0) is None
    first, second = tmp_path / "x" / "b.tif", tmp_path / "y" / "b.tif"
    bare = table.among([first, second])
    assert bare.of(first, 0) == bare.of(second, 0) == table.of(Path("b.tif"), 0)


def test_units_pages_separators_and_uncertainties_are_taken(tmp_path: Path) -> None:
    text = (
        "file;page;pixel_size;unit;rel_uncertainty\ns.tif;0;4.5;nm;0.02\ns.tif;1;1.77;Å;\n"
        "t.tif;;2;mm;\nu.tif;;;;\n"
    )
    table = read_table(written(tmp_path, text))
    first, second = table.of(Path("s.tif"), 0), table.of(Path("s.tif"), 1)
    assert first is not None
    assert second is not None
    assert first.um_per_px == pytest.approx(0.0045)
    assert first.rel_uncertainty == 0.02
    assert second.um_per_px == pytest.approx(1.77e-4)
    third = table.of(Path("t.tif"), 7)
    assert third is not None
    assert third.um_per_px == pytest.approx(2000)
    assert table.of(Path("u.tif"), 0) is None


def test_pixels_that_are_not_square_keep_both_sides(tmp_path: Path) -> None:
    text = "file,um_per_px,um_per_px_x,um_per_px_y\na.tif,,0.2,0.3\nb.tif,0.5,,\n"
    table = read_table(written(tmp_path, text))
    a, b = table.of(Path("a.tif"), 0), table.of(Path("b.tif"), 0)
    assert a is not None
    assert b is not None
    assert (a.um_per_px_x, a.um_per_px_y) == (0.2, 0.3)
    assert b.um_per_px == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected the column file and um_per_px"),
        (
            "name,um_per_px\na,1\n",
            "expected the column file, got name, um_per_px (name; did you mean file?)",
        ),
        (
            "file,nm_per_px\na,1\n",
            "file, nm_per_px (nm_per_px; did you mean pixel_size, with nm as its unit?)",
        ),
        (
            "file,width\na,1\n",
            "expected the column um_per_px (or pixel_size and unit), got file, width",
        ),
        ("file,um_per_pix\na,1\n", "did you mean um_per_px?"),
        (
            "file,um_per_px\na.tif,wide\n",
            ": 1 problem\n  line 2: um_per_px: expected a number",
        ),
        ("file,um_per_px\na.tif,0\n", "line 2: um_per_px: expected a number above 0, got 0"),
        ("file,pixel_size,unit\na.tif,3,px\n", "line 2: unit: expected one of pm, A, nm, um"),
        ("file,um_per_px\n,2\n", "line 2: expected the name of a picture, got none"),
        ("file,um_per_px\na,1\na,2\n", "line 3: a has another pixel size than in a line before"),
        ("file,page,um_per_px\na,one,1\n", "line 2: page: expected a whole number, got 'one'"),
        (
            "file,um_per_px,um_per_px_x,um_per_px_y\na,0.02,0.01,0.01\n",
            "line 2: um_per_px_x 0.01, um_per_px_y 0.01 and um_per_px 0.02 are not one pixel size",
        ),
        (
            "file,um_per_px,pixel_size,unit\na,5,5,nm\n",
            "line 2: um_per_px 5 and pixel_size 5 are not one pixel size: correct both, or",
        ),
        (
            "file,um_per_px,unit\na,5,nm\n",
            "line 2: unit: expected um or none beside um_per_px, got nm",
        ),
        ("file,um_per_px\na.tif,1,5\n", "line 2: expected as many cells as columns, got 5 beyond"),
        ("file,um_per_px\na,1_0\n", "line 2: um_per_px: expected a number above 0, got '1_0'"),
        ("file,um_per_px,um_per_px\na,1,2\n", "expected each column once, got um_per_px twice"),
        (
            "file,um_per_px,um_per_px_x,um_per_px_y\na,,1,2\na,,2,1\n",
            "line 3: a has another pixel size than in a line before",
        ),
    ],
)
def test_a_table_that_says_no_pixel_size_is_refused_by_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ScaleError) as raised:
        read_table(written(tmp_path, text))
    assert said in str(raised.value)


def test_all_wrong_lines_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScaleError, match=r"2 problems\n  line 2: .*\n  line 4: "):
        read_table(written(tmp_path, "file,um_per_px\na,x\nb,1\nc,y\n"))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScaleError, match=r"no\.csv: cannot be read: No such file"):
        read_table(tmp_path / "no.csv")


def test_a_region_is_read_in_fractions_or_in_pixels() -> None:
    box = read_roi("0,0.75,1,0.25").within((400, 800))
    assert box is not None
    assert (box.x0, box.y0, box.x1, box.y1) == (0, 300, 799, 399)
    box = read_roi("10,20,5000,60").within((400, 800))
    assert box is not None
    assert (box.x0, box.y0, box.x1, box.y1) == (10, 20, 799, 79)
    assert read_roi("900,20,50,60").within((400, 800)) is None


@pytest.mark.parametrize("text", ["0,0,1", "a,b,c,d", "-1,0,5,5", "0,0,0,5", "0.5,10,20,20"])
def test_a_region_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ScaleError, match=r"--roi: expected .* got '"):
        read_roi(text)
