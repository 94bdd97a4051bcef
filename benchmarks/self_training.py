"""What self-training is worth where few particles are labelled.

    python benchmarks/self_training.py simulated --work /tmp/self-training --labelled 0.07
    python benchmarks/self_training.py PREPARED --work /tmp/self-training --by pictures

`simulated` draws micrographs of the preset `cryo_em`, others for every seed, of which every
particle is known; PREPARED is a data set of particles (`segtune prepare`). For every seed all but a
share of the training part's labels are taken away: particles at random in each picture (`--by
particles`), or whole pictures, which are then unlabelled (`--by pictures`). Validation and test
part keep theirs. Trained with the same settings, seed and number of steps are

- self-training: a supervised phase, then rounds of pseudo-labels;
- supervised: the same without rounds, what is unmarked counting as in self-training;
- supervised, unmarked is background: the usual way, which for `--by pictures` is the same.

Of each the epoch that is best on the validation part is measured on the test part, which chose
nothing: precision, recall and F1 at the validation part's confidence. Everything that is finished
is kept in `--work`, so an interrupted run goes on.
"""

import argparse
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Final

import numpy as np
import yaml
from pycocotools import mask as coco_mask
from scipy.stats import t as student

from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import SPLITS, PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.records import ImageRecord
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.presets import SPECS
from trainables.datasets.simulate.spec import SimulationSpec
from trainables.goal import Goal
from trainables.metrics.particles import evaluate_particles
from trainables.metrics.pixels import PixelCounts
from trainables.trials.local import LocalTrial

METRIC: Final = "particle_metrics/F1"
SHOWN: Final = (
    METRIC,
    "particle_metrics/average_precision",
    "pixel_metrics/F1",
    "pixel_metrics/AUC",
)
SELF, SAME, USUAL = "self-training", "supervised", "supervised, unmarked is background"
RADIUS_PX: Final = 9.0  # of the simulated particles: half of the mean of both axes
SETTINGS: Final[Mapping[str, Any]] = {
    "depth": 3,
    "width": 8,
    "tile_px": 96,
    "batch_size": 8,
    "learning_rate": 0.002,
    "ema_decay": 0.98,
}
PARTS: Final = {"train": 14, "val": 12, "test": 24}
"""Simulated pictures."""


@dataclass(frozen=True)
class SelfTrainingOptions:
    """The command line."""

    data: str
    work: Path
    labelled: float
    by: str
    seeds: int
    epochs: int
    rounds: int
    jobs: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        arm: What is compared.
        seed: Of data, labels and training.
        data: Prepared, its training part reduced.
        out: Its folder.
        epochs: Of the training.
        params: Hyperparameters.
    """

    arm: str
    seed: int
    data: Path
    out: Path
    epochs: int
    params: Mapping[str, Any]


# --- data


def whole_set(options: SelfTrainingOptions, seed: int) -> PreparedDataset:
    """The data set with all its labels."""
    if options.data != "simulated":
        return PreparedDataset.load(Path(options.data))
    folder = options.work / f"simulated-{seed}"
    if not (folder / "data" / "dataset.json").is_file():
        raw = simulate(simulation(seed), folder / "raw", form="coordinates", force=True)
        names = sorted(path.name for path in (raw / "images").iterdir())
        ends = np.cumsum(list(PARTS.values()))
        parts = zip(PARTS, np.split(names, ends[:-1]), strict=True)
        write_splits(raw, {part: list(map(str, files)) for part, files in parts})
        prepare(
            raw,
            folder / "data",
            PrepareOptions(radius=f"{RADIUS_PX:g}px", group=r"(.*)"),
            name="simulated",
            force=True,
        )
    return PreparedDataset.load(folder / "data")


def simulation(seed: int) -> SimulationSpec:
    """Micrographs of a quarter of the preset's area, as crowded."""
    spec = SPECS["cryo_em"]
    particle = spec.classes[0]
    smaller = particle.model_copy(update={"number": (15, 45)})
    return spec.model_copy(
        update={
            "seed": seed,
            "images": sum(PARTS.values()),
            "width": spec.width // 2,
            "height": spec.height // 2,
            "classes": (smaller,),
        }
    )


