"""Drivers on two machines that want the same study at the same time."""

import re
from pathlib import Path

import pytest

from tests.faults.test_mirror import check_study, epochs_at, study_of, whole_run
from tests.support.servers.machines import WAIT_S, computers, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

REFUSED = r"process \d+ on \S+ is running this study \(term \d\)"


def test_of_two_drivers_one_runs_the_study_and_the_other_is_told_which(
    bucket: str, tmp_path: Path
) -> None:
    unbroken = whole_run(tmp_path / "unbroken")
    address = f"{bucket}/{tmp_path.name}/sample"
    with computers(tmp_path, 3) as [first, second, third]:
        storage = first.disk / "studies"
        slow = {"epoch_seconds": 1.0}
        first.start("tune", study_of(tmp_path, address, storage=str(storage), fixed=slow))
        wait_until("epochs are shipped", first.log, lambda: epochs_at(address) >= 4)
        refused = second.run("resume", address)
        assert refused.endswith("exit code 2"), refused
        assert re.search(REFUSED, refused), refused
        assert "Traceback" not in refused
        before = epochs_at(address)
        wait_until("the first goes on", first.log, lambda: epochs_at(address) > before)
        first.cut()
        both = [(machine, machine.start("resume", address)) for machine in (second, third)]
        codes = [driver.wait(timeout=WAIT_S) for _, driver in both]
        said = [machine.log.read_text() for machine, _ in both]
        assert sorted(codes) == [0, 2], said
        assert re.search(REFUSED, said[codes.index(2)]), said
        check_study(address, unbroken, tmp_path)
