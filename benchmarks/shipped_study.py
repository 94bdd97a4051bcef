"""What it costs to ship a study of many trials to its mirror in a bucket.

    python -m benchmarks.shipped_study --trials 5000

The plan, journal, controller, recorder and engine (the simulated one) are the real ones, only Ray
is missing; the bucket is the emulator, a process of its own. Printed are the objects that are there
when the study ends and the most that were, the bytes sent, and the time on the processors that
shipping took of the driver, a trial.
"""

import argparse
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.storage.opening import open_objects
from tests.support.rehearsed_study import go_on, rehearse
from tests.support.servers.bucket_server import bucket_server
from trainables.files.errors import UserError
from tune.directory.reader import StudyDir
from tune.mirror.bringing import bring
from tune.mirror.mirror import mirror_address, mirrored, place_of


def main() -> None:
    """Run a study of many trials, ship it, bring it back, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segtune-shipped-") as folder, bucket_server() as place:
        shipped(Path(folder), place, given.trials, given.epochs)


@dataclass
class Counting:
    """Counts the objects of a place, every second.

    Attributes:
        place: The place.
        most: The most there were.
    """

    place: str
    most: int = 0

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> int:
        """The number there is now; counts no more."""
        self._over.set()
        self._thread.join()
        return self.now()

    def now(self) -> int:
        """The number there is now."""
        found = len(open_objects(self.place).there(""))
        self.most = max(self.most, found)
        return found

    def _run(self) -> None:
        while not self._over.wait(1):
            with suppress(UserError):
                self.now()


def shipped(folder: Path, place: str, trials: int, epochs: int) -> None:
    """Run and ship one study; prints the figures."""
    made = rehearse(
        folder,
        run=False,
        budget={"trials": trials, "epochs": epochs},
        scheduler={"kind": "asha", "grace_period": 1, "reduction_factor": 2},
        search="random",
        mirror=f"{place}/scale",
    )
    address = mirror_address(made.study)
    counting = Counting(address)
    began, cpu_s = time.monotonic(), time.process_time()
    with mirrored(made.study, made.path, resume=True) as mirror:
        assert mirror is not None
        study = go_on(made, mirror.touch, close=True)
        run_s, run_cpu_s = time.monotonic() - began, time.process_time() - cpu_s
        closing = time.monotonic(), time.process_time()
    end_s, end_cpu_s = time.monotonic() - closing[0], time.process_time() - closing[1]
    counts, left = mirror.counts, counting.end()
    threads_s = sum(counts.seconds.values())
    print(f"{trials} trials of up to {epochs} epochs: {run_s:.0f} s, CPU {run_cpu_s:.0f} s in all")
    print(f"segments {counts.segments}, {counts.bytes_of_segments / 1e6:.1f} MB sent")
    print(f"objects: at most {counting.most}, {left} when it ended")
    print(f"CPU of shipping: {1000 * threads_s / trials:.2f} ms a trial ({counts.seconds})")
    print(f"end: {end_s:.1f} s, CPU {end_cpu_s:.1f} s, to put the segments together")
    began = time.monotonic()
    bring(place_of(address), folder / "elsewhere" / study.path.name)
    print(f"brought back in {time.monotonic() - began:.1f} s")
    assert len(StudyDir.open(folder / "elsewhere" / study.path.name).trials()) == trials


if __name__ == "__main__":
    main()
