"""Recall of small particles at several scales, on simulated micrographs, with a small model.

    python -m benchmarks.finding.small_particles --work DIR [--epochs 40] [--cpus 1]

Simulated micrographs of 384 px show discs of 5 to 60 px diameter. An untrained yolo11n-seg learns
them at half that size (`imgsz` 192), so that the small ones are a few pixels for the network. On
the test part the same model then searches at its own scale, at others too, and in several passes,
always at the confidence at which it was best on the validation part. Printed are the recall by
diameter, the precision and the error of the count: a true disc is found if an instance has an
intersection over union with it of at least 0.5, one to one. DIR keeps data and model: a second run
only measures.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.finding.finder import Finder
from analysis.finding.models import FindingModel
from analysis.finding.settings import read_settings
from trainables.contract import Device, TrainMetrics
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.spec import (
    Background,
    Camera,
    DiscForm,
    Lognormal,
    ParticleClass,
    SimulationSpec,
)
from trainables.metrics.matching import ground_truth, match_image
from trainables.registry import load_engine
from trainables.results import Instances
from trainables.trials.layout import CHECKPOINT_FOLDER
from trainables.trials.memory import MemoryTrial

SPEC = SimulationSpec(
    name="small_particles",
    images=40,
    width=384,
    height=384,
    um_per_px=(0.01,),
    classes=(
        ParticleClass(
            name="particle",
            form=DiscForm(),
            size=Lognormal(median=14, sigma=0.5, low=5, high=60),
            number=(40, 70),
            grey=140,
            grey_spread=12,
            edge=50,
            texture=0.1,
        ),
    ),
    background=Background(grey=50, texture=0.15),
    camera=Camera(tilt=0.3, blur_px=(0.5, 0.9)),
    bar=None,
    max_hidden_fraction=0.1,
)

PARAMS = {
    "imgsz": 192,
    "batch": 4,
    "nbs": 4,
    "optimizer": "AdamW",
    "lr0": 0.001,
    "max_det": 300,
    "close_mosaic": 5,
    "scale": 0.5,
    "flipud": 0.5,
    "workers": 0,
}

SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "scale 1": {},
    "scales 1, 2": {"scales": [1, 2]},
    "scales 1, 1.5, 2": {"scales": [1, 1.5, 2]},
    "adaptive": {"scales": "adaptive"},
    "scale 1, passes": {"passes": {"maximum": 10}},
}

BELOW_PX = (8, 12, 20, 70)
"""Ends of the classes of diameters."""


@dataclass
class Tally:
    """What was found of what is there.

    Attributes:
        diameters: Of every true disc, px.
        hit: Whether it was found.
        n_found: Instances found, true or not.
        n_windows: Windows shown to the model.
    """

    diameters: list[float]
    hit: list[bool]
    n_found: int = 0
    n_windows: int = 0

    def recall(self, low: float, high: float) -> float:
        """Share of the discs of some diameters that was found."""
        diameters, hit = np.array(self.diameters), np.array(self.hit)
        return float(hit[(diameters >= low) & (diameters < high)].mean())

    @property
    def precision(self) -> float:
        """Share of the instances that are true discs."""
        return float(np.sum(self.hit) / max(self.n_found, 1))

    def row(self) -> str:
        """The figures as cells of a table."""
        recalls = [self.recall(*ends) for ends in zip((0, *BELOW_PX), BELOW_PX, strict=False)]
        figures = [*recalls, self.recall(0, np.inf), self.precision]
        error = self.n_found / len(self.hit) - 1
        return " | ".join([*(f"{figure:.3f}" for figure in figures), f"{error:+.1%}"])


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--cpus", type=int, default=1)
    given = parser.parse_args()
    data = make_data(SPEC, given.work)
    model = train(data, given.work / "trial", PARAMS, given.epochs, given.cpus)
    predictor: Any = load_engine("yolo_seg").load(model, Device(cpus=given.cpus))
    known = FindingModel(predictor, "yolo11n-seg", predictor.confidence, data.picture_px)
    ends = [f"below {px} px" for px in BELOW_PX]
    print(" | ".join(["search", *ends, "all", "precision", "count error", "windows", "CPU s"]))
    for name, settings in SEARCHES.items():
        started = time.process_time()
        tally = measured(Finder([known], read_settings(settings)), data)
        seconds = time.process_time() - started
        print(f"{name} | {tally.row()} | {tally.n_windows} | {seconds:.0f}")


def make_data(spec: SimulationSpec, work: Path) -> PreparedDataset:
    """The prepared micrographs, made where they are not there yet."""
    if not (work / "data").exists():
        simulate(spec, work / "raw")
        prepare(work / "raw", work / "data", PrepareOptions(splits=(0.6, 0.15, 0.25)))
    return PreparedDataset.load(work / "data")


def train(
    data: PreparedDataset, folder: Path, params: Mapping[str, Any], epochs: int, cpus: int
) -> Path:
    """The checkpoint of a training, done where it is not there yet."""
    if not (folder / CHECKPOINT_FOLDER).exists():
        folder.mkdir(parents=True)
        every = TrainMetrics(every=0)
        device = Device(cpus=cpus)
        trial = MemoryTrial(params, data, folder, epochs, device=device, train_metrics=every)
        load_engine("yolo_seg").train(trial)
    return folder / CHECKPOINT_FOLDER


def measured(finder: Finder, data: PreparedDataset) -> Tally:
    """What a finder finds in the test part."""
    tally = Tally([], [])
    for image in data.images("test"):
        found = finder.find(data.read(image))
        truth = ground_truth(data, image)
        sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
        tally.diameters += sides.max(axis=1).tolist()
        tally.hit += hits(found.instances, truth)
        tally.n_found += len(found.instances)
        tally.n_windows += found.windows
    return tally


def hits(found: Instances, truth: Any) -> Sequence[bool]:
    """Whether each true disc was found, at an intersection over union of 0.5."""
    match = match_image(found, truth, "masks", max(len(found), 1))
    there = np.zeros(len(truth.classes), bool)
    there[match.truth_index[match.truth_index >= 0]] = True
    return [bool(value) for value in there]


if __name__ == "__main__":
    main()
