"""Time and memory that segtune needs to show studies and to plan one.

    python -m benchmarks.studies_at_scale
    python -m benchmarks.studies_at_scale --keep FOLDER --against PATH/TO/CHECKOUT --rounds 3

Two finished studies of the simulated engine are written, one of many short trials and one of fewer
long ones: plan, journal, controller, recorder and engine are the real ones, only Ray is missing.
Then `segtune status` and `segtune report` of each, and `segtune plan` of an example, run as
processes of their own. Printed are the shortest time of each, its time on the processors, the most
memory it held, and the size of the page that was written.

With `--keep`, the studies stay in a folder and are found there the next time, also by another
checkout. With `--against`, the same commands run in another checkout by turns; the ratios are this
checkout's times over the other's. Both checkouts use the packages of the Python that runs this.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.rehearsed_study import rehearse
from trainables.datasets.preparing.prepare import prepare
from trainables.datasets.simulate import SPECS, simulate

HERE: Final = Path(__file__).resolve().parents[1]
EXAMPLE: Final = Path("examples", "simulated.yaml")
STUDIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "s2000": {
        "budget": {"trials": 2000, "epochs": 9},
        "scheduler": {"kind": "asha", "grace_period": 1, "reduction_factor": 2},
    },
    "s300": {
        "budget": {"trials": 300, "epochs": 40},
        "scheduler": {"kind": "asha", "grace_period": 5, "reduction_factor": 2},
    },
}
"""Keys of the study files, by the name of the study."""


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Attributes:
        seconds: Time from the start of its process to the end.
        cpu_seconds: Time on the processors, which other work on the machine changes less.
        peak_mb: Most memory that its process held at any moment, in MB.
        page_mb: Size of the `report.html` it wrote, in MB; 0 where it writes none.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    page_mb: float


def main() -> None:
    """Build the studies, run the commands and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder of the studies, to be used again")
    parser.add_argument("--against", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each command")
    given = parser.parse_args()
    checkouts = [HERE, *([given.against.resolve()] if given.against else [])]
    with tempfile.TemporaryDirectory(prefix="segtune-scale-") as temporary:
        folder = (given.keep or Path(temporary)).resolve()
        build(folder)
        for name, arguments in commands(folder).items():
            rounds = [
                [run(checkout, arguments, page_of(folder, name)) for checkout in checkouts]
                for _ in range(given.rounds)
            ]
            print_row(name, rounds)


def build(folder: Path) -> None:
    """Write a data set and the studies into a folder, as far as they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").exists():
        simulate(SPECS["demo"].model_copy(update={"images": 24}), folder / "raw")
        prepare(folder / "raw", folder / "data")
    for name, keys in STUDIES.items():
        if (folder / name / "session.json").exists():  # written last: this study is whole
            continue
        started = time.monotonic()
        # random: proposals that look at all trials before would take most of the time
        rehearse(folder, study=name, storage=str(folder), search="random", **keys)
        seconds = time.monotonic() - started
        (folder / name / "session.json").write_text(f'{{"elapsed_s": {seconds:.1f}}}')
        print(f"wrote {folder / name} in {seconds:.0f} s", flush=True)


def commands(folder: Path) -> dict[str, list[str]]:
    """Arguments of the command line, by the words the figures are printed under."""
    shown = {
        f"{verb} {name}": [verb, str(folder / name)]
        for name in STUDIES
        for verb in ("status", "report")
    }
    data, storage = f"data={folder / 'data'}", f"storage={folder / 'planned'}"
    return {**shown, "plan example": ["plan", str(EXAMPLE), "--set", data, "--set", storage]}


def page_of(folder: Path, name: str) -> Path | None:
    """Page that a command writes, or None."""
    verb, _, study = name.partition(" ")
    return folder / study / "report.html" if verb == "report" else None


def run(checkout: Path, arguments: Sequence[str], page: Path | None) -> Run:
    """Run `segtune` of a checkout in a process of its own.

    Args:
        checkout: The code that runs; paths in `arguments` start there.
        arguments: Arguments of the command line.
        page: The file that the command writes, or None.

    Raises:
        RuntimeError: The command failed.
    """
    command = [sys.executable, "-m", "tune.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} in {checkout}: {said.read()}")
    size = page.stat().st_size if page else 0
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(time.monotonic() - started, cpu_s, usage.ru_maxrss * 1024 / 1e6, size / 1e6)


def print_row(name: str, rounds: Sequence[Sequence[Run]]) -> None:
    """Print time and memory of a command in each checkout, and the ratio where there are two."""
    best = [min(runs, key=lambda run: run.seconds) for runs in zip(*rounds, strict=True)]
    cells = [
        f"{one.seconds:7.2f} s ({one.cpu_seconds:.2f} s CPU) {one.peak_mb:5.0f} MB"
        + (f", page {one.page_mb:.2f} MB" if one.page_mb else "")
        for one in best
    ]
    ratio = ""
    if len(best) > 1:
        ours, other = best
        times = ours.seconds / other.seconds, ours.cpu_seconds / other.cpu_seconds
        ratio = f"   ratio {times[0]:.3f} (CPU {times[1]:.3f})"
    print(f"{name:<14}{'   against'.join(cells)}{ratio}", flush=True)


if __name__ == "__main__":
    main()
