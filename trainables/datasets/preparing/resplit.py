"""A prepared data set with its training and validation part drawn anew; the test part stays."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.datasets.prepared import (
    ANNOTATIONS,
    IMAGES,
    MANIFEST,
    SPLITS,
    UNLABELLED,
    DatasetError,
    PreparedDataset,
    check_trainable,
)
from trainables.datasets.preparing.splits import Sample, draw_parts
from trainables.datasets.records import Split
from trainables.files.whole import new_folder, write_json


def resplit(data: PreparedDataset, to: Path, seed: int) -> PreparedDataset:
    """Write a data set of the same pictures whose groups are drawn anew into train and val.

    As many pictures as before go to each, nearly, and the test part is left alone. Pictures are not
    copied where the file system can have them twice. A folder that holds it already is used.

    Args:
        data: The data set.
        to: Folder to write.
        seed: Seed of the draw.

    Raises:
        DatasetError: One group of pictures fills train and val, the folder holds something else,
            or no model could be trained on the new parts.
    """
    if (to / MANIFEST).is_file():
        there = PreparedDataset.load(to)
        if there.manifest.get("resplit") == _origin(data, seed):
            return there
        raise DatasetError(f"{to}: expected a new folder, got another data set; move it away")
    content = json.loads((data.root / ANNOTATIONS).read_bytes())
    parts = _parts(data, seed)
    for image in content["images"]:
        image["split"] = parts.get(image["id"], image["split"])
    with new_folder(to) as new:
        _write(data, content, seed, new)
    made = PreparedDataset.load(to)
    check_trainable(made)
    return made


def _origin(data: PreparedDataset, seed: int) -> dict[str, Any]:
    """What a data set with new parts was made from."""
    return {"of": data.fingerprint, "seed": seed}


def _parts(data: PreparedDataset, seed: int) -> dict[int, Split]:
    """The new part of each picture of train and val, by its id.

    Raises:
        DatasetError: One group fills both.
    """
    images = [*data.images("train"), *data.images("val")]
    samples = [
        Sample(
            image.path.name,
            image.group,
            Counter(data.classes[a.category] for a in data.annotations(image)),
        )
        for image in images
    ]
    if len({sample.group for sample in samples}) < 2:
        raise DatasetError(
            f"{data.root}: expected several groups of pictures in train and val, to draw anew, got "
            "one"
        )
    n_val = len(data.images("val")) / len(images)
    drawn = draw_parts(samples, {"train": 1 - n_val, "val": n_val}, seed)
    return {image.id: drawn[image.group] for image in images}


def _write(data: PreparedDataset, content: dict[str, Any], seed: int, new: Path) -> None:
    """Write annotations, pictures and, last, the manifest."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    (new / ANNOTATIONS).write_bytes(text)
    (new / IMAGES).mkdir()
    for picture in (data.root / IMAGES).iterdir():
        _link(picture, new / IMAGES / picture.name)
    parts = {image["id"]: image["split"] for image in content["images"]}
    said = json.dumps([data.fingerprint, sorted(parts.items())])
    groups: dict[str, Counter[str]] = {}
    for image in content["images"]:
        groups.setdefault(image["group"], Counter())[image["split"]] += 1
    manifest = {
        **data.manifest,
        "fingerprint": hashlib.sha256(said.encode()).hexdigest(),
        "annotations_sha256": hashlib.sha256(text).hexdigest(),
        "counts": _counts(data, content, parts),
        "splits_by": f"train and val drawn anew with seed {seed}",
        "groups": {group: dict(counts) for group, counts in groups.items()},
        "resplit": _origin(data, seed),
    }
    write_json(new / MANIFEST, manifest)


def _counts(
    data: PreparedDataset, content: Mapping[str, Any], parts: Mapping[int, str]
) -> dict[str, Any]:
    """Pictures, and objects by class, of each part."""
    images = Counter(split for split in parts.values() if split != UNLABELLED)
    objects: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for entry in content["annotations"]:
        objects[parts[entry["image_id"]]][data.classes[entry["category_id"] - 1]] += 1
    return {
        split: {
            "images": images[split],
            "objects": {name: objects[split][name] for name in data.classes},
        }
        for split in SPLITS
    }


def _link(picture: Path, to: Path) -> None:
    """Have a file a second time: by a link, or as a copy on another file system."""
    try:
        os.link(picture, to)
    except OSError:
        shutil.copyfile(picture, to)
