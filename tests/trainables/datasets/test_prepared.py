import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.places import ROOT
from tests.support.raw_samples import labelme_set
from trainables.datasets.prepared import (
    ChangedDataError,
    DatasetError,
    PreparedDataset,
    check_pictures,
    check_trainable,
)
from trainables.datasets.preparing.prepare import prepare
from trainables.metrics.matching import ground_truth


@pytest.fixture
def root(tmp_path: Path) -> Path:
    prepare(labelme_set(tmp_path / "raw"), tmp_path / "out")
    return tmp_path / "out"


def _edit(root: Path, **changes: object) -> None:
    path = root / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_loading_reads_the_manifest_alone_and_imports_no_image_library(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from trainables.datasets.prepared import PreparedDataset, check_trainable\n"
        f"data = PreparedDataset.load(Path({str(root)!r})); check_trainable(data)\n"
        "print(data.counts(), [m for m in ('cv2', 'torch', 'PIL', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{'train': 4, 'val': 1, 'test': 1} []"


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda root: (root / "dataset.json").unlink(), "not a prepared data set"),
    "broken manifest": (lambda root: (root / "dataset.json").write_text("{"), "cannot be read"),
    "a list": (
        lambda root: (root / "dataset.json").write_text("[]"),
        "format_version 1 or 2",
    ),
    "another version": (lambda root: _edit(root, format_version=9), "got 9; .*another version"),
    "no classes": (lambda root: _edit(root, classes=None), r"missing or wrong: classes \(list\)"),
    "no counts": (lambda root: _edit(root, counts={}), "missing or wrong: counts"),
    "hashes of no picture": (
        lambda root: _edit(root, pictures=["a.png"]),
        r"missing or wrong: pictures \(dict\)",
    ),
    "no annotations": (
        lambda root: (root / "annotations.json").unlink(),
        "annotations.json missing",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_broken_set_is_refused_at_once_with_the_remedy(name: str, root: Path) -> None:
    spoil, words = MISTAKES[name]
    spoil(root)
    started = time.monotonic()
    with pytest.raises(DatasetError, match=words) as error:
        PreparedDataset.load(root)
    assert time.monotonic() - started < 0.2
    assert "segtune prepare" in str(error.value)
    assert str(root) in str(error.value)


def test_a_folder_above_the_right_one_names_it(root: Path) -> None:
    with pytest.raises(DatasetError, match=f"did you mean {root}"):
        PreparedDataset.load(root.parent)


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the folder does not exist"):
        PreparedDataset.load(tmp_path / "nowhere")


def test_annotations_changed_by_hand_are_refused(root: Path) -> None:
    path = root / "annotations.json"
    path.write_text(path.read_text() + "\n")
    data = PreparedDataset.load(root)
    with pytest.raises(DatasetError, match="changed after it was prepared"):
        data.images("train")


def test_a_missing_or_exchanged_picture_is_refused(root: Path) -> None:
    data = PreparedDataset.load(root)
    first, second, third = data.images("train")[:3]
    first.path.unlink()
    with pytest.raises(DatasetError, match="No such file"):
        data.read(first)
    second.path.write_text("no picture")
    with pytest.raises(ChangedDataError, match="expected a PNG picture"):
        data.read(second)
    assert cv2.imwrite(str(third.path), np.zeros((9, 9), np.uint8))
    with pytest.raises(ChangedDataError, match="expected 64 x 48 pixels, got 9 x 9"):
        data.read(third)


def _blacken(path: Path) -> None:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.any()
    assert cv2.imwrite(str(path), np.zeros_like(pixels))


def test_the_manifest_has_the_hash_of_each_picture_and_its_state_is_remembered(root: Path) -> None:
    manifest = json.loads((root / "dataset.json").read_text())
    states = json.loads((root / "pictures.json").read_text())
    files = sorted((root / "images").iterdir())
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert len(hashes) == 6
    assert manifest["pictures"] == hashes
    assert states == {
        path.name: [path.stat().st_size, path.stat().st_mtime_ns, hashes[path.name]]
        for path in files
    }


def test_a_picture_that_was_painted_black_is_refused_by_name_until_it_is_put_back(
    root: Path,
) -> None:
    picture = root / "images" / "micrograph_03.png"
    before, states = picture.read_bytes(), (root / "pictures.json").read_text()
    _blacken(picture)
    for check in (check_trainable, check_pictures):
        with pytest.raises(ChangedDataError) as error:
            check(PreparedDataset.load(root))
        assert str(error.value) == (
            f"{root}/images: expected 6 pictures as they were prepared, got 1 missing or changed, "
            "the first is micrograph_03.png (changed). Put them back, or prepare the data set "
            "again into a new folder: segtune prepare RAW --out FOLDER"
        )
    assert (root / "pictures.json").read_text() == states, "what is refused leaves nothing behind"
    picture.write_bytes(before)
    check_trainable(PreparedDataset.load(root))


def test_only_the_pictures_that_are_asked_about_are_checked(root: Path) -> None:
    data = PreparedDataset.load(root)
    train, val = data.images("train"), data.images("val")
    _blacken(train[0].path)
    check_pictures(data, val)
    with pytest.raises(ChangedDataError, match=rf"expected 4 .* is {train[0].path.name} \(changed"):
        check_pictures(data, train)
    train[0].path.unlink()
    with pytest.raises(ChangedDataError, match=rf"is {train[0].path.name} \(missing"):
        check_pictures(data, train)


def test_a_copy_is_hashed_once_and_then_known_by_sizes_and_times(
    root: Path, tmp_path: Path
) -> None:
    """What has the size and the time that it was hashed with is not read again."""
    copy = shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    picture = copy / "images" / "micrograph_00.png"
    os.utime(picture, ns=(1, 1))
    check_trainable(PreparedDataset.load(copy))
    known = json.loads((copy / "pictures.json").read_text())["micrograph_00.png"]
    assert known[1] == 1
    content = picture.read_bytes()
    picture.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(picture, ns=(1, 1))
    check_trainable(PreparedDataset.load(copy))
    os.utime(picture, ns=(2, 2))
    with pytest.raises(ChangedDataError, match=r"the first is micrograph_00\.png \(changed\)"):
        check_trainable(PreparedDataset.load(copy))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"micrograph_00.png": 3}'])
