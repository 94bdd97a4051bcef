"""What it costs to ship a study of many trials to its mirror in a bucket.

    python -m benchmarks.shipped_study --trials 5000
    python -m benchmarks.shipped_study --training --epochs 8

Journal, recorder and mirror are the real ones; trials are written one after the other by what a
driver writes with, without waiting for an engine, a search or Ray. The bucket is the emulator, a
process of its own. Printed are the objects that are there when the study ends and the most that
were, the bytes sent, and the time on the processors that shipping took of the driver, a trial.

With `--training` one trial is trained, by YOLO11n from scratch on 24 small pictures, in a process
of its own. Printed is how long its driver, and with it the training, had to wait for the mirror:
what it does before each decision and for each checkpoint, beside the epochs' time.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from optuna.trial import TrialState

from cluster.storage.opening import open_objects
from tests.support.discs import prepare_discs
from tests.support.rehearsed_study import go_on, rehearse
from tests.support.servers.bucket_server import bucket_server
from trainables.files.errors import UserError
from trainables.files.whole import write_json
from trainables.trials.keeping import BestKeeper
from tune.directory.journal import Arrival, Journal
from tune.directory.layout import JOURNAL
from tune.directory.reader import StudyDir
from tune.directory.trials import Proposal, TrialAssignment, TrialOutcome
from tune.directory.writer import Recorder
from tune.driver.search import Search
from tune.mirror.bringing import bring
from tune.mirror.mirror import Mirror, mirror_address, mirrored, place_of
from tune.plan.plan import StudyPlan
from tune.plan.resume import plan_resumed
from tune.stopping.decision import Rule

_METRICS = [f"seg_metrics/m{number}" for number in range(26)]


def main() -> None:
    """Write a study of many trials, ship it, bring it back, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--training", action="store_true", help="train one trial instead")
    parser.add_argument("--folder", type=Path, help="for the study; default: a temporary one")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="segtune-shipped-", dir=given.folder) as folder,
        bucket_server() as place,
    ):
        if given.training:
            trained(Path(folder), place, given.epochs)
        else:
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


def written(plan: StudyPlan, epochs: int, changed: Callable[[int], None]) -> None:
    """Write all trials of a study."""
    study, dice = plan.study, random.Random(0)
    journal = Journal(plan.directory / JOURNAL, study.study, study.objective.mode)
    recorder = Recorder(plan.directory, plan.fixed)
    recorder.changed = changed
    search = Search(plan.configurations, "random", (), study.seed, study.budget.trials)
    for n in range(study.budget.trials):
        params = {"lr0": dice.uniform(1e-4, 0.1), "batch": 8, "optimizer": "AdamW"}
        proposal = Proposal(params)
        number = journal.create(search.template(proposal, n))
        assignment = TrialAssignment(number, proposal, search.seed_of(number))
        attempt, _, _ = recorder.begin(assignment)
        keeper, curve = BestKeeper(attempt, study.objective.goal), list[dict[str, float]]()
        for epoch in range(1, epochs + 1):
            values = {name: dice.random() for name in (*_METRICS, study.objective.metric)}
            curve.append(values)
            history = [{"epoch": n, "values": line} for n, line in enumerate(curve, 1)]
            keeper.offer(epoch, values, _checkpoint(attempt, history))
            recorder.report(number, epoch, values)
            journal.report(Arrival(number, epoch, values[study.objective.metric]))
        _end(journal, recorder, number, epochs, curve)


def _end(
    journal: Journal, recorder: Recorder, number: int, epochs: int, values: list[dict[str, float]]
) -> None:
    best = max(line["seg_metrics/F1"] for line in values)
    outcome = TrialOutcome("complete", Rule.EPOCHS, epoch=epochs, message="trained to its end")
    journal.annotate(number, "ending", {"stop_reason": "epochs", "message": outcome.message})
    journal.tell(number, TrialState.COMPLETE, best)
    recorder.end(number, outcome)
    recorder.close(number)


def _checkpoint(attempt: Path, history: list[dict[str, object]]) -> Path:
    """A checkpoint of 20 kB, which is an object of its own."""
    new, final = attempt / "checkpoint.new", attempt / "checkpoint"
    new.mkdir()
    (new / "model.pt").write_bytes(random.randbytes(20_000))
    write_json(new / "history.json", history, on_disk=False)
    if final.exists():
        for file in final.iterdir():
            file.unlink()
        final.rmdir()
    return new.rename(final)


