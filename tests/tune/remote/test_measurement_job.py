"""A measurement as a job beside a study: killed and kept alive, stopped and gone on with."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.storage.copying import send
from cluster.storage.opening import open_files
from tests.support.places import THIRD_PARTY
from tests.support.samples.measured_grains import grains_picture, write_model, write_picture
from tests.support.servers.heads import Head, running_head
from tests.support.servers.processes import words_of
from tests.support.study_samples import write_study
from tests.tune.remote.test_jobs import (
    LIMIT_S,
    asked,
    log_of,
    reports,
    wait_for_line,
    wait_for_reports,
    wait_until_gone,
    with_mark,
)

pytestmark = [pytest.mark.ray, pytest.mark.long]

PICTURES = 16

BATCH = 8
"""Pictures that are searched and not yet written down, at most (`analysis.measure.run`)."""


@dataclass(frozen=True)
class Place:
    """A head whose nodes have an engine of other people's, and the folder that all of them see."""

    head: Head
    folder: Path

    @property
    def user(self) -> Mapping[str, str]:
        return self.head.user

    @property
    def study(self) -> Path:
        return self.folder / "studies" / "beside"

    def shown(self) -> int:
        """Pictures that the model was shown."""
        count = self.folder / "count"
        return count.read_text().count("x") if count.is_file() else 0

    def hold(self, most: int) -> None:
        """Have the model wait once it was shown more pictures than that, until it is let go."""
        (self.folder / "held").write_text(str(most))

    def let_go(self) -> None:
        (self.folder / "held").unlink()

    def wait_until_it_died(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while "the driver died (SIGKILL)" not in (log := log_of(self.head, "measure")):
            assert time.monotonic() < deadline, log
            time.sleep(0.2)

    def wait_until_shown(self, n: int) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self.shown() < n:
            assert time.monotonic() < deadline, log_of(self.head, "measure")
            time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path, bucket: str) -> Iterator[Place]:
    for n in range(PICTURES):
        folder = "in" if n % 2 else "sent"
        write_picture(tmp_path / folder / f"{n:03d}.tif", grains_picture())
    send(tmp_path / "sent", open_files(f"{bucket}/{tmp_path.name}"))
    write_model(tmp_path / "model")
    (tmp_path / "measure.yaml").write_text(
        f"images: [in, {bucket}/{tmp_path.name}]\n"
        "model: model\nout: measured\ntrainable: threshold\n"
        "settings: {finding: {confidence: 0.1}, scale: {pixel_size: 2nm}}\n"
    )
    write_study(
        tmp_path,
        study="beside",
        storage=str(tmp_path / "studies"),
        budget={"trials": 400, "epochs": 60},
        fixed={"epoch_seconds": 0.5},
        resources={"concurrent": 1, "cpus_per_trial": 1},
    )
    engine: dict[str, Any] = {
        "PYTHONPATH": str(THIRD_PARTY),
        "THRESHOLD_ENGINE_COUNTED": str(tmp_path / "count"),
        "THRESHOLD_ENGINE_SECONDS": "0.3",
        "THRESHOLD_ENGINE_HELD": str(tmp_path / "held"),
    }
    with running_head(cpus=4, **engine) as head:
        yield Place(head, tmp_path)


def test_a_measurement_runs_beside_a_study_and_outlives_kill_and_stop(place: Place) -> None:
    user = place.user
    assert asked(place.folder, user, "submit", "study.yaml").returncode == 0
    wait_for_reports(place.study, 1)
    place.hold(6)  # so that whatever comes next finds it running, on however slow a machine
    sent = asked(place.folder, user, "submit", "measure.yaml", "--keep-alive", "1")
    assert sent.returncode == 0, sent.stderr
    wait_for_line(place.folder, user, r"^beside +running +study", "jobs")
    wait_for_line(place.folder, user, r"^measure +running +measure", "jobs")

    place.wait_until_shown(2)
    [driver] = [p for p in with_mark(place.head, "measure") if words_of(p)[-1:] == ["run"]]
    driver.kill()
    place.wait_until_it_died()
    place.wait_until_shown(place.shown() + 1)
    stopped = asked(place.folder, user, "stop", "measure")
    assert stopped.returncode == 0, stopped.stderr
    assert "interrupted; `segtune submit`" in stopped.stdout
    wait_until_gone(place.head, "measure")

    place.let_go()
    before = reports(place.study)
    done = asked(place.folder, user, "submit", "measure.yaml", "--follow")
    assert done.returncode == 0, done.stderr
    rows = (place.folder / "measured" / "particles.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * PICTURES
    assert f"in {PICTURES} of {PICTURES} pictures" in done.stdout
    assert (place.folder / "measured" / "report.html").is_file()
    kept = (place.head.folder / "home" / ".cache" / "segtune" / "pictures").glob("*/*.tif")
    assert len(list(kept)) == PICTURES / 2  # those of the bucket
    assert place.shown() <= PICTURES + 2 * BATCH  # each once, but for what two ends cut
    wait_for_reports(place.study, before + 1)
    assert asked(place.folder, user, "stop", "beside").returncode == 0
