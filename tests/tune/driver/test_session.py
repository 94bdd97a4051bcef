"""What a driver holds while it runs."""

import errno
import json
import logging
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.support.study_samples import write_study
from tune.directory.layout import JOURNAL, LAYOUT, RESOLVED
from tune.directory.lock import is_driven
from tune.driver.session import (
    STUDY_LOGGER,
    full_disk_told,
    own_directory,
    study_log,
    terminable,
    uninterrupted,
)
from tune.errors import DriverError, StoreError
from tune.plan.plan import StudyPlan
from tune.plan.planning import plan_file


@pytest.fixture
def plan(tmp_path: Path) -> StudyPlan:
    return plan_file(write_study(tmp_path, storage=str(tmp_path / "studies")))


def test_a_driver_has_the_directory_for_itself_and_gives_it_back(plan: StudyPlan) -> None:
    with own_directory(plan, resume=False):
        assert is_driven(plan.directory)
        said = rf"a driver is running this study \(process {os.getpid()}\); `segtune status`"
        with pytest.raises(StoreError, match=said), own_directory(plan, resume=False):
            pass
    assert not is_driven(plan.directory)


def test_a_study_that_is_not_there_is_not_resumed(plan: StudyPlan) -> None:
    with (
        pytest.raises(StoreError, match="expected a study to resume, found none"),
        own_directory(plan, resume=True),
    ):
        pass
    assert not plan.directory.exists()


def test_a_resumed_study_keeps_when_it_was_created_and_what_it_knew_as_best(
    plan: StudyPlan,
) -> None:
    with own_directory(plan, resume=False):
        (plan.directory / JOURNAL).touch()
    resolved = json.loads((plan.directory / RESOLVED).read_text())
    assert resolved["layout"] == LAYOUT
    (plan.directory / RESOLVED).write_text(json.dumps({**resolved, "created": "long ago"}))
    with own_directory(plan, resume=True):
        pass
    assert json.loads((plan.directory / RESOLVED).read_text())["created"] == "long ago"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(DriverError, match=f"expected room .* `segtune resume {tmp_path}`"),
        full_disk_told(tmp_path),
    ):
        raise OSError(number, os.strerror(number))


def test_another_error_of_the_disk_is_let_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), full_disk_told(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_the_log_has_details_and_the_error_a_study_ended_by(tmp_path: Path) -> None:
    def fail() -> None:
        with study_log(tmp_path):
            STUDY_LOGGER.info("a line")
            logging.getLogger("tune.driver.driver").debug("a detail")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    logging.getLogger("tune.driver.driver").warning("after the study")
    log = (tmp_path / "segtune.log").read_text()
    assert "INFO segtune: a line" in log
    assert "DEBUG tune.driver.driver: a detail" in log
    assert "the study ended by an error\nTraceback" in log
    assert "after the study" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_is_terminable_and_not_what_is_uninterrupted(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    with uninterrupted():
        signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt), terminable():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
