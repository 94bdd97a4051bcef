"""A study is opened by its directory or by its study file."""

import shutil
from pathlib import Path

import pytest

from tests.support.command_line import segtune
from tests.support.rehearsed_study import go_on, rehearse
from tests.support.study_samples import write_study
from trainables.files.errors import UserError
from tune.directory.reader import StudyDir, TrialRecord
from tune.mirror.mirror import mirrored
from tune.verbs.opening import has_begun, open_study, open_to_resume
from tune.verbs.reporting import report


def test_a_study_file_names_its_study_as_its_directory_does(tmp_path: Path) -> None:
    study = rehearse(tmp_path, budget={"trials": 1, "epochs": 3})
    by_file = tmp_path / "study.yaml"
    assert by_file.is_file()
    copies = (study.path, by_file, study.path / "study.yaml", str(by_file))
    assert {open_study(place).path for place in copies} == {study.path}


@pytest.mark.parametrize("verb", ["status", "report", "export"])
def test_verbs_about_a_study_take_its_study_file(verb: str, tmp_path: Path) -> None:
    rehearse(tmp_path, budget={"trials": 1, "epochs": 3})
    done = segtune(tmp_path, verb, "study.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_study_file_whose_study_has_not_begun_is_refused_with_the_command(
    tmp_path: Path,
) -> None:
    file = write_study(tmp_path)
    with pytest.raises(UserError, match=r"expected a study directory at .*, found none") as e:
        open_study(file)
    assert f"`segtune tune {file}` makes it" in str(e.value)


def test_a_file_that_names_no_study_is_refused_by_its_keys(tmp_path: Path) -> None:
    other = tmp_path / "best.yaml"
    other.write_text("engine: yolo_seg\n")
    with pytest.raises(UserError, match="study: required key is missing"):
        open_study(other)


def test_trials_are_read_once_for_leaderboard_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = rehearse(tmp_path, budget={"trials": 2, "epochs": 3})
    read: list[Path] = []
    real = StudyDir.trials

    def counted(opened: StudyDir) -> tuple[TrialRecord, ...]:
        read.append(opened.path)
        return real(opened)

    monkeypatch.setattr(StudyDir, "trials", counted)
    leaderboard, page = report(tmp_path / "study.yaml")
    assert (leaderboard.name, page.name) == ("leaderboard.csv", "report.html")
    assert leaderboard.is_file()
    assert page.is_file()
    assert read == [study.path]


def test_a_study_file_that_is_not_there_is_told_with_the_one_of_like_name(tmp_path: Path) -> None:
    (tmp_path / "powder.yaml").write_text("study: powder\n")
    with pytest.raises(UserError) as error:
        open_study(tmp_path / "powdr.yaml")
    wanted = "expected a study directory or a study file, found none; did you mean powder.yaml?"
    assert str(error.value) == f"{tmp_path / 'powdr.yaml'}: {wanted}"


def test_a_study_that_has_not_begun_is_told_from_one_that_has(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    assert not has_begun(file)
    (tmp_path / "studies" / "sample").mkdir(parents=True)  # a driver killed at its very start
    assert not has_begun(file)
    study = rehearse(tmp_path / "other", budget={"trials": 1, "epochs": 3})
    assert has_begun(tmp_path / "other" / "study.yaml")
    assert has_begun(study.path / "study.yaml")


@pytest.mark.ray
@pytest.mark.slow
def test_or_start_starts_a_study_goes_on_with_it_and_leaves_it_when_complete(
    tmp_path: Path,
) -> None:
    space = {"lr0": {"uniform": [0.001, 0.01]}}
    write_study(tmp_path, budget={"trials": 1, "epochs": 2}, search_space=space)
    more = ("--set", "budget.trials=2")
    for options, told in (((), "trial 0 started"), (more, "trial 1 started"), ((), "resumed: 2/2")):
        done = segtune(tmp_path, "resume", "--or-start", "study.yaml", *options)
        assert done.returncode == 0, done.stderr
        assert told in done.stdout
    missing = segtune(tmp_path, "resume", "--or-start", "studdy.yaml")
    assert missing.returncode == 2
    assert "did you mean study.yaml?" in missing.stderr


def test_a_copy_of_a_mirrored_study_is_refused_before_its_mirror_is_brought_to_it(
    tmp_path: Path,
) -> None:
    mirror = {"place": str(tmp_path / "shared"), "lease_seconds": 1}
    study = rehearse(tmp_path, budget={"trials": 2, "epochs": 5}, mirror=mirror, stop_after=7)
    copy = shutil.copytree(study.path, study.path.with_name("copied"))
    go_on(study)
    with mirrored(study.study, study.path, resume=True):
        pass
    before = (copy / "optuna.journal").read_bytes()
    with pytest.raises(UserError, match="expected the folder of study sample to have its name"):
        open_to_resume(copy)
    assert (copy / "optuna.journal").read_bytes() == before
