import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tools.set_up import (
    SetupError,
    create_environment,
    install_detectron2,
    install_packages,
    missing_packages,
)

FALSE = Path(shutil.which("false") or "/bin/false")


def test_only_libraries_that_cannot_be_loaded_are_missing() -> None:
    libraries = {"libc.so.6": "libc6", "libno-such-thing.so.9": "libno-such-thing9"}
    assert missing_packages(libraries) == ["libno-such-thing9"]


@pytest.mark.slow
def test_an_environment_is_made_once_kept_while_it_works_and_made_again_when_broken(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ".venv"
    create_environment(folder)
    python = folder / "bin" / "python"
    asked = [str(python), "-c", "import pip, sys; print(sys.prefix)"]
    assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip() == str(
        folder
    )
    (folder / "kept").write_text("")
    create_environment(folder)
    assert (folder / "kept").exists()

    shutil.rmtree(next(folder.glob("lib/python*/site-packages/pip")))
    create_environment(folder)
    assert not (folder / "kept").exists()
    subprocess.run(asked, check=True, capture_output=True)


def test_a_pip_that_fails_ends_in_one_sentence_with_its_own_words() -> None:
    with pytest.raises(SetupError, match="pip could not install the pinned packages: no message"):
        install_packages(FALSE)


def test_a_failing_detectron2_tool_ends_the_set_up() -> None:
    with pytest.raises(SetupError):
        install_detectron2(FALSE)


def test_make_says_which_python_it_expects(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    done = subprocess.run(
        ["make", "setup", f"PYTHON={FALSE}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "setup: expected Python 3.11 or later, got" in done.stderr
    assert "make setup PYTHON=/path/to/python3.11" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_setting_up_needs_nothing_but_the_standard_library() -> None:
    tool = ROOT / "tools" / "set_up.py"
    code = f"import runpy; runpy.run_path({str(tool)!r}, run_name='set_up')"
    subprocess.run([sys.executable, "-S", "-I", "-c", code], check=True)
