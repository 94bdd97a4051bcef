"""What a detector and the self-training U-Net learn from small objects with boxes, cut into tiles.

    segtune prepare RAW --out DATA
    python -m benchmarks.detector.tiles DATA --work /tmp/tiles --detector-epochs 12 --unet-epochs 8

Every picture is cut into equal tiles of at most `--tile` px a side, which stay in the picture's
part; a box belongs to each tile that shows half of it. Both engines are trained from random
weights, and what is printed are the metrics of the test part, at the confidence chosen on the
validation part. Everything that is finished is kept in `--work`.
"""

import argparse
import csv
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from trainables.datasets.prepared import SPLITS, PreparedDataset
from trainables.datasets.records import ImageRecord
from trainables.registry import engine_info
from tune.best.configuration import BestConfig, ConfigOrigin, Reached, trained_on
from tune.best.file import to_yaml
from tune.study.study import TrainMetricsSpec

ROOT = Path(__file__).resolve().parents[2]

SHOWN_OF_BOX: Final = 0.5
"""Share of a box that a tile must show."""

DETECTOR: Final[Mapping[str, Any]] = {
    "model": "small_fpn",
    "width": 16,
    "fpn_channels": 64,
    "box_head_dim": 128,
    "anchor_scales": 2,
    "proposals": 300,
    "regions": 128,
    "batch_size": 2,
    "learning_rate": 0.001,
    "flipud": 0.5,
    "scale": 0.2,
    "brightness": 0.2,
    "contrast": 0.2,
}

UNET: Final[Mapping[str, Any]] = {
    "depth": 3,
    "width": 8,
    "rounds": 0,
    "tile_px": 128,
    "tiles": 64,
    "batch_size": 8,
    "learning_rate": 0.002,
}

SHOWN: Final = ("F1", "precision", "recall", "map50", "map50_95", "average_precision")


def edges(side_px: int, tile_px: int) -> list[int]:
    """Edges of the fewest equal tiles along a side.

    >>> edges(1024, 320), edges(640, 320)
    ([0, 256, 512, 768, 1024], [0, 320, 640])
    """
    n = math.ceil(side_px / tile_px)
    return [round(side_px * i / n) for i in range(n + 1)]


def tiles(
    data: PreparedDataset, record: ImageRecord, tile_px: int
) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, pixels and objects (box of the tile, class) of each tile of a picture."""
    pixels = data.read(record)
    across, down = edges(record.width, tile_px), edges(record.height, tile_px)
    for row, (top, bottom) in enumerate(pairwise(down)):
        for column, (left, right) in enumerate(pairwise(across)):
            objects = []
            for item in data.annotations(record):
                box = np.array(item.box) - [left, top, left, top]
                cut = np.clip(box, 0, [right - left, bottom - top] * 2)
                if (cut[2:] - cut[:2]).prod() >= SHOWN_OF_BOX * (box[2:] - box[:2]).prod():
                    objects.append((cut, item.category))
            name = f"{record.path.stem}_r{row}c{column}.png"
            yield name, pixels[top:bottom, left:right], objects


def cut(data: PreparedDataset, raw: Path, tile_px: int) -> None:
    """Write the tiles of a data set as COCO with boxes alone, and the part of each."""
    raw.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    parts = [("image", "split")]
    for split in SPLITS:
        for record in data.images(split):
            for name, pixels, objects in tiles(data, record, tile_px):
                Image.fromarray(pixels).save(raw / name)
                height, width = pixels.shape[:2]
                number = len(images) + 1
                images.append({"id": number, "file_name": name, "width": width, "height": height})
                parts.append((name, split))
                for (x1, y1, x2, y2), category in objects:
                    box = [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]
                    annotations.append(
                        {
                            "id": len(annotations) + 1,
                            "image_id": number,
                            "category_id": category + 1,
                            "bbox": box,
                            "area": box[2] * box[3],
                            "iscrowd": 0,
                        }
                    )
    categories = [{"id": i, "name": name} for i, name in enumerate(data.classes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (raw / "annotations.json").write_text(json.dumps(content))
    with (raw / "splits.csv").open("w", newline="") as file:
        csv.writer(file).writerows(parts)


def segtune(*arguments: str | Path) -> None:
    """Run the command line as a user would."""
    subprocess.run([sys.executable, "-m", "tune.cli", *map(str, arguments)], check=True, cwd=ROOT)


def trained(engine: str, params: Mapping[str, Any], epochs: int, data: Path, work: Path) -> Any:
    """Result of a training, as `segtune retrain` writes it."""
    prepared = PreparedDataset.load(data)
    config = BestConfig(
        engine=engine,
        params=dict(params),
        epochs=epochs,
        cpus=1,
        train_metrics=TrainMetricsSpec(every=0),
        objective=Reached(metric=engine_info(engine).objective),
        data=trained_on(prepared),
        classes=prepared.classes,
        source=ConfigOrigin(study="tiles"),
    )
    (work / f"{engine}.yaml").write_text(to_yaml(config))
    segtune("retrain", work / f"{engine}.yaml", "--out", work / engine, "--device", "cpu")
    return json.loads((work / engine / "result.json").read_text())


def main() -> None:
    """Cut, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tile", type=int, default=320)
    parser.add_argument("--detector-epochs", type=int, default=12)
    parser.add_argument("--unet-epochs", type=int, default=8)
    given = parser.parse_args()
    work = given.work.resolve()
    data = work / "data"
    if not (data / "dataset.json").is_file():
        cut(PreparedDataset.load(given.data.resolve()), work / "raw", given.tile)
        segtune("prepare", work / "raw", "--out", data)
    sides = {"min_size": given.tile, "max_size": given.tile}
    for engine, params, epochs in (
        ("detector", {**DETECTOR, **sides}, given.detector_epochs),
        ("unet_selftraining", UNET, given.unet_epochs),
    ):
        result = trained(engine, params, epochs, data, work)
        print(f"{engine}: {result['metric']} {result['value']:.3f} on validation")
        for name, value in sorted(result["test"].items()):
            if name.split("/")[-1] in SHOWN:
                print(f"  test {name} {value:.3f}")


if __name__ == "__main__":
    main()
