"""A trial's worker reduced to its tracking, as a process that can be killed.

    python tracked_trial.py TRIAL_DIR ATTEMPT LAST_EPOCH [--die logged|journalled|nothing]

Trains nothing: each epoch is logged and then journalled in metrics.jsonl, as a trial does. It
dies by SIGKILL at its last epoch, after what `--die` says; without it, it finishes.
"""

import argparse
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

from trainables.goal import Goal
from tune.study.study import Wandb
from tune.tracking.tracker import RunInfo, run_id
from tune.tracking.wandb import WandbTracker

GROUPS = ("seg_metrics", "box_metrics", "train_seg_metrics", "train_box_metrics")
FIVE = ("F1", "precision", "recall", "map50", "map50_95")
LOSSES = ("box_loss", "seg_loss", "cls_loss", "dfl_loss")
KEYS = (
    *(f"{group}/{name}" for group in GROUPS for name in FIVE),
    *(f"{split}/{name}" for split in ("train", "val") for name in LOSSES),
)

GOAL = Goal("seg_metrics/F1")


def epoch_metrics(epoch: int) -> dict[str, float]:
    """Every key of an epoch, each with a value of its own."""
    return {"epoch": epoch} | {key: epoch + place / 100 for place, key in enumerate(KEYS)}


def main() -> None:
    """Run one attempt."""
    parser = argparse.ArgumentParser()
    parser.add_argument("trial_dir", type=Path)
    parser.add_argument("attempt", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--die", choices=["logged", "journalled", "nothing"])
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--epoch-s", type=float, default=0.02)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    given.trial_dir.mkdir(parents=True, exist_ok=True)
    journal = given.trial_dir / "metrics.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    past = [json.loads(line) for line in lines]
    tracker = WandbTracker(Wandb(mode=given.mode))
    name = run_id("powder", "uid", 7)
    config = {"lr0": 0.01, "optimizer": "AdamW"}
    tracker.start(
        RunInfo("powder", 7, name, config, GOAL, given.trial_dir / "wandb", past, given.attempt)
    )
    for epoch in range(len(past) + 1, given.last + 1):
        time.sleep(given.epoch_s)
        tracker.log(epoch_metrics(epoch))
        if given.die == "logged" and epoch == given.last:
            os.kill(os.getpid(), signal.SIGKILL)
        with journal.open("a") as file:
            file.write(json.dumps(epoch_metrics(epoch)) + "\n")
    if given.die == "journalled":
        os.kill(os.getpid(), signal.SIGKILL)
    if given.die == "nothing":  # waits for its killer
        time.sleep(60)
    tracker.finish({"state": "pruned", "stop_reason": "asha", "rung": given.last})
    tracker.close()


if __name__ == "__main__":
    main()
