"""Sizes and counts that a trained model measures, beside the truth: from pictures to the figures.

    python -m benchmarks.measured_sizes simulated --work DIR [--runs 20] [--images 10] [--epochs 45]
    python -m benchmarks.measured_sizes real RAW --work DIR [--epochs 12] [--imgsz 320]

`simulated`: an untrained yolo11n-seg learns 60 simulated micrographs with a scale bar (42 train,
18 validate) in a study of one trial. Then `segtune measure` gets new ones, each run with another
seed, and nothing else: the scale is read from the bars. Printed are mean equivalent diameter and
particles per area with the combined uncertainty that the run says: how far the mean diameter and
the count are from those of the particles drawn in these very pictures that count by the same border
rule, and whether the interval holds the figure of 4,000 pictures of the kind, of which the run's
are a sample.

`real`: the folder of a data set with a scale bar in its pictures is prepared; its training and
validation part are cut into tiles of `--imgsz` px, as its particles are small, and learnt; the test
part is measured whole, twice by the same code: as the model finds it, and as it is annotated.

DIR keeps data, study and runs: a second call goes on.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import ray
from PIL import Image
from pycocotools import mask as coco_mask

from analysis.finding.finder import Found
from analysis.measure.figures import ClassFigures, run_figures
from analysis.measure.job.folder import JobFolder
from analysis.measure.job.stages import PictureMeasurer, PictureReader, Searched
from analysis.measure.plan import plan_measure
from analysis.measure.settings import MeasureSettings
from analysis.measure.statistics.border import BorderRule
from analysis.measure.tables import DonePictures
from analysis.measure.truth import compare
from cluster.machines.local_ray import start_ray
from cluster.machines.machine import this_machine
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.simulate.dataset import simulate
from trainables.datasets.simulate.scene import place
from trainables.datasets.simulate.spec import (
    Background,
    Camera,
    DataBar,
    EllipseForm,
    Lognormal,
    ParticleClass,
    SimulationSpec,
)
from trainables.files.whole import write_text
from trainables.metrics.matching import ground_truth
from trainables.results import Instances
from tune.verbs.models.measuring import measure
from tune.verbs.tuning import tune

SPEC: Final = SimulationSpec(
    name="measured_sizes",
    images=60,
    width=256,
    height=256,
    um_per_px=(0.0125, 0.016),
    classes=(
        ParticleClass(
            name="particle",
            form=EllipseForm(aspect=(1.0, 1.3)),
            size=Lognormal(median=0.4, sigma=0.3, low=0.2, high=1.0, unit="um"),
            area_fraction=0.2,
            grey=140,
            grey_spread=12,
            edge=50,
            texture=0.1,
        ),
    ),
    background=Background(grey=50, texture=0.15),
    camera=Camera(tilt=0.3, blur_px=(0.4, 0.8)),
    bar=DataBar(height_px=28),
    max_hidden_fraction=0.1,
    min_visible_px=20,
)

_TEST_SEED: Final = 1000
"""Seed of the first run's pictures; the training's is 0."""

_POPULATION: Final = 4_000

_STUDY: Final = """\
study: sizes
data: {data}
trainable: yolo_seg
budget: {{trials: 1, epochs: {epochs}}}
search: grid
search_space:
  lr0: {{choice: [0.002]}}
warm_start: {{points: []}}
fixed:
  model: yolo11n-seg.yaml
  imgsz: {imgsz}
  batch: 4
  nbs: 4
  optimizer: AdamW
  lrf: 0.05
  warmup_epochs: 1
  mosaic: {mosaic}
  close_mosaic: 10
  scale: 0.3
  mask_ratio: 1
  flipud: 0.5
  max_det: 300
  workers: 0