def reduced(options: SelfTrainingOptions, whole: PreparedDataset, seed: int) -> Path:
    """The set with few labels in its training part; prepared as a user would."""
    folder = options.work / f"{whole.name}-{options.by}-{options.labelled:g}-{seed}"
    if (folder / "data" / "dataset.json").is_file():
        return folder / "data"
    raw = folder / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    (raw / "images").mkdir(parents=True)
    centres = {image.path.name: centres_of(whole, image) for image in pictures(whole)}
    for image in pictures(whole):
        shutil.copyfile(image.path, raw / "images" / image.path.name)
    train = [image.path.name for image in whole.images("train")]
    kept = keep(options, {name: centres[name] for name in train}, np.random.default_rng(seed))
    for name in train:
        del centres[name]
    text = json.dumps({name: at.tolist() for name, at in (centres | kept).items()})
    (raw / "coordinates.json").write_text(text)
    write_splits(
        raw,
        {part: [i.path.name for i in whole.images(part)] for part in ("val", "test")}
        | {"train": list(kept)},
    )
    discs = [a.disc for image in pictures(whole) for a in whole.annotations(image)]
    radius = np.median([disc.radius for disc in discs if disc is not None])
    prepare(
        raw, folder / "data", PrepareOptions(radius=f"{radius:g}px", group=r"(.*)"), name=whole.name
    )
    return folder / "data"


