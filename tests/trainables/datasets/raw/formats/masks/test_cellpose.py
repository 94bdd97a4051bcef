"""Cellpose's `_seg.npy`: its arrays are read, and nothing that a pickle may hide is run."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from pycocotools import mask as coco_mask

from tests.support.raw_samples import picture, write_picture
from trainables.datasets.prepared import DatasetError
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.formats.masks.cellpose import read_masks
from trainables.datasets.raw.read import RawData, read_raw

Labels = npt.NDArray[np.uint16]


def _labels(x: int = 2) -> Labels:
    labels = np.zeros((48, 64), np.uint16)
    labels[4:12, x : x + 8] = 1
    labels[20:30, 30:42] = 7
    labels[23:26, 33:36] = 0
    return labels


def _write(folder: Path, stem: str, masks: Any, **more: Any) -> Path:
    """A file as cellpose writes it: a dictionary of arrays and values."""
    content = {
        "masks": masks,
        "outlines": np.zeros((48, 64), np.uint16),
        "chan_choose": [0, 0],
        "ismanual": np.zeros(2, bool),
        "filename": f"/home/somebody/{stem}.png",
        "flows": [np.zeros((2, 3), np.float32), [None], np.float64(1.5)],
        "est_diam": np.float32(30.1),
        "model_path": Path("/home/somebody/.cellpose"),
        **more,
    }
    np.save(folder / f"{stem}_seg.npy", np.array(content, dtype=object), allow_pickle=True)
    return folder / f"{stem}_seg.npy"


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def test_labels_of_cellpose_are_objects_with_their_holes(tmp_path: Path) -> None:
    for i, name in enumerate(("a.png", "b.tif", "c_img.png")):
        write_picture(tmp_path / name, i)
        _write(tmp_path, name[0], _labels(2 + i))
    data = _read(tmp_path)
    assert (data.format.name, data.problems) == ("cellpose", ())
    for i, image in enumerate(data.images):
        found = [coco_mask.decode(item.rle) for item in image.objects]
        assert np.array_equal(found, [_labels(2 + i) == 1, _labels(2 + i) == 7])
        assert [item.place for item in image.objects] == ["value 1", "value 7"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_files_of_all_protocols_are_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "a_seg.npy"
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
        array = np.empty((), dtype=object)
        array[()] = {"masks": _labels()}
        pickle.dump(array, file, protocol=protocol)
    found = read_masks(path)
    assert found is not None
    assert np.array_equal(found, _labels())


class _Mischief:
    """Makes a folder when it is unpickled by anybody who trusts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_hidden_in_a_file_is_not_run(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for i, name in enumerate("ab"):
        write_picture(raw / f"{name}.png", i)
        _write(raw, name, _labels())
    _write(raw, "b", _labels(), filename=_Mischief(tmp_path / "planted"))
    data = _read(raw)
    assert not (tmp_path / "planted").exists()
    assert [(p.file, p.kind) for p in data.problems] == [("b_seg.npy", Kind.UNREADABLE_ANNOTATION)]
    assert "it asks for posix.mkdir, which is no array: it is not opened" in data.problems[0].reason
    assert [image.stem for image in data.images] == ["a"]
    np.load(raw / "b_seg.npy", allow_pickle=True)  # what anybody else does with it
    assert (tmp_path / "planted").exists()


def test_layers_are_pages(tmp_path: Path) -> None:
    stack = np.stack([picture(i) for i in range(3)])
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    layers = np.stack([_labels(2), _labels(4), np.zeros_like(_labels())])
    _write(tmp_path, "s", layers)
    data = _read(tmp_path)
    assert [(i.stem, len(i.objects)) for i in data.images] == [
        ("s_p000", 2),
        ("s_p001", 2),
        ("s_p002", 0),
    ]
    assert data.images[1].objects[0].place == "layer 1, value 1"
    assert coco_mask.decode(data.images[1].objects[0].rle)[4:12, 4:12].all()


def test_labels_of_another_size_or_without_a_picture_are_problems(tmp_path: Path) -> None:
    for i, name in enumerate("abc"):
        write_picture(tmp_path / f"{name}.png", i)
        _write(tmp_path, name, _labels())
    _write(tmp_path, "b", _labels()[:40])
    _write(tmp_path, "c", np.stack([_labels(), _labels()]))
    _write(tmp_path, "lost", _labels())
    problems = {p.file: (p.kind, p.n_objects) for p in _read(tmp_path).problems}
    assert problems == {
        "b_seg.npy": (Kind.SIZE_DIFFERS, None),
        "c_seg.npy": (Kind.SIZE_DIFFERS, 2),
        "lost_seg.npy": (Kind.LABEL_WITHOUT_IMAGE, 2),
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY\x01\0", b"no array", np.arange(4).tobytes()],
    ids=["empty", "head", "text", "numbers"],
)
def test_broken_files_end_in_a_message(tmp_path: Path, content: bytes) -> None:
    write_picture(tmp_path / "a.png", 0)
    (tmp_path / "a_seg.npy").write_bytes(content)
    with pytest.raises(DatasetError, match=r"1 file cannot be read: a_seg\.npy"):
        _read(tmp_path)


def test_arrays_of_other_programs_are_not_taken_for_cellposes(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 0)
    np.save(tmp_path / "a_seg.npy", _labels())
    with pytest.raises(DatasetError, match=r"1 other file \(1 \.npy, numpy array\)"):
        _read(tmp_path)
