"""Places where nothing can be written are known before any work, by what the system says."""

from pathlib import Path

import pytest

from trainables.files.places import why_not_writable


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a file, a link that leads nowhere and two that lead in a circle."""
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("back")
    (tmp_path / "back").symlink_to("circle")
    (tmp_path / "nowhere").symlink_to("gone")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("file", "there is a file of this name"),
        ("file/x", "{here}/file is a file"),
        ("circle", "{here}/circle: Too many levels of symbolic links"),
        ("circle/x", "{here}/circle: Too many levels of symbolic links"),
        ("nowhere/x", "{here}/nowhere: No such file or directory"),
        ("a" * 230, "the name is too long"),
        ("ä" * 110, "the name is too long"),
        ("/".join(["a" * 100] * 45), "the path is too long"),
        ("/dev/null/x", "/dev/null is a file"),
        ("/proc/x/y", "/proc may not be written to (No such file or directory)"),
        ("a\0b", "the name has a null character"),
    ],
)
def test_why_no_folder_can_be_made_is_said(here: Path, place: str, why: str) -> None:
    said = why_not_writable(here / place, folder=True)
    assert said == why.format(here=here)


def test_a_place_that_can_be_written_is_left_as_it_was(here: Path) -> None:
    before = sorted(here.iterdir())
    assert why_not_writable(here / "new" / "deeper", folder=True) == ""
    assert why_not_writable(here, folder=True) == ""
    assert why_not_writable(here / "file", folder=False) == ""
    assert sorted(here.iterdir()) == before


def test_a_folder_is_no_file(here: Path) -> None:
    assert why_not_writable(here, folder=False) == "it is a folder"