def shipped(folder: Path, place: str, trials: int, epochs: int) -> None:
    """Write and ship one study; prints the figures."""
    made = rehearse(
        folder,
        run=False,
        budget={"trials": trials, "epochs": epochs},
        scheduler={"kind": "none"},
        search="random",
        mirror=f"{place}/scale",
    )
    address, plan = mirror_address(made.study), plan_resumed(made, [])
    counting = Counting(address)
    began, cpu_s = time.monotonic(), time.process_time()
    with mirrored(made.study, made.path, resume=True) as mirror:
        assert mirror is not None
        written(plan, epochs, mirror.touch)
        run_s, run_cpu_s = time.monotonic() - began, time.process_time() - cpu_s
        closing = time.monotonic(), time.process_time()
    end_s, end_cpu_s = time.monotonic() - closing[0], time.process_time() - closing[1]
    counts, left = mirror.counts, counting.end()
    threads_s = sum(counts.seconds.values())
    print(f"{trials} trials of {epochs} epochs: {run_s:.0f} s, CPU {run_cpu_s:.0f} s in all")
    print(f"segments {counts.segments}, {counts.bytes_of_segments / 1e6:.1f} MB sent")
    print(f"objects: at most {counting.most}, {left} when it ended")
    print(f"CPU of shipping: {1000 * threads_s / trials:.2f} ms a trial ({counts.seconds})")
    print(f"end: {end_s:.1f} s, CPU {end_cpu_s:.1f} s, what is left and the segments together")
    began = time.monotonic()
    bring(place_of(address), folder / "elsewhere" / made.path.name)
    print(f"brought back in {time.monotonic() - began:.1f} s")
    assert len(StudyDir.open(folder / "elsewhere" / made.path.name).trials()) == trials


@dataclass
class Waiting:
    """What a driver does for its mirror while a training waits.

    Attributes:
        mirror: The mirror.
        clock_s: Time of it on the clock, a report.
        cpu_s: Time of it on the processors, a report.
    """

    mirror: Mirror
    clock_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def changed(self, number: int) -> None:
        """Do for a report what the recorder and the bridge do."""
        clock, cpu = time.perf_counter(), time.thread_time()
        self.mirror.touch(number)
        self.mirror.hold()
        self.clock_s.append(time.perf_counter() - clock)
        self.cpu_s.append(time.thread_time() - cpu)


def trained(folder: Path, place: str, epochs: int) -> None:
    """Train and ship one trial; prints the figures."""
    made = rehearse(
        folder,
        run=False,
        trainable="yolo_seg",
        data=str(prepare_discs(folder / "discs", 40).root),
        budget={"trials": 1, "epochs": epochs},
        fixed={
            "model": "yolo11n-seg.yaml",
            "optimizer": "AdamW",
            "imgsz": 128,
            "batch": 4,
            "nbs": 4,
        },
        search_space={"lr0": {"loguniform": [1e-3, 1e-2]}},
        scheduler={"kind": "none"},
        plateau="none",
        mirror={"place": f"{place}/training", "every_seconds": 1.0},
    )
    with mirrored(made.study, made.path, resume=True) as mirror:
        assert mirror is not None
        waiting = Waiting(mirror)
        go_on(made, waiting.changed, close=True)
    [trial] = StudyDir.open(made.path).trials()
    took = [line["elapsed_s"] for line in trial.metrics]
    epoch_s = (took[-1] - took[0]) / (len(took) - 1)  # the first one loads the framework
    n, clock_s, cpu_s = len(waiting.clock_s), sum(waiting.clock_s), sum(waiting.cpu_s)
    size = sum(file.stat().st_size for file in (trial.best_model or made.path).parent.glob("*"))
    print(
        f"{epochs} epochs of {epoch_s:.2f} s, models of {size / 1e6:.0f} MB, {n} times waited for"
    )
    print(f"waited: clock {1e6 * clock_s / n:.0f} us a time, {1e6 * max(waiting.clock_s):.0f} most")
    print(f"waited: CPU {1e6 * cpu_s / n:.0f} us a time")
    print(f"of the training's time: {100 * clock_s / took[-1]:.4f} %")
    print(f"CPU of the shipping threads, which nobody waits for: {mirror.counts.seconds}")


if __name__ == "__main__":
    main()
