import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import DATA
from tests.support.rehearsed_study import rehearse
from tune.directory.reader import StudyDir


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A finished study: 14 trials of 12 epochs with ASHA."""
    return rehearse(
        tmp_path_factory.mktemp("finished"),
        budget={"trials": 14, "epochs": 12},
        search="random",
        scheduler={"kind": "asha", "grace_period": 3},
    )


@pytest.fixture(scope="session")
def minimised(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A finished study whose objective is a loss."""
    return rehearse(
        tmp_path_factory.mktemp("minimised"),
        objective={"metric": "val/loss"},
        budget={"trials": 6, "epochs": 8},
        search="random",
        scheduler={"kind": "asha", "grace_period": 2},
    )


@pytest.fixture(scope="session")
def constrained(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A finished study whose trials are held to a count error that not all of them keep."""
    return rehearse(
        tmp_path_factory.mktemp("constrained"),
        objective={"constraints": {"measure/count_error": {"at_most": 0.535}}},
        budget={"trials": 14, "epochs": 20},
        search="random",
        scheduler={"kind": "asha", "grace_period": 5},
    )


@pytest.fixture(scope="session")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A study in which trials crash, diverge and stay flat."""
    return rehearse(
        tmp_path_factory.mktemp("troubled"),
        budget={"trials": 4, "epochs": 8},
        search="grid",
        search_space={"behaviour": {"choice": ["crash", "learns", "nan", "flat"]}},
        scheduler={"kind": "none"},
    )


@pytest.fixture(scope="session")
def all_failed(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A study of which every trial fails."""
    return rehearse(
        tmp_path_factory.mktemp("all_failed"),
        budget={"trials": 2, "epochs": 8},
        search="random",
        fixed={"behaviour": "nan"},
        scheduler={"kind": "none"},
    )


@pytest.fixture(scope="session")
def not_begun(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A study directory without a single trial."""
    return rehearse(tmp_path_factory.mktemp("not_begun"), run=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets, beside the repository."""
    folder = DATA
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder}")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium; Playwright's own cannot be had everywhere."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on this machine")
    flags = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
    with driver.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=flags)
        yield opened
        opened.close()
