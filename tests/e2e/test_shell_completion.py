"""Completion of command lines by the shell, asked for as the shell does."""

from pathlib import Path

import pytest

from tests.support.command_line import segtune
from tune.cli.main import VERBS


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the shell be named instead of being the one that the tests run in."""
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")


def completed(folder: Path, words: str) -> list[str]:
    """What bash offers for the last word of a command line."""
    answer = segtune(
        folder,
        _SEGTUNE_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


def test_verbs_and_options_are_completed(tmp_path: Path) -> None:
    assert completed(tmp_path, "segtune p") == ["prepare", "plan", "pick", "predict"]
    assert completed(tmp_path, "segtune retrain --ot") == ["--other-classes"]
    assert completed(tmp_path, "segtune best s") == ["show", "set"]
    names = {verb.__name__ for verb in VERBS}
    assert set(completed(tmp_path, "segtune ")) == {*names, "best", "cluster", "wandb"}


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".bash_completions/segtune.sh"),
        ("zsh", ".zfunc/_segtune"),
        ("fish", ".config/fish/completions/segtune.fish"),
    ],
)
def test_completion_is_installed_for_a_shell(tmp_path: Path, shell: str, place: str) -> None:
    answer = segtune(tmp_path, "--install-completion", shell, HOME=str(tmp_path))
    assert answer.returncode == 0, answer.stderr
    assert f"{shell} completion installed in {tmp_path / place}" in answer.stdout
    assert "_SEGTUNE_COMPLETE" in (tmp_path / place).read_text()


def test_completion_is_shown_to_be_copied(tmp_path: Path) -> None:
    answer = segtune(tmp_path, "--show-completion", "bash", HOME=str(tmp_path))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.rstrip().endswith("complete -o default -F _segtune_completion segtune")
    assert list(tmp_path.iterdir()) == []


def test_the_shell_asks_without_anything_slow_being_imported(tmp_path: Path) -> None:
    answer = segtune(
        tmp_path,
        _SEGTUNE_COMPLETE="complete_bash",
        COMP_WORDS="segtune pl",
        COMP_CWORD="1",
        PYTHONPROFILEIMPORTTIME="1",
    )
    assert answer.stdout.split() == ["plan"]
    imported = {line.split("|")[-1].strip() for line in answer.stderr.splitlines()}
    assert "typer" in imported
    assert imported & {"numpy", "ray", "torch", "optuna", "pandas"} == set()
