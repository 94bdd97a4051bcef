"""Drivers on two machines that want the same study at the same time."""

import re
from pathlib import Path

import pytest

from tests.faults.test_mirror import check_study, decided, epochs_at, study_of
from tests.support.rehearsed_study import rehearse_file
from tests.support.servers.machines import WAIT_S, computers, wait_until
from tune.directory.layout import JOURNAL

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

REFUSED = r"process \d+ on \S+ is running this study \(term \d\)"


def test_of_two_drivers_one_runs_the_study_and_the_other_is_told_which(
    bucket: str, tmp_path: Path
) -> None:
    address = f"{bucket}/{tmp_path.name}/sample"
    with computers(tmp_path, 3) as [first, second, third]:
        storage = first.disk / "studies"
        slow = {"epoch_seconds": 3.0}
        file = study_of(tmp_path, address, storage=str(storage), fixed=slow)
        unbroken = decided(rehearse_file(file, tmp_path / "unbroken").path / JOURNAL)
        first.start("tune", file)
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