scheduler: {{kind: none}}
train_metrics: {{every: 0}}
resources: {{concurrent: 1, cpus_per_trial: 1}}
tracking: {{wandb: {{mode: disabled}}}}
storage: {storage}
seed: 0
"""

SHOWN: Final = ("mean_1_0", "number_density")


@dataclass(frozen=True)
class Row:
    """A figure of a run beside its truth, lengths in um.

    Attributes:
        figure: Its name.
        value: As measured.
        interval: The 95 % interval with all its parts that the run says.
        population: Of all pictures of the kind.
        off: Relative difference to the particles drawn in these pictures: of their mean diameter,
            or of their number.
        parts: What it is uncertain by, relative.
    """

    figure: str
    value: float
    interval: tuple[float, float]
    population: float
    off: float
    parts: Mapping[str, float]

    @property
    def holds(self) -> bool:
        """Whether the interval holds the population's figure."""
        low, high = self.interval
        return low <= self.population <= high

    @property
    def cells(self) -> str:
        """The figures as cells of a table."""
        low, high = self.interval
        parts = ", ".join(f"{name} {part:.1%}" for name, part in self.parts.items())
        held = "holds" if self.holds else "DOES NOT HOLD"
        cells = [f"{self.value:.4f}", f"{low:.4f} to {high:.4f}", f"{held} {self.population:.4f}"]
        return " | ".join([*cells, f"{self.off:+.1%}", parts])


def main() -> None:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["simulated", "real"])
    parser.add_argument("raw", type=Path, nargs="?", help="folder of the real data set")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--imgsz", type=int, default=320, help="of real tiles")
    given = parser.parse_args()
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if given.kind == "real":
        compare_real(given.raw.absolute(), work, given.epochs, given.imgsz)
    else:
        compare_simulated(work, given.runs, given.images, given.epochs)


# --- simulated micrographs


def compare_simulated(work: Path, runs: int, images: int, epochs: int) -> None:
    """Train once, measure many sets, print every one and what they say together."""
    if not (work / "data").exists():
        simulate(SPEC, work / "raw", force=True)
        prepare(work / "raw", work / "data", PrepareOptions(splits=(0.7, 0.3, 0.0)))
    model = trained(work, epochs, SPEC.width, mosaic=0.3)
    truth = population(SPEC)
    start_ray(this_machine().cpus + 1, 0)
    rows: dict[str, list[Row]] = {name: [] for name in SHOWN}
    for run in range(runs):
        for row in one_run(work, run, images, model, truth):
            rows[row.figure].append(row)
            print(run, row.figure, row.cells, sep=" | ", flush=True)
    ray.shutdown()
    for name, of_runs in rows.items():
        print(summary(name, of_runs))


def one_run(
    work: Path, run: int, images: int, model: Path, truth: Mapping[str, float]
) -> list[Row]:
    """The figures of one set of new pictures."""
    folder = work / f"run-{run}"
    if not (folder / "raw").exists():
        changed = {"seed": _TEST_SEED + run, "images": images}
        simulate(SPEC.model_copy(update=changed), folder / "raw")
    overrides = ["unit=um", "write=[]"]
    result = measure(folder / "raw" / "images", model, folder / "out", overrides=overrides)
    rule = BorderRule()
    drawn = compare(result.figures, result.records, folder / "raw" / "truth.csv", rule)[0]
    off = {
        "mean_1_0": drawn.measured.value / drawn.true - 1,
        "number_density": drawn.n_measured / drawn.n_true - 1,
    }
    rows = []
    for name in SHOWN:
        said = result.figures[0].combined[name]
        assert said.interval is not None
        assert not said.missing, said.missing
        rows.append(Row(name, said.value, said.interval, truth[name], off[name], said.parts))
    return rows


def population(spec: SimulationSpec) -> dict[str, float]:
    """The figures of very many pictures, of which nothing is drawn but the places."""
    rng = np.random.default_rng(7)
    sizes: list[float] = []
    area = 0.0
    for number in range(_POPULATION):
        um = spec.um_per_px[number % len(spec.um_per_px)]
        sizes += [2 * um * np.sqrt(item.shape.area_px2 / np.pi) for item in place(spec, um, rng)]
        area += spec.width * spec.field_height * um**2
    return {"mean_1_0": float(np.mean(sizes)), "number_density": len(sizes) / area}


def summary(name: str, rows: Sequence[Row]) -> str:
    """Mean and largest error of a figure over the runs, and how often its interval held."""
    off = np.array([row.off for row in rows])
    half = np.mean([(row.interval[1] - row.interval[0]) / 2 / row.value for row in rows])
    return (
        f"{name}: off by {off.mean():+.2%} (largest {np.abs(off).max():.2%}); the interval, "
        f"+- {half:.1%}, holds the truth in {sum(row.holds for row in rows)} of {len(rows)} runs"
    )


# --- real pictures


