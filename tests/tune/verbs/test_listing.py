"""All studies in a place, and the notes and tags that are kept with one."""

from pathlib import Path

import pytest

from tests.support.command_line import segtune
from tests.support.rehearsed_study import rehearse
from tests.support.servers.bucket_server import bucket_server
from tune.directory.diary import read_diary
from tune.directory.layout import DIARY
from tune.errors import StoreError
from tune.mirror.mirror import mirrored
from tune.verbs.comparing import compare
from tune.verbs.listing import list_studies
from tune.verbs.noting import note


def test_a_folder_of_studies_is_listed_with_state_best_and_size(tmp_path: Path) -> None:
    done = rehearse(tmp_path, study="done", budget={"trials": 2, "epochs": 3})
    rehearse(tmp_path, study="half", budget={"trials": 2, "epochs": 3}, stop_after=1)
    (tmp_path / "studies" / "no-study").mkdir()
    note(done.path, "as in the paper", tags=["paper"])
    half, whole = list_studies(tmp_path / "studies")[::-1]
    assert (whole.name, whole.cells["state"], whole.cells["trials"]) == (
        "done",
        "finished",
        "2 of 2",
    )
    best = max(t.objective for t in done.trials() if t.objective is not None)
    assert whole.cells["best"] == f"{best:.4f}"
    assert (half.name, half.cells["state"], half.cells["trials"]) == (
        "half",
        "not running",
        "0 of 2",
    )
    assert whole.size == sum(f.stat().st_size for f in done.path.rglob("*") if f.is_file())
    shown = segtune(tmp_path, "list", "studies")
    assert shown.returncode == 0, shown.stderr
    assert "as in the paper" in shown.stdout
    damaged = tmp_path / "studies" / "half" / "resolved.json"
    damaged.write_text("{")
    assert "cannot be read" in list_studies(tmp_path / "studies")[1].problem
    assert "half: " in segtune(tmp_path, "list", "studies").stdout


def test_a_best_that_breaks_a_constraint_has_its_mark_in_the_list(tmp_path: Path) -> None:
    bounds = {"seg_metrics/recall": {"at_least": 0.999}}
    objective = {"metric": "seg_metrics/F1", "constraints": bounds}
    rehearse(tmp_path, budget={"trials": 2, "epochs": 3}, objective=objective)
    [one] = list_studies(tmp_path / "studies")
    assert one.cells["best"].endswith(" !")


def test_notes_and_tags_stay_and_status_shows_them(tmp_path: Path) -> None:
    study = rehearse(tmp_path, budget={"trials": 1, "epochs": 2})
    note(study.path, "first", tags=["b", "a"])
    after = note(study.path, "second", untag=["b"])
    assert [one.text for one in after.notes] == ["first", "second"]
    assert after.tags == ("a",)
    assert read_diary(study.path) == after
    assert note(study.path) == after
    shown = segtune(tmp_path, "status", str(study.path)).stdout
    assert "tags a" in shown
    assert "second" in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tags": ["two words"]}, "the nearest is two-words"),
        ({"untag": ["papr"]}, r"--untag: expected one of its tags \(none\), got papr"),
        ({"text": "x" * 3000}, "at most 2000 characters"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(
    tmp_path: Path, given: dict[str, list[str]], said: str
) -> None:
    study = rehearse(tmp_path, run=False)
    with pytest.raises(StoreError, match=said):
        note(study.path, **given)  # type: ignore[arg-type]
    assert not (study.path / DIARY).exists()


@pytest.mark.slow
def test_studies_in_a_bucket_are_listed_and_compared_with_their_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with bucket_server() as bucket:
        made = rehearse(
            tmp_path, budget={"trials": 2, "epochs": 3}, mirror={"place": f"{bucket}/lab"}
        )
        note(made.path, "shipped", tags=["far"])
        with mirrored(made.study, made.path, resume=True):
            pass
        note(f"{bucket}/lab/sample", "from afar")
        assert [one.text for one in note(made.path).notes] == ["shipped", "from afar"]
        (listed,) = list_studies(f"{bucket}/lab")
        assert listed.name == "sample"
        assert listed.size > 0
        assert listed.cells["tags"] == "far"
        lines = compare([f"{bucket}/lab/sample"]).lines
        here = compare([made.path]).lines
    assert lines == here
    assert "  sample: tags far" in lines
