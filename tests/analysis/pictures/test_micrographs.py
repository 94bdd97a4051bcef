import os
from pathlib import Path

import mrcfile  # type: ignore[import-untyped]
import numpy as np
import pytest

from analysis.errors import PicturesError
from analysis.pictures.micrographs import Micrograph, find_micrographs
from tests.support.raw_samples import write_picture


def _pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_picture(folder / name, seed=0)


def _names(found: list[Micrograph]) -> list[str]:
    return [micrograph.name for micrograph in found]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_folders_and_patterns_are_taken_in_their_order_and_once(here: Path) -> None:
    _pictures(here / "grid1", "b.png", "a.png")
    _pictures(here / "grid2", "c.png", ".hidden.png")
    (here / "grid2" / "notes.txt").write_text("no picture")
    found = find_micrographs(["grid2/c.png", "grid1", "grid*/*.png"], here / "out")
    assert _names(found) == ["grid2/c.png", "grid1/a.png", "grid1/b.png"]
    assert [micrograph.stem for micrograph in found] == ["c", "a", "b"]


def test_a_pattern_reaches_into_folders_below(here: Path) -> None:
    _pictures(here / "raw" / "deep", "a.png")
    with pytest.raises(PicturesError, match=r"raw: expected pictures in it .*'raw/\*\*/\*.png'"):
        find_micrographs(["raw"], here / "out")
    assert _names(find_micrographs(["raw/**/*.png"], here / "out")) == ["raw/deep/a.png"]


def test_what_an_earlier_run_wrote_is_no_micrograph(here: Path) -> None:
    _pictures(here, "a.png")
    _pictures(here / "out" / "masks", "a.png")
    assert _names(find_micrographs([".", "**/*.png"], here / "out")) == ["a.png"]


def test_a_folder_below_the_results_is_told_to_be_one(here: Path) -> None:
    _pictures(here / "io", "a.png")
    with pytest.raises(PicturesError, match=r"io: expected micrographs elsewhere than below --out"):
        find_micrographs(["io"], here / "io")


def test_pictures_of_one_name_get_files_of_different_names(here: Path) -> None:
    _pictures(here / "grid1", "m_1.png", "m_2.png")
    _pictures(here / "grid2", "M_1.png")
    found = find_micrographs(["grid1", "grid2"], here / "out")
    assert [m.stem for m in found] == ["grid1_m_1_png", "m_2", "grid2_M_1_png"]


@pytest.mark.parametrize("suffix", [".mrc", ".mrcs"])
def test_a_stack_has_a_micrograph_for_each_section(here: Path, suffix: str) -> None:
    with mrcfile.new(here / f"s{suffix}") as mrc:
        mrc.set_data(np.zeros((3, 8, 9), np.float32))
    for asked in (f"s{suffix}", "."):
        found = find_micrographs([asked], here / "out")
        assert [(m.name, m.page, m.stem) for m in found] == [
            (f"s{suffix}", 0, "s"),
            (f"s_p1{suffix}", 1, "s_p1"),
            (f"s_p2{suffix}", 2, "s_p2"),
        ]


def test_a_stack_that_cannot_be_read_is_left_to_be_reported_with_the_others(here: Path) -> None:
    (here / "s.mrc").write_text("no stack")
    assert _names(find_micrographs(["s.mrc"], here / "out")) == ["s.mrc"]


def test_a_name_with_brackets_is_a_file_where_there_is_one(here: Path) -> None:
    _pictures(here, "a[1].png")
    assert _names(find_micrographs(["a[1].png"], here / "out")) == ["a[1].png"]


def test_a_name_that_is_no_text_is_written_with_marks_in_place_of_its_bytes(here: Path) -> None:
    raw = Path(os.fsdecode(b"m\xff.png"))
    _pictures(here, "a.png")
    (here / "a.png").rename(here / raw)
    (found,) = find_micrographs(["."], here / "out")
    assert found.path.is_file()
    assert (found.name, found.stem) == ("m\ufffd.png", "m\ufffd")


def test_everything_that_is_no_micrograph_is_named_at_once(here: Path) -> None:
    _pictures(here, "grid-5.png")
    (here / "empty").mkdir()
    (here / "notes.txt").write_text("no picture")
    with pytest.raises(PicturesError) as raised:
        find_micrographs(["empty", "notes.txt", "grid-4.png", "*.mrc", "grid-5.png"], here / "out")
    said = str(raised.value).splitlines()
    assert len(said) == 4
    assert said[0] == "empty: expected pictures in it (MRC, TIFF, PNG, JPEG), got none"
    assert "notes.txt: expected a picture" in said[1]
    assert said[2].startswith("grid-4.png: expected a picture, a folder or a pattern, found")
    assert said[2].endswith("did you mean grid-5.png?")
    assert "*.mrc: expected pictures" in said[3]
    assert "the pattern matches none" in said[3]
