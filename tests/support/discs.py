"""A tiny data set that a network can learn: bright discs and dark squares on noise."""

import json
from pathlib import Path

import cv2
import numpy as np

from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.preparing.prepare import PrepareOptions, prepare

CLASSES = ("disc", "square")


def prepare_discs(
    folder: Path, n_images: int = 14, sides: tuple[int, int] = (64, 80)
) -> PreparedDataset:
    """Draw pictures with two or three objects of each class, and prepare them.

    Args:
        folder: Where raw and prepared data go.
        n_images: Three fifths of them are for training, a third for validation.
        sides: Height and width, px; every third picture is turned by a quarter.
    """
    raw = folder / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for i in range(n_images):
        height, width = sides if i % 3 else sides[::-1]
        picture = rng.normal(110, 12, (height, width))
        for k in range(int(rng.integers(4, 7))):
            polygon = _polygon(k % 2, rng, height, width)
            inside = cv2.fillPoly(np.zeros((height, width), np.uint8), [polygon.astype(int)], 1)
            picture[inside > 0] += 90 if k % 2 == 0 else -70
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": k % 2 + 1,
                    "segmentation": [polygon.ravel().tolist()],
                    "bbox": [*polygon.min(axis=0).tolist(), *np.ptp(polygon, axis=0).tolist()],
                    "area": float(cv2.contourArea(polygon.astype(np.float32))),
                    "iscrowd": 0,
                }
            )
        name = f"p{i:02}.png"
        cv2.imwrite(str(raw / name), np.clip(picture, 0, 255).astype(np.uint8))
        images.append({"id": i + 1, "file_name": name, "width": width, "height": height})
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (raw / "annotations.json").write_text(json.dumps(content))
    prepare(raw, folder / "prepared", PrepareOptions(group=r"p(\d+)", splits=(0.6, 0.35, 0.05)))
    return PreparedDataset.load(folder / "prepared")


def _polygon(kind: int, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    radius = rng.uniform(5, 9)
    centre = rng.uniform(radius + 1, np.array([width, height]) - radius - 1)
    n = 24 if kind == 0 else 4
    angles = 2 * np.pi * (np.arange(n) + 0.5) / n
    return np.round(centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), 2)
