"""What tuning a detector from scratch is worth: best configuration against torchvision's recipe.

    segtune tune examples/bccd_detector.yaml --set data=PREPARED
    python -m benchmarks.detector.gain STUDY PREPARED --work /tmp/detector-gain

Both are trained to full length with fresh seeds; what is compared is the box F1 on the test part,
at the confidence chosen on the validation part. The recipe is that of torchvision's reference
script for detection (`references/detection/train.py`: SGD, momentum, decay of all weights, two
drops, a warm-up of one epoch, flips, torchvision's anchors), in batches of 2. Its learning rate can
be read in two ways, and both are trained: 0.02, the script's default, as it stands, and the 0.0025
that the script names for one GPU with 2 pictures (0.02 / 8); `--rates` takes others. A training
without weights would learn nothing with its frozen norms, so network, trained norms,
clipping, picture size, regions and epochs are the study's in both. Everything that is finished is
kept in `--work`, so an interrupted run goes on.
"""

import argparse
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from trainables.datasets.prepared import PreparedDataset
from tune.best.configuration import BestConfig
from tune.best.file import load_best, to_yaml

ROOT = Path(__file__).resolve().parents[2]
METRIC = "box_metrics/F1"
BEST, RECIPE = "best", "torchvision"
RATES = (0.02, 0.02 / 8)
FIRST_SEED = 1000

SHARED = (
    "model",
    "width",
    "fpn_channels",
    "box_head_dim",
    "norm",
    "clip",
    "min_size",
    "max_size",
    "proposals",
    "regions",
    "max_det",
)
"""Hyperparameters that the recipe has from the study."""

EPOCHS = 26
"""Length of the recipe, which drops the learning rate after 16 and 22 epochs."""

TORCHVISION: dict[str, Any] = {
    "optimizer": "sgd",
    "batch_size": 2,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.0001,
    "norm_decay": True,
    "backbone_lr_ratio": 1.0,
    "scheduler": "multistep",
    "first_drop": 16 / EPOCHS,
    "second_drop": (22 - 16) / (EPOCHS - 16),
    "gamma": 0.1,
    "fliplr": 0.5,
    "anchor_px": 32.0,
    "anchor_scales": 1,
    "anchor_ratio": 2.0,
}
"""torchvision's recipe, its drops at the same fractions of the training."""


@dataclass(frozen=True)
class Arm:
    """One configuration, retrained with every seed.

    Attributes:
        name: Name of its folders.
        config: File that `segtune retrain` takes.
    """

    name: str
    config: Path


def recipe_of(best: BestConfig, data: PreparedDataset, rate: float) -> BestConfig:
    """Torchvision's recipe with the study's network and picture size."""
    shared = {key: best.params[key] for key in SHARED if key in best.params}
    steps = math.ceil(len(data.images("train")) / TORCHVISION["batch_size"])
    changes = {"learning_rate": rate, "warmup_steps": min(1000, steps - 1)}
    params = {**shared, **TORCHVISION, **changes}
    return best.model_copy(update={"params": params, "sampled": ()})


@dataclass(frozen=True)
class Reached:
    """F1 on the validation part, by which the epoch was chosen, and on the test part."""

    validation: float
    test: float

    def __str__(self) -> str:
        return f"{self.validation:.3f}, {self.test:.3f}"


def trained(arm: Arm, data: Path, work: Path, seed: int) -> Reached:
    """What an arm reaches with a seed; trained in a process of its own."""
    out = work / f"{arm.name}-{seed}"
    command = [sys.executable, "-m", "tune.cli", "retrain", arm.config, "--data", data]
    command += ["--out", out, "--seed", seed, "--device", "cpu"]
    with (work / f"{out.name}.log").open("a") as log:
        subprocess.run(list(map(str, command)), check=True, cwd=ROOT, stdout=log, stderr=log)
    result = json.loads((out / "result.json").read_text())
    return Reached(result["validation"][METRIC], result["test"][METRIC])


def interval(differences: list[float]) -> float:
    """Half width of the 95 % interval of a mean (Student's t)."""
    n = len(differences)
    return float(student.ppf(0.975, n - 1)) * stdev(differences) / math.sqrt(n)


def report(rows: dict[int, dict[str, Reached]]) -> None:
    """Print the table of all arms by seed, and the best one's gain over each on the test part."""
    arms = list(next(iter(rows.values())))
    print(f"\n{METRIC}, validation and test | {' | '.join(arms)}")
    for seed, reached in rows.items():
        print(f"seed {seed} | {' | '.join(map(str, reached.values()))}")
    means = [mean(reached[arm].test for reached in rows.values()) for arm in arms]
    print(f"test, mean of {len(rows)} | {' | '.join(f'{value:.3f}' for value in means)}")
    for arm in arms[1:]:
        differences = [reached[BEST].test - reached[arm].test for reached in rows.values()]
        half = interval(differences)
        print(f"gain over {arm} {mean(differences):+.3f} +- {half:.3f} (95 %, Student's t)")


def main() -> None:
    """Train both configurations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--cpus", type=int, default=1, help="threads of a training")
    parser.add_argument("--epochs", type=int, help="of both arms; default: the study's")
    given = parser.parse_args()
    work, data = given.work.resolve(), given.data.resolve()
    work.mkdir(parents=True, exist_ok=True)
    export = [sys.executable, "-m", "tune.cli", "export", str(given.study.resolve())]
    subprocess.run(export, check=True, cwd=ROOT)
    best, prepared = load_best(given.study), PreparedDataset.load(data)
    best = best.model_copy(update={"epochs": given.epochs or best.epochs})
    configs = {BEST: best}
    configs |= {f"{RECIPE}-{rate:g}": recipe_of(best, prepared, rate) for rate in given.rates}
    for name, config in configs.items():
        text = to_yaml(config.model_copy(update={"cpus": given.cpus}))
        (work / f"{name}.yaml").write_text(text)
    arms = [Arm(name, work / f"{name}.yaml") for name in configs]
    rows: dict[int, dict[str, Reached]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
        rows[seed] = {}
        for arm in arms:
            rows[seed][arm.name] = trained(arm, data, work, seed)
            print(f"seed {seed}: {arm.name} {rows[seed][arm.name]}", flush=True)
    report(rows)


if __name__ == "__main__":
    main()
