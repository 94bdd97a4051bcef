"""What tuning is worth: best against default configuration, retrained with fresh seeds.

    python benchmarks/gain.py nuclei ../shared/data/nuclei --work /tmp/gain
    python benchmarks/gain.py sem_powder ../shared/data/sem_powder --work /tmp/gain --folds 4

Each fold prepares the data, tunes with ASHA on its training and validation parts, and trains the
best and Ultralytics' default configuration to full length with fresh seeds; what is compared is
the mask F1 on the test part, at the confidence chosen on the validation part. With `--folds`, a
fold's test part is one group of pictures (nested cross-validation: the fold's own study never saw
it). Everything that is finished is kept in `--work`, so an interrupted run goes on.
"""

import argparse
import csv
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
METRIC = "seg_metrics/F1"
DEFAULT = {"optimizer": "auto", "batch": 16, "nbs": 64}  # Ultralytics' own

STUDY = """
study: {name}
data: {data}
trainable: yolo_seg
budget: {{trials: {trials}, epochs: {epochs}}}
fixed: {{model: yolo11n-seg.yaml, imgsz: {imgsz}}}
search_space:
  preset: yolo_seg
  lr0: {{loguniform: [3.0e-4, 2.0e-2]}}
  batch: {{choice: [2, 4, 8, 16]}}
  nbs: {{choice: [2, 4, 8, 16]}}
  perspective: {{uniform: [0.0, 0.001]}}
  mosaic: {{uniform: [0.0, 1.0]}}
scheduler: {{kind: asha, grace_period: {grace}, reduction_factor: 2}}
resources: {{concurrent: 2, cpus_per_trial: 1}}
tracking: {{wandb: {{mode: disabled}}}}
storage: {storage}
seed: 0
"""


@dataclass(frozen=True)
class GainOptions:
    """The command line."""

    name: str
    raw: Path
    work: Path
    trials: int
    epochs: int
    imgsz: int
    seeds: int
    folds: int


def segtune(*arguments: str | Path) -> None:
    """Run the command line as a user would."""
    subprocess.run([sys.executable, "-m", "tune.cli", *map(str, arguments)], check=True, cwd=ROOT)


def prepared(options: GainOptions) -> Iterator[tuple[str, Path]]:
    """The folds' data sets, by name."""
    folder = options.work / options.name
    whole = folder / "data"
    if not (whole / "dataset.json").exists():
        segtune("prepare", options.raw, "--out", whole)
    if options.folds == 0:
        yield "all", whole
        return
    manifest = json.loads((whole / "annotations.json").read_text())
    groups: dict[str, list[str]] = {}
    for image in manifest["images"]:
        groups.setdefault(image["group"], []).append(Path(image["file_name"]).name)
    names = sorted(groups)[: options.folds]
    for k, test in enumerate(names):
        val = names[(k + 1) % len(names)]
        raw = folder / f"raw-{k}"
        if not raw.exists():
            write_fold(raw, options.raw, groups, test, val)
        data = folder / f"data-{k}"
        if not (data / "dataset.json").exists():
            segtune("prepare", raw, "--out", data)
        yield f"fold {k}: test {test}", data


def write_fold(raw: Path, source: Path, groups: dict[str, list[str]], test: str, val: str) -> None:
    """A raw folder like `source` whose splits put one group on test and one on val."""
    subprocess.run(["cp", "-r", str(source), str(raw)], check=True)
    with (raw / "splits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split"])
        for group, files in groups.items():
            part = "test" if group == test else "val" if group == val else "train"
            writer.writerows((name, part) for name in sorted(files))


def tuned(options: GainOptions, data: Path) -> Path:
    """The study directory of a fold, finished."""
    storage = data.parent / "studies"
    study = storage / data.name
    file = data.parent / f"{data.name}.yaml"
    grace = max(1, options.epochs // 4)
    file.write_text(
        STUDY.format(
            name=data.name,
            data=data,
            trials=options.trials,
            epochs=options.epochs,
            imgsz=options.imgsz,
            grace=grace,
            storage=storage,
        )
    )
    if not (study / "optuna.journal").exists():
        segtune("tune", file)
    else:
        segtune("resume", study)
    segtune("export", study)
    return study


def retrained(study: Path, data: Path, kind: str, seed: int) -> dict[str, float]:
    """Test metrics of one configuration trained anew with one seed, in a process of its own."""
    out = data.parent / "retrained" / f"{data.name}-{kind}-{seed}"
    code = (
        "import json, sys; from pathlib import Path\n"
        "from tune.best.file import load_best\n"
        "from analysis.retrain.retrain import retrain\n"
        "best, data, out, kind, seed, default = sys.argv[1:]\n"
        "config = load_best(Path(best))\n"
        "if kind == 'default':\n"
        "    keep = {k: config.params[k] for k in ('model', 'imgsz')}\n"
        "    params = {**keep, **json.loads(default)}\n"
        "    config = config.model_copy(update={'params': params, 'sampled': ()})\n"
        "config = config.model_copy(update={'cpus': 1})\n"
        "result = retrain(config, Path(data), Path(out), seed=int(seed))\n"
        "(Path(out) / 'test.json').write_text(json.dumps(dict(result.test)))\n"
    )
    best = study / "best" / "best.yaml"
    arguments = [best, data, out, kind, seed, json.dumps(DEFAULT)]
    if not (out / "test.json").exists():
        log = data.parent / "retrained" / f"{out.name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("a") as file:
            subprocess.run(
                [sys.executable, "-c", code, *map(str, arguments)],
                check=True,
                cwd=ROOT,
                stdout=file,
                stderr=file,
            )
    content: dict[str, float] = json.loads((out / "test.json").read_text())
    return content


def interval(differences: list[float]) -> float:
    """Half width of the 95 % interval of a mean (Student's t)."""
    n = len(differences)
    quantile = float(student.ppf(0.975, n - 1))
    return quantile * stdev(differences) / math.sqrt(n)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("raw", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--imgsz", type=int, default=192)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=0)
    given = parser.parse_args()
    options = GainOptions(
        **{**vars(given), "raw": given.raw.resolve(), "work": given.work.resolve()}
    )
    rows: list[tuple[str, int, float, float]] = []
    for fold, data in prepared(options):
        study = tuned(options, data)
        seeds = range(1000, 1000 + options.seeds)
        with ThreadPoolExecutor(2) as pool:
            jobs = {
                (kind, seed): pool.submit(retrained, study, data, kind, seed)
                for seed in seeds
                for kind in ("best", "default")
            }
        for seed in seeds:
            best, default = (jobs[kind, seed].result()[METRIC] for kind in ("best", "default"))
            rows.append((fold, seed, best, default))
            print(f"{fold}, seed {seed}: best {best:.3f}, default {default:.3f}", flush=True)
    report(options, rows)


def report(options: GainOptions, rows: list[tuple[str, int, float, float]]) -> None:
    """Print means, difference and ratio."""
    best, default = mean(r[2] for r in rows), mean(r[3] for r in rows)
    difference = [r[2] - r[3] for r in rows]
    print(f"\n{options.name}: test mask F1, {len(rows)} trainings each, {options.epochs} epochs")
    print(f"best     {best:.3f}")
    print(f"default  {default:.3f}")
    ratio = f"{best / default:.2f}" if default else "undefined"
    print(f"gain     {best - default:+.3f} +- {interval(difference):.3f} (95 %), ratio {ratio}")


if __name__ == "__main__":
    main()
