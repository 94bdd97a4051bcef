"""Small raw data sets, written as annotation tools write them, for tests of `prepare`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.places import DATA


def real_data(name: str) -> Path:
    """A folder of the shared real data; the test is skipped where it is not there."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the shared data set {name} is not there")
    return folder


def picture(seed: int, width: int = 64, height: int = 48) -> npt.NDArray[np.uint8]:
    """A grey picture of blobs that is like no other seed's."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_picture(path: Path, seed: int, width: int = 64, height: int = 48) -> Path:
    """Write `picture` where asked; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(seed, width, height))
    return path


def square(x: float, y: float, side: float = 10) -> list[list[float]]:
    """The corners of a square."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def shape(points: Sequence[Any], label: str = "grain", **more: Any) -> dict[str, Any]:
    """A LabelMe shape."""
    return {"label": label, "points": points, "shape_type": "polygon", "group_id": None, **more}


def write_labelme(
    folder: Path, stem: str, shapes: Sequence[Mapping[str, Any]], **more: Any
) -> Path:
    """Write a LabelMe file for the picture `<stem>.png` beside it."""
    document = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{stem}.png",
        "imageData": None,
        "imageHeight": 48,
        "imageWidth": 64,
        **more,
    }
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(document))
    return path


def labelme_set(folder: Path, n: int = 6, name: str = "micrograph_{:02d}") -> Path:
    """`n` unlike pictures with two grains each."""
    for i in range(n):
        write_picture(folder / f"{name.format(i)}.png", seed=i)
        write_labelme(folder, name.format(i), [shape(square(2, 2)), shape(square(30, 20))])
    return folder


def write_coco(
    path: Path,
    files: Sequence[str],
    annotations: Sequence[Mapping[str, Any]],
    categories: Mapping[int, str] | None = None,
) -> Path:
    """Write a COCO file of pictures of 64 x 48 pixels; image ids count from 1."""
    document = {
        "images": [
            {"id": i, "file_name": file, "width": 64, "height": 48}
            for i, file in enumerate(files, start=1)
        ],
        "annotations": [{"id": i, "iscrowd": 0, **a} for i, a in enumerate(annotations, start=1)],
        "categories": [{"id": i, "name": n} for i, n in (categories or {1: "grain"}).items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
