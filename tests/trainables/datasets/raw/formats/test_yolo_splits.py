"""The user's own train, val and test of a YOLO set: never replaced without a word."""

from pathlib import Path

import pytest
import yaml

from tests.support.raw_samples import write_picture
from trainables.datasets.prepared import SPLITS
from trainables.datasets.preparing.prepare import PrepareOptions, prepare
from trainables.datasets.raw.entries import Kind
from trainables.datasets.raw.read import RawData, read_raw

OUTLINE = "0 0.1 0.1 0.5 0.1 0.5 0.5\n"
BATCHES = {"one": ["a0", "a1", "a2"], "two": ["b0"], "three": ["c0", "c1"]}
GIVEN = {"a0": "train", "a1": "train", "a2": "train", "b0": "val", "c0": "test", "c1": "test"}


def _read(folder: Path) -> RawData:
    return read_raw(folder, format_name=None, classes=None)


def _parts(data: RawData) -> dict[str, str | None]:
    return {image.stem: image.split for image in data.images}


def _set(root: Path, batches: dict[str, list[str]] = BATCHES) -> Path:
    """Folders of pictures below `images`, their label files below `labels`."""
    seed = 0
    for batch, names in batches.items():
        (root / "labels" / batch).mkdir(parents=True)
        for name in names:
            write_picture(root / "images" / batch / f"{name}.png", seed)
            (root / "labels" / batch / f"{name}.txt").write_text(OUTLINE)
            seed += 1
    return root


def _yaml(file: Path, **entries: object) -> None:
    file.write_text(yaml.safe_dump({"names": ["grain"], **entries}))


ENTRIES = {"train": "images/one", "val": "images/two", "test": "images/three"}


@pytest.mark.parametrize(
    "path",
    ["ds", "./ds/", "../ds", "/home/someone/data/ds", "C:\\Users\\someone\\ds", "~/data/ds", "."],
)
def test_the_path_of_the_yaml_file_is_looked_for_below_it(path: str, tmp_path: Path) -> None:
    _set(tmp_path / "ds" if path != "." else tmp_path)
    _yaml(tmp_path / "data.yaml", path=path, **ENTRIES)
    data = _read(tmp_path)
    assert (data.problems, data.warnings) == ((), ())
    assert _parts(data) == GIVEN


@pytest.mark.parametrize(
    "entry",
    [
        "images/{}",
        "./images/{}/",
        "images\\{}",
        "../images/{}",
        "/home/someone/set/images/{}",
        "D:/set/images/{}",
        "images/{}/*.png",
        "images/{}*",
    ],
)
def test_an_entry_is_found_however_it_is_written(entry: str, tmp_path: Path) -> None:
    _set(tmp_path)
    batches = {"train": "one", "val": "two", "test": "three"}
    _yaml(tmp_path / "data.yaml", **{part: entry.format(b) for part, b in batches.items()})
    data = _read(tmp_path)
    assert (data.problems, data.warnings) == ((), ())
    assert _parts(data) == GIVEN


def test_the_yaml_file_may_lie_in_a_folder_of_its_own(tmp_path: Path) -> None:
    _set(tmp_path)
    (tmp_path / "meta").mkdir()
    _yaml(tmp_path / "meta" / "data.yaml", **ENTRIES)
    assert _parts(_read(tmp_path)) == GIVEN


def test_a_yaml_file_without_names_gives_parts_too(tmp_path: Path) -> None:
    _set(tmp_path)
    (tmp_path / "classes.txt").write_text("grain\n")
    (tmp_path / "parts.yaml").write_text(yaml.safe_dump(ENTRIES))
    data = _read(tmp_path)
    assert (_parts(data), data.classes) == (GIVEN, ("grain",))


def test_several_folders_and_lists_make_a_part(tmp_path: Path) -> None:
    _set(tmp_path)
    (tmp_path / "list.txt").write_text("./images/two/b0.png\nimages/three/c0.png\n")
    _yaml(tmp_path / "data.yaml", train=["images/one", "list.txt"], val="images/three/c1.png")
    data = _read(tmp_path)
    assert data.problems == ()
    assert _parts(data) == {**dict.fromkeys(GIVEN, "train"), "c1": "val"}


def test_darknets_data_file_gives_parts(tmp_path: Path) -> None:
    _set(tmp_path)
    (tmp_path / "obj.names").write_text("grain\n")
    (tmp_path / "obj.data").write_text("classes = 1\ntrain = train.txt\nvalid = lists/v.txt\n")
    (tmp_path / "train.txt").write_text("images/one/a0.png\nimages/one/a1.png\n")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "v.txt").write_text("images/two/b0.png\n")
    parts = _parts(_read(tmp_path))
    assert (parts["a0"], parts["a1"], parts["b0"]) == ("train", "train", "val")


