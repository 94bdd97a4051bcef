"""What a plain Ray Tune run makes of the faults in docs/reliability.md.

    python -m benchmarks.faults.stock_restore [FAULT ...]

Each fault meets a driver of its own: `ray.tune.Tuner` over a simulated training that keeps a
checkpoint after every epoch, and `Tuner.restore` after it. Printed is a line a fault: the trials
that ended, the epochs that were trained twice, and what became of each driver.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import ray

from benchmarks.faults import buckets, clusters, files, processes, trackers, trainings
from benchmarks.faults.plain_study import EPOCHS, TRIALS, Plan, Stock

FAULTS: Final[dict[str, Callable[[Stock], None]]] = {
    one.__name__: one
    for one in (
        processes.driver_killed,
        processes.everything_killed,
        processes.worker_killed,
        processes.worker_killed_retried,
        processes.worker_killed_restored,
        processes.cluster_killed,
        processes.driver_asleep,
        processes.restored_beside,
        processes.clock_jumps,
        processes.clock_set_back_between,
        clusters.node_lost,
        clusters.node_lost_retried,
        clusters.node_frozen,
        clusters.node_frozen_retried,
        clusters.node_drained,
        clusters.node_drained_retried,
        clusters.node_without_packages,
        clusters.node_without_packages_retried,
        clusters.head_restarted,
        clusters.object_store_full,
        trainings.nan,
        trainings.memory_limit,
        trainings.memory_limit_retried,
        trainings.memory_watched,
        trainings.memory_watched_retried,
        trainings.picture_damaged,
        trainings.picture_damaged_retried,
        trainings.annotations_changed,
        files.state_cut,
        files.state_missing,
        files.searcher_cut,
        files.checkpoint_damaged,
        files.checkpoint_missing,
        files.copy_cut,
        files.copy_cut_late,
        files.disk_full,
        files.read_only,
        files.disk_slow,
        *buckets.ANSWERS,
        buckets.bucket_flipped,
        buckets.bucket_flipped_late,
        buckets.bucket_away_long,
        buckets.bucket_away_long_retried,
        buckets.bucket_away_at_end,
        buckets.bucket_state_missing,
        buckets.bucket_machine_lost,
        buckets.bucket_restored_beside,
        trackers.wandb_away,
        *trackers.BEHAVIOURS,
    )
}


def main() -> None:
    """Put a plain study through each fault, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--keep", type=Path, help="folder that keeps what each driver has said")
    given = parser.parse_args()
    if unknown := set(given.faults) - set(FAULTS):
        parser.error(f"expected faults of {', '.join(FAULTS)}, got {', '.join(sorted(unknown))}")
    print(f"Ray {ray.__version__}: {TRIALS} trials of {EPOCHS} epochs, two at once")
    for name in given.faults or FAULTS:
        with tempfile.TemporaryDirectory(prefix="stock-", ignore_cleanup_errors=True) as place:
            storage = Path(place) / "storage"
            storage.mkdir()
            stock = Stock(Path(place), Plan(str(storage)))
            load = os.getloadavg()[0]
            try:
                FAULTS[name](stock)
                print(f"{name} (load {load:.1f} to {os.getloadavg()[0]:.1f}): {stock.seen()}")
            finally:
                stock.kill()
                if given.keep:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    for log in Path(place).glob("log-*"):
                        shutil.copy(log, given.keep / f"{name}-{log.name}.txt")


if __name__ == "__main__":
    main()
