import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.support.samples.scenes import KINDS, SIZE, B, found, rectangle
from trainables.datasets.prepared import PreparedDataset
from trainables.metrics.instances import evaluate
from trainables.metrics.matching import GroundTruth, ground_truth


def test_the_truth_is_read_from_a_prepared_data_set(tmp_path: Path) -> None:
    mask = rectangle(B)
    area, (x, y, width, height) = int(coco_mask.area(mask)), coco_mask.toBbox(mask).tolist()
    picture = {"width": SIZE, "height": SIZE, "split": "val", "group": "g"}
    coco = {
        "images": [{"id": k, "file_name": f"images/{k}.png", **picture} for k in (1, 2)],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 2,
                "area": area,
                "bbox": [x, y, width, height],
                "segmentation": {"size": mask["size"], "counts": mask["counts"].decode()},
            }
        ],
    }
    written = json.dumps(coco).encode()
    (tmp_path / "annotations.json").write_bytes(written)
    manifest = {
        "name": "two",
        "classes": ["a", "b"],
        "fingerprint": "0",
        "evaluation_only": "",
        "annotations_sha256": hashlib.sha256(written).hexdigest(),
    }
    data = PreparedDataset.from_manifest(tmp_path, manifest)
    t = [ground_truth(data, image) for image in data.images("val")]
    assert [len(i) for i in t] == [1, 0]
    assert t[0].boxes.tolist() == [list(B)]
    for kind in KINDS:
        p = [found([B], [0.9], [1]), found([], [])]
        e = evaluate(p, t, data.classes, kind=kind)
        assert (e.f1, e.per_class[1].name, e.per_class[1].truths) == (1.0, "b", 1)


def test_a_truth_with_parts_that_do_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected boxes \(1, 4\) for 1 classes"):
        GroundTruth(np.zeros((2, 4), np.float32), np.zeros(1, np.int64), None, 9, 9)
    with pytest.raises(ValueError, match="expected 1 masks for 1 classes, got 0"):
        GroundTruth(np.zeros((1, 4), np.float32), np.zeros(1, np.int64), [], 9, 9)
