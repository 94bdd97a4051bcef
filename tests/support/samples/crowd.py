"""A small data set with more objects in a picture than models find by default."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import prepare


def prepare_crowd(folder: Path) -> PreparedDataset:
    """Draw pictures of 8 and 12 squares to train on and of 400 to validate on, and prepare them.

    The first square of the first picture is of a class of its own.
    """
    raw = folder / "raw"
    raw.mkdir()
    names = ("few", "some", "many")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, n) in enumerate(zip(names, (8, 12, 400), strict=True), start=1):
        picture = np.random.default_rng(number).integers(90, 110, (240, 240), dtype=np.uint8)
        for place in range(n):
            x, y = 12 * (place % 20) + 2, 12 * (place // 20) + 2
            picture[y : y + 6, x : x + 6] = 200
            box = [x, y, 6, 6]
            outline = [x, y, x + 6, y, x + 6, y + 6, x, y + 6]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1 + (place == 0 and name == "few"),
                    "segmentation": [outline],
                    "bbox": box,
                    "area": 36,
                    "iscrowd": 0,
                }
            )
        cv2.imwrite(str(raw / f"{name}.png"), picture)
        images.append({"id": number, "file_name": f"{name}.png", "width": 240, "height": 240})
    categories = [{"id": 1, "name": "square"}, {"id": 2, "name": "first"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (raw / "annotations.json").write_text(json.dumps(content))
    (raw / "splits.csv").write_text("image,split\nfew.png,train\nsome.png,train\nmany.png,val\n")
    prepare(raw, folder / "prepared")
    return PreparedDataset.load(folder / "prepared")