def test_remembered_states_may_be_lost_or_broken(root: Path, content: str | None) -> None:
    states = root / "pictures.json"
    before = states.read_text()
    states.unlink()
    if content is not None:
        states.write_text(content)
    check_trainable(PreparedDataset.load(root))
    assert json.loads(states.read_text()) == json.loads(before)
    _blacken(root / "images" / "micrograph_00.png")
    with pytest.raises(ChangedDataError, match=r"micrograph_00\.png"):
        check_trainable(PreparedDataset.load(root))


def test_a_set_of_an_earlier_version_is_compared_as_before(root: Path) -> None:
    manifest = json.loads((root / "dataset.json").read_text())
    del manifest["pictures"]
    (root / "dataset.json").write_text(json.dumps(manifest))
    (root / "pictures.json").unlink()
    _blacken(root / "images" / "micrograph_00.png")
    check_trainable(PreparedDataset.load(root))
    (root / "images" / "micrograph_00.png").unlink()
    with pytest.raises(ChangedDataError, match=r"1 missing, the first is micrograph_00\.png"):
        check_trainable(PreparedDataset.load(root))


def test_a_set_without_objects_to_validate_on_cannot_be_trained(root: Path) -> None:
    counts = json.loads((root / "dataset.json").read_text())["counts"]
    counts["val"]["objects"] = {"grain": 0}
    _edit(root, counts=counts)
    with pytest.raises(DatasetError, match=r"got none in val \(train 4 images with 8 objects"):
        check_trainable(PreparedDataset.load(root))


def test_a_set_works_wherever_it_is_moved_to(root: Path, tmp_path: Path) -> None:
    moved = root.rename(tmp_path / "moved")
    data = PreparedDataset.load(moved)
    assert data.read(data.images("train")[0]).shape == (48, 64, 3)
    assert str(tmp_path) not in (moved / "dataset.json").read_text()


def test_an_object_that_stands_twice_is_one_object(root: Path) -> None:
    """As earlier versions prepared it; another class with the same pixels is another object."""
    before = PreparedDataset.load(root)
    n = {image.id: len(before.annotations(image)) for image in before.images("train")}
    path = root / "annotations.json"
    content = json.loads(path.read_text())
    first = content["annotations"][0]
    other = 1 + first["category_id"] % len(before.classes)
    content["annotations"] += [{**first, "id": 998}, {**first, "id": 999, "category_id": other}]
    path.write_text(json.dumps(content))
    _edit(root, annotations_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    after = PreparedDataset.load(root)
    for image in after.images("train"):
        same = image.id == first["image_id"]
        assert len(after.annotations(image)) == n[image.id] + same
        assert len(ground_truth(after, image)) == n[image.id] + same
        assert after.n_twice(image) == same