def compare_real(raw: Path, work: Path, epochs: int, imgsz: int) -> None:
    """Measure the test part as found and as annotated, and print both."""
    if not (work / "data").exists():
        prepare(raw, work / "data", PrepareOptions())
    data = PreparedDataset.load(work / "data")
    if not (work / "tiled" / "data").exists():
        cut_tiles(data, work / "tiled" / "raw", imgsz)
        prepare(work / "tiled" / "raw", work / "tiled" / "data", PrepareOptions())
    model = trained(work / "tiled", epochs, imgsz, mosaic=0.5)
    records = data.images("test")
    pictures = [str(next((raw / "images").glob(f"{one.path.stem}.*"))) for one in records]
    found = measure(pictures, model, work / "found", overrides=["unit=um"])
    annotated = measured_annotations(pictures, data, model, work / "annotated")
    print(f"{len(records)} pictures: {', '.join(Path(name).name for name in pictures)}")
    by_name = {row["figure"]: row for row in annotated.rows()}
    for row in found.figures[0].rows():
        other = by_name[row["figure"]]
        print(row["figure"], row["unit"], _said(row), _said(other), sep=" | ")
    for one in (found.figures[0], annotated):
        print("\n".join(one.lines()))


def cut_tiles(data: PreparedDataset, to: Path, side: int) -> None:
    """Write the training and the validation part as tiles with label pictures.

    Args:
        data: The whole pictures.
        to: Folder to write.
        side: Side of a tile, px; what is left at the right and the bottom is dropped.
    """
    for name in ("images", "masks"):
        (to / name).mkdir(parents=True)
    parts = ["image,split"]
    for part in ("train", "val"):
        for image in data.images(part):
            pixels = data.read(image)
            height, width = pixels.shape[:2]
            labels = np.zeros((height, width), np.uint16)
            for number, item in enumerate(data.annotations(image), start=1):
                labels[coco_mask.decode(item.mask) > 0] = number
            for row, column in product(range(height // side), range(width // side)):
                name = f"{image.path.stem}_r{row}c{column}.png"
                here = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
                Image.fromarray(pixels[here]).save(to / "images" / name)
                Image.fromarray(labels[here]).save(to / "masks" / name)
                parts.append(f"{name},{part}")
    write_text(to / "splits.csv", "\n".join(parts) + "\n")


def _said(row: Mapping[str, Any]) -> str:
    low, high = row["combined_low_95"], row["combined_high_95"]
    interval = "" if low is None else f" ({low:.4g} to {high:.4g})"
    return f"{row['value']:.4g}{interval} of {row['particles']}"


def measured_annotations(
    pictures: Sequence[str], data: PreparedDataset, model: Path, out: Path
) -> ClassFigures:
    """The figures of the annotated outlines, by the code that measures a model's."""
    plan = plan_measure(pictures, [model], out, MeasureSettings(unit="um", write=()))
    folder = plan.folder
    folder.begin()
    reader = PictureReader(plan.pictures, plan.wishes)
    measurer = PictureMeasurer(plan.pictures, folder, plan.settings, plan.of_each())
    records = {image.path.stem: image for image in data.images("test")}
    for number, picture in enumerate(plan.pictures):
        truth = ground_truth(data, records[picture.path.stem])
        ones = np.ones(len(truth.classes), np.float32)
        masks = list(truth.masks or ())
        instances = Instances(truth.boxes.astype(np.float32), ones, truth.classes, masks)
        seen = Found(instances, False, 1, 1, (1.0,), 0, {}, {}, 0.5)
        measurer(number, reader(number), Searched(seen, data.classes))
    done = {picture: folder.record(picture) for picture in plan.pictures}
    kept = {picture: record for picture, record in done.items() if record is not None}
    return run_figures(DonePictures(JobFolder(out, []), kept, plan.settings), "um", [])[0]


def trained(work: Path, epochs: int, imgsz: int, *, mosaic: float) -> Path:
    """The study that trained the model, begun where it is not there yet."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    study = work / "studies" / "sizes"
    if not (study / "leaderboard.csv").exists():
        file = work / "study.yaml"
        settings: dict[str, Any] = {
            "data": work / "data",
            "storage": work / "studies",
        }
        settings |= {"epochs": epochs, "imgsz": imgsz, "mosaic": mosaic}
        write_text(file, _STUDY.format(**settings))
        tune(file)
    return study


if __name__ == "__main__":
    main()
