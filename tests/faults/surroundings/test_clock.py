"""A machine whose clock is set while a study runs: by a day on, then by three days back."""

from pathlib import Path

import pytest

from tests.faults.test_mirror import check_study, decided, epochs_at, more_than, study_of
from tests.support.places import ALTERED, ROOT
from tests.support.rehearsed_study import rehearse_file
from tests.support.servers.machines import WAIT_S, computers, wait_until
from tune.directory.layout import JOURNAL, elapsed_before_s

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

DAY_S = 86_400


def test_a_clock_that_jumps_changes_no_decision_and_no_hours(bucket: str, tmp_path: Path) -> None:
    address = f"{bucket}/{tmp_path.name}/sample"
    shift = tmp_path / "shift"
    shift.write_text("0")
    path = f"{ALTERED}:{ROOT}"
    with computers(tmp_path, 2) as [machine, other]:
        budget = {"trials": 4, "epochs": 8, "hours": 1.0}
        storage = machine.disk / "studies"
        file = study_of(tmp_path, address, storage=str(storage), budget=budget)
        unbroken = decided(rehearse_file(file, tmp_path / "unbroken").path / JOURNAL)
        driver = machine.start("tune", file, PYTHONPATH=path, ALTERED_CLOCK=str(shift))
        for jump in (DAY_S, -2 * DAY_S):
            wait_until("it is shipped", machine.log, more_than(epochs_at(address), address))
            shift.write_text(str(jump))
        wait_until("it goes on", machine.log, more_than(epochs_at(address), address))
        assert driver.wait(timeout=WAIT_S) == 0, machine.log.read_text()[-3000:]
        said = machine.log.read_text()
        assert "Traceback" not in said
        assert "taken over" not in said
        assert 0 < elapsed_before_s(storage / "sample") < 3600
        assert "sample finished" in other.run("status", address)
    check_study(address, unbroken, tmp_path)
