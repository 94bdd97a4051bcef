"""Files that a crash leaves whole."""

import os
from pathlib import Path

import pytest

from trainables.files.whole import write_json, write_text


def test_a_text_is_on_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.json"
    write_text(path, "old")
    seen: list[tuple[str, str]] = []

    def fsync(file: int) -> None:
        seen.append((path.read_text(), Path(f"/proc/self/fd/{file}").read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "new")
    assert seen == [("old", "new")]
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_named_by_its_own_name_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.json" / "below").mkdir(parents=True)
    with pytest.raises(OSError, match="directory") as error:
        write_json(tmp_path / "report.json", {})
    assert error.value.filename == str(tmp_path / "report.json")
    assert error.value.filename2 is None
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]