def keep(
    options: SelfTrainingOptions, centres: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The labels of the training part that stay; a picture that is not there is unlabelled."""
    if options.by == "pictures":
        n = max(1, round(options.labelled * len(centres)))
        return {name: centres[name] for name in rng.choice(sorted(centres), n, replace=False)}
    all_ = [(name, number) for name in sorted(centres) for number in range(len(centres[name]))]
    chosen = rng.permutation(len(all_))[: max(1, round(options.labelled * len(all_)))]
    stay = {all_[i] for i in chosen}
    return {
        name: at[[(name, number) in stay for number in range(len(at))]]
        for name, at in centres.items()
    }


def pictures(data: PreparedDataset) -> list[ImageRecord]:
    """All labelled ones."""
    return [image for part in SPLITS for image in data.images(part)]


def centres_of(data: PreparedDataset, image: ImageRecord) -> np.ndarray:
    """(N, 2) x y in pixels."""
    discs = [item.disc for item in data.annotations(image)]
    return np.array([(d.x, d.y) for d in discs if d is not None]).reshape(-1, 2)


def write_splits(raw: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Say which picture is in which part."""
    (raw / "splits.json").write_text(json.dumps(parts))


# --- training


def jobs_of(options: SelfTrainingOptions, seed: int) -> Iterator[Job]:
    """The trainings of a seed."""
    whole = whole_set(options, seed)
    data = reduced(options, whole, seed)
    unmarked = "ring" if options.by == "particles" else "negative"
    common = {**SETTINGS, "background": unmarked, "tiles": n_tiles(whole, options)}
    arms: dict[str, dict[str, Any]] = {SELF: {"rounds": options.rounds}, SAME: {"rounds": 0}}
    if options.by == "particles":
        arms[USUAL] = {"rounds": 0, "background": "negative"}
    done: list[dict[str, Any]] = []
    for arm, own in arms.items():
        params = {**common, **options.params, **own}
        name = arm.replace(",", "").replace(" ", "-")
        if params not in done:  # without rounds, arms may be one
            yield Job(arm, seed, data, data.parent / name, options.epochs, params)
        done.append(params)


def n_tiles(whole: PreparedDataset, options: SelfTrainingOptions) -> int:
    """Tiles that cover the training part once, labelled or not: equally many steps for all."""
    side = int(options.params.get("tile_px", SETTINGS["tile_px"]))
    area = sum(image.width * image.height for image in whole.images("train"))
    return max(1, round(area / side**2))


def run(job: Job) -> dict[str, float]:
    """Train, and measure the best epoch's model on the test part."""
    finished = job.out / "result.json"
    wanted = {"epochs": job.epochs, "params": dict(job.params)}
    if finished.is_file():
        content = json.loads(finished.read_text())
        if content["job"] == wanted:
            return dict(content["result"])
    shutil.rmtree(job.out, ignore_errors=True)
    from trainables.engines.unet_selftraining.engine import UnetEngine  # in this process only

    trial = LocalTrial(
        name=f"{job.arm}/{job.seed}",
        params=job.params,
        sampled=frozenset(),
        data=PreparedDataset.load(job.data),
        epochs=job.epochs,
        seed=job.seed,
        device=Device("cpu", cpus=1),
        out=job.out,
        goal=Goal(METRIC),
        train_metrics=TrainMetrics(every=0),
    )
    started = time.monotonic()
    UnetEngine().train(trial)
    seconds = time.monotonic() - started
    best = trial.keeper.best
    assert best is not None
    result = {
        "seconds": seconds,
        "epoch": best.epoch,
        "round": best.values["round"],
        **{f"val {key}": best.values[key] for key in SHOWN},
        **{f"test {key}": value for key, value in tested(job, best.values).items()},
    }
    finished.write_text(json.dumps({"job": wanted, "result": result}, indent=1))
    return result


def tested(job: Job, validated: Mapping[str, float]) -> dict[str, float]:
    """Metrics of the kept model on the test part."""
    from trainables.engines.unet_selftraining.picking.predictor import load_predictor

    data = PreparedDataset.load(job.data)
    predictor = load_predictor(job.out / "best" / "model.pt", Device("cpu", cpus=1))
    pixels, picks, truths = PixelCounts(), [], []
    for image in data.images("test"):
        probability = predictor.probability(data.read(image))
        masks = [item.mask for item in data.annotations(image)]
        truth = coco_mask.decode(coco_mask.merge(masks)) if masks else np.zeros_like(probability)
        pixels.add(probability, truth.astype(np.float32))
        picks.append(predictor.picks(probability))
        truths.append(centres_of(data, image))
    confidence = validated["particle_metrics/confidence"]
    found = evaluate_particles(picks, truths, predictor.radius_px, confidence=confidence)
    return {key: {**found.as_metrics(), **pixels.as_metrics()}[key] for key in SHOWN}


# --- tables


def report(
    options: SelfTrainingOptions, results: Mapping[tuple[str, int], Mapping[str, float]]
) -> None:
    """Print every training, means, and paired differences."""
    seeds = range(options.seeds)
    arms = list(dict.fromkeys(arm for arm, _ in results))
    columns = [f"{part} {key}" for part in ("val", "test") for key in SHOWN]
    print(f"\n{'':38}  seed  round  epoch   " + "  ".join(map(short, columns)) + "  seconds")
    for arm in arms:
        for seed in seeds:
            values = results[arm, seed]
            print(
                f"{arm:38}  {seed:4}  {values['round']:5.0f}  {values['epoch']:5.0f}   "
                + "  ".join(f"{values[key]:{len(short(key))}.3f}" for key in columns)
                + f"  {values['seconds']:7.0f}"
            )
        means = [mean(results[arm, seed][key] for seed in seeds) for key in columns]
        print(
            f"{arm:38}  mean                 "
            + "  ".join(
                f"{value:{len(short(key))}.3f}" for key, value in zip(columns, means, strict=True)
            )
        )
    for other in arms[1:]:
        print(f"\n{SELF} against {other}")
        for key in columns:
            gains = [results[SELF, seed][key] - results[other, seed][key] for seed in seeds]
            wins, losses = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
            print(
                f"  {key:42} {mean(gains):+.3f} +- {interval(gains):.3f} (95 %), "
                f"{wins} won, {losses} lost"
            )


def short(key: str) -> str:
    """A column's head."""
    part, name = key.split(" ")
    group, value = name.split("/")
    value = {"average_precision": "AP"}.get(value, value)
    return f"{part} {group.split('_')[0]} {value}"


def interval(differences: Sequence[float]) -> float:
    """Half width of the 95 % interval of a mean (Student's t)."""
    n = len(differences)
    if n < 2:
        return math.nan
    return float(student.ppf(0.975, n - 1)) * stdev(differences) / math.sqrt(n)


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="simulated, or a prepared data set of particles")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--labelled", type=float, default=0.07, help="share of the labels that stay"
    )
    parser.add_argument("--by", choices=["particles", "pictures"], default="particles")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    given = vars(parser.parse_args())
    params = {key: yaml.safe_load(value) for key, value in (s.split("=") for s in given.pop("set"))}
    options = SelfTrainingOptions(**{**given, "work": given["work"].resolve(), "params": params})
    jobs = [job for seed in range(options.seeds) for job in jobs_of(options, seed)]
    results: dict[tuple[str, int], dict[str, float]] = {}
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for job, result in zip(jobs, pool.map(run, jobs), strict=True):
            results[job.arm, job.seed] = result
            print(
                f"seed {job.seed}, {job.arm}: validation F1 {result['val ' + METRIC]:.3f}, "
                f"test F1 {result['test ' + METRIC]:.3f}, {result['seconds']:.0f} s",
                flush=True,
            )
    report(options, results)


if __name__ == "__main__":
    main()
