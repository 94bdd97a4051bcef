"""A disk that takes its time under a real driver: the study is slower, and the same."""

from pathlib import Path

import pytest

from tests.faults.test_mirror import decided, study_of
from tests.support.places import ALTERED, ROOT
from tests.support.rehearsed_study import rehearse_file
from tests.support.servers.machines import WAIT_S, computers
from tests.support.simulation import values_written
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]


def test_a_slow_disk_changes_no_decision(tmp_path: Path) -> None:
    with computers(tmp_path, 1) as [machine]:
        storage, fast = machine.disk / "studies", {"epoch_seconds": 0.0}
        file = study_of(tmp_path, "", mirror=None, storage=str(storage), fixed=fast)
        unbroken = decided(rehearse_file(file, tmp_path / "unbroken").path / JOURNAL)
        path = f"{ALTERED}:{ROOT}"
        driver = machine.start("tune", file, PYTHONPATH=path, ALTERED_DISK="0.2")
        assert driver.wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
        assert "Traceback" not in machine.log.read_text()
        study = storage / "sample"
        written = values_written(study / JOURNAL)
        assert len(written) == len(set(written)) > 8
        assert decided(study / JOURNAL) == unbroken
        assert {t.state for t in StudyDir.open(study).trials()} <= {"complete", "pruned"}
