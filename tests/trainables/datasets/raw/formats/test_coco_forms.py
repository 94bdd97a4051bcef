"""COCO as other programs write it: outlines without the outer list, objects marked as crowds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.support.command_line import segtune
from tests.support.raw_samples import square, write_coco, write_picture
from trainables.datasets.prepared import PreparedDataset
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

FLAT = [value for point in square(4, 6) for value in point]


def _set(folder: Path, annotations: list[dict[str, Any]], n: int = 4) -> Path:
    """`n` pictures; an annotation belongs to the one of its number."""
    names = [write_picture(folder / f"m{i}.png", i).name for i in range(n)]
    entries = [{"image_id": 1 + i % n, "category_id": 1, **a} for i, a in enumerate(annotations)]
    write_coco(folder / "coco.json", names, entries)
    return folder


def _read(folder: Path, *, keep_crowds: bool = False) -> RawData:
    return read_raw(folder, format_name=None, classes=None, keep_crowds=keep_crowds)


@pytest.mark.parametrize(
    "segmentation",
    [FLAT, [FLAT], square(4, 6), [square(4, 6)]],
    ids=["flat", "list of flat", "pairs", "list of pairs"],
)
def test_one_outline_may_lack_the_outer_list(segmentation: list[Any], tmp_path: Path) -> None:
    data = _read(_set(tmp_path, [{"segmentation": segmentation}] * 4))
    assert data.problems == ()
    expected = np.zeros((48, 64), np.uint8)
    expected[6:16, 4:14] = 1
    for image in data.images:
        assert [item.label for item in image.objects] == ["grain"]
        assert np.array_equal(coco_mask.decode(image.objects[0].rle), expected)


def _ring() -> dict[str, Any]:
    """An object with a hole, as run lengths, marked as a crowd."""
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:40] = 1
    mask[15:20, 25:30] = 0
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(edges, prepend=0, append=flat.size).tolist()
    return {"segmentation": {"size": [48, 64], "counts": counts}, "iscrowd": 1}


def test_objects_marked_as_crowds_are_told_with_the_option_that_keeps_them(tmp_path: Path) -> None:
    raw = _set(tmp_path, [_ring(), *[{"segmentation": [FLAT]}] * 3])
    data = _read(raw)
    assert [p.kind for p in data.problems] == [Kind.CROWD]
    (warning,) = data.warnings
    assert "coco.json: 1 of 4 objects is marked iscrowd" in warning
    assert "--keep-crowds takes them" in warning
    kept = _read(raw, keep_crowds=True)
    assert (kept.problems, kept.warnings) == ((), ())
    assert any("1 region marked iscrowd: taken as objects" in note for note in kept.notes)
    ring = coco_mask.decode(kept.images[0].objects[0].rle)
    assert (ring[10:30, 20:40].sum(), ring[15:20, 25:30].sum()) == (375, 0)


def test_a_mark_written_as_text_is_read_as_one(tmp_path: Path) -> None:
    marked = [{"segmentation": [FLAT], "iscrowd": text} for text in ("0", "1", "false", "")]
    data = _read(_set(tmp_path, marked))
    assert [p.kind for p in data.problems] == [Kind.CROWD]
    assert "1 of 4 objects is marked iscrowd" in data.warnings[0]


def test_keep_crowds_is_an_option_of_the_command_line(tmp_path: Path) -> None:
    raw = _set(tmp_path / "raw", [_ring(), *[{"segmentation": [FLAT]}] * 3])
    done = segtune(tmp_path, "prepare", str(raw), "--out", "out", "--keep-crowds")
    assert (done.returncode, done.stderr) == (0, "")
    data = PreparedDataset.load(tmp_path / "out")
    assert sum(n for part in data.objects().values() for n in part.values()) == 4
    assert data.manifest["settings"]["keep_crowds"] is True
