"""A small prepared data set and a study file on it, for tests of studies and plans."""

import hashlib
import json
from pathlib import Path
from typing import Any

from trainables.datasets.prepared import FORMAT_VERSION
from tune.study.file import write_yaml


def write_data(root: Path, **changes: Any) -> Path:
    """Write a prepared data set's manifest and what must lie beside it; no picture is read."""
    (root / "images").mkdir(parents=True)
    annotations = json.dumps({"images": [], "annotations": [], "categories": []}).encode()
    (root / "annotations.json").write_bytes(annotations)
    counts = {"train": 8, "val": 3, "test": 2}
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": "powder",
        "classes": ["particle"],
        "fingerprint": "0123456789abcdef",
        "evaluation_only": "",
        "annotations_sha256": hashlib.sha256(annotations).hexdigest(),
        "counts": {
            split: {"images": n, "objects": {"particle": 5 * n}} for split, n in counts.items()
        },
        **changes,
    }
    (root / "dataset.json").write_text(json.dumps(manifest))
    return root


def minimal(**changes: Any) -> dict[str, Any]:
    """The four required keys of a study of the simulated engine, changed; None drops a key."""
    study = {
        "study": "sample",
        "data": "data",
        "trainable": "simulated",
        "budget": {"trials": 8, "epochs": 40},
        **changes,
    }
    return {key: value for key, value in study.items() if value is not None}


def write_study(folder: Path, **changes: Any) -> Path:
    """Write a study file and, beside it, its data set."""
    if not (folder / "data").exists():
        write_data(folder / "data")
    path = folder / "study.yaml"
    path.write_text(write_yaml(minimal(**changes)))
    return path