def test_lists_named_after_parts_are_read_without_a_yaml_file(tmp_path: Path) -> None:
    _set(tmp_path)
    for part, batch in (("train", "one"), ("val", "two"), ("test", "three")):
        lines = [f"images/{batch}/{name}.png" for name in BATCHES[batch]]
        (tmp_path / f"{part}.txt").write_text("\n".join(lines))
    data = _read(tmp_path)
    assert data.problems == ()
    assert _parts(data) == GIVEN


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_an_entry_that_finds_nothing_is_named_with_the_nearest_folder(
    part: str, tmp_path: Path
) -> None:
    _set(tmp_path)
    misspelt = f"{ENTRIES[part][:-2]}x{ENTRIES[part][-1]}"
    _yaml(tmp_path / "data.yaml", **(ENTRIES | {part: misspelt}))
    (problem,) = _read(tmp_path).problems
    assert (problem.kind, problem.file, problem.object) == (Kind.MISSING_IMAGE, "data.yaml", part)
    assert f"{misspelt} is not there; the nearest folder of pictures is" in problem.reason
    assert ENTRIES[part] in problem.reason


def test_parts_that_leave_pictures_out_are_not_used_and_a_warning_says_so(tmp_path: Path) -> None:
    raw = _set(tmp_path / "raw")
    _yaml(raw / "data.yaml", **(ENTRIES | {"val": "images/twoo"}))
    report = prepare(raw, tmp_path / "out")
    (warning,) = report.warnings
    assert "only 5 of 6 pictures lie in a part of the raw data" in warning
    assert "the first without one is b0" in warning


def test_a_picture_of_two_parts_is_told_and_is_not_trained_on(tmp_path: Path) -> None:
    _set(tmp_path)
    _yaml(tmp_path / "data.yaml", train="images", val="images/two", test="images/three")
    data = _read(tmp_path)
    assert _parts(data) == GIVEN
    (warning,) = data.warnings
    assert "3 pictures are named in several parts, the first is images/three/c0.png" in warning


def test_an_entry_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    raw = _set(tmp_path / "raw")
    write_picture(tmp_path / "secret" / "images" / "s.png", 9)
    _yaml(raw / "data.yaml", train="../../secret/images", val=str(tmp_path / "secret/images"))
    data = _read(raw)
    assert {problem.kind for problem in data.problems} == {Kind.LEAVES_FOLDER}
    assert [problem.object for problem in data.problems] == ["train", "val"]
    assert not any("secret" in str(image.file) for image in data.images)


def test_pictures_of_one_name_in_every_part_are_kept_in_their_parts(tmp_path: Path) -> None:
    raw, seed = tmp_path / "raw", 0
    for part, n in (("train", 4), ("val", 2), ("test", 2)):
        (raw / part / "labels").mkdir(parents=True)
        for i in range(n):
            write_picture(raw / part / "images" / f"{i}.png", seed)
            (raw / part / "labels" / f"{i}.txt").write_text(
                (1 + seed % 3) * "0 0.1 0.1 0.5 0.1 0.5 0.5\n"
            )
            seed += 1
    _yaml(raw / "data.yaml", train="train/images", val="val/images", test="test/images")
    data = prepare(raw, tmp_path / "out").data
    assert data.counts() == {"train": 4, "val": 2, "test": 2}
    names = {split: sorted(i.path.stem for i in data.images(split)) for split in SPLITS}
    assert names["val"] == ["val_0", "val_1"]
    assert names["train"] == ["2", "3", "train_0", "train_1"]
    assert (data.read(data.images("val")[0]) != data.read(data.images("test")[0])).any()


def test_a_file_of_parts_tells_pictures_of_one_name_by_their_folders(tmp_path: Path) -> None:
    raw = _set(tmp_path / "raw", {"x": ["0", "1"], "y": ["0", "1"], "z": ["2"]})
    (raw / "splits.csv").write_text(
        "picture,split\nx/0.png,train\nimages/y/0.png,val\nx/1,train\n1.png,val\n2,test\n"
    )
    data = _read(raw)
    assert _parts(data) == {"x_0": "train", "x_1": "train", "y_0": "val", "2": "test"}
    (problem,) = data.problems
    assert (problem.kind, problem.file) == (Kind.NOT_IN_SPLITS, "images/y/1.png")
    assert "names 1.png, as 2 pictures are called; add their folders" in problem.reason


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "val", "test"),
        ("train2017", "val2017", "test2017"),
        ("Train_Images", "valid-images", "test set"),
    ],
)
def test_folders_decide_without_a_yaml_file(folders: list[str], tmp_path: Path) -> None:
    names = [["a0", "a1"], ["b0"], ["c0"]]
    raw = _set(tmp_path / "raw", dict(zip(folders, names, strict=True)))
    data = prepare(raw, tmp_path / "out", PrepareOptions(classes=["grain"])).data
    assert data.counts() == {"train": 2, "val": 1, "test": 1}
