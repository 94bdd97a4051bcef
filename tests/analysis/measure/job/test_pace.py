"""What is known of the time that a picture takes."""

import json
from pathlib import Path

import pytest

from analysis.measure.job.pace import PACE, known_pace, remember_pace

KIND = {"models": ["abc"], "pixels": (640, 480)}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder of a run among others."""
    folder = tmp_path / "runs" / "out"
    folder.mkdir(parents=True)
    return folder


def beside(out: Path, name: str, seconds: float, kind: object = KIND) -> None:
    folder = out.parent / name
    folder.mkdir()
    (folder / PACE).write_text(json.dumps({"seconds_a_picture": seconds, "kind": kind}))


def test_the_pace_is_the_mean_of_what_was_known_and_what_it_was(out: Path) -> None:
    assert known_pace(out, KIND) is None
    remember_pace(out, KIND, 2.0)
    assert known_pace(out, KIND) == 2.0
    remember_pace(out, KIND, 4.0)
    assert known_pace(out, KIND) == 3.0


def test_runs_beside_it_count_where_they_are_of_the_same_kind(out: Path) -> None:
    for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 9.0)):
        beside(out, name, seconds)
    beside(out, "other", 100.0, {**KIND, "models": ["xyz"]})
    assert known_pace(out, KIND) == 2.0, "the median"
    remember_pace(out, KIND, 5.0)
    assert known_pace(out, KIND) == 5.0, "its own goes before"


def test_another_kind_of_run_in_the_folder_is_forgotten(out: Path) -> None:
    remember_pace(out, KIND, 2.0)
    other = {**KIND, "pixels": (64, 48)}
    assert known_pace(out, other) is None
    remember_pace(out, other, 6.0)
    assert known_pace(out, other) == 6.0


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"seconds_a_picture": "soon", "kind": {}}', "\x00"]
    + [f'{{"seconds_a_picture": {n}, "kind": {{}}}}' for n in ("0", "-1", "Infinity", "NaN")],
)
def test_a_corrupt_record_is_ignored_with_a_word(
    out: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (out / PACE).write_text(text)
    assert known_pace(out, KIND) is None
    assert "expected the pace of earlier runs, got something else" in caplog.text
    remember_pace(out, KIND, 2.0)
    assert known_pace(out, KIND) == 2.0
