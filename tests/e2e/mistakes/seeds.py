"""Mistakes on the command line, and what is changed in a right folder before each."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from analysis.models.stored import to_stored
from tests.support.models.planted import Planted
from tests.support.raw_samples import (
    labelme_set,
    shape,
    square,
    write_coco,
    write_labelme,
    write_picture,
)
from trainables.datasets.preparing.prepare import prepare
from tune.best.file import load_best, to_yaml
from tune.best.store import BestStore


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        name: Of the test.
        command: Words after `segtune`; its first is the verb.
        says: Fragments of the message.
        seed: What is changed before, in the folder of the command.
    """

    name: str
    command: str
    says: list[str]
    seed: Callable[[Path], object] = lambda folder: None

    def __str__(self) -> str:
        return self.name


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Write a file, its folder too."""

    def seed(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return seed


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Change a text in a file."""

    def seed(folder: Path) -> None:
        content = (folder / name).read_text()
        assert old in content
        (folder / name).write_text(content.replace(old, new))

    return seed


def manifest(**changes: object) -> Callable[[Path], object]:
    """Change keys of the prepared data set's manifest; None drops one."""

    def seed(folder: Path) -> None:
        path = folder / "data" / "dataset.json"
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return seed


def without(name: str) -> Callable[[Path], object]:
    """Delete a file or a folder."""

    def seed(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return seed


def pictures(folder: Path, n: int = 3) -> Path:
    for i in range(n):
        write_picture(folder / f"p{i}.png", seed=i)
    return folder


def pictures_in_new(folder: Path) -> None:
    pictures(folder / "new")


def pascal_voc(folder: Path) -> None:
    pictures(folder / "new")
    text("new/p0.xml", "<annotation><object><bndbox/></object></annotation>")(folder)


def yolo_boxes(folder: Path) -> None:
    pictures(folder / "new")
    for i in range(3):
        text(f"new/p{i}.txt", "0 30 20 10 10\n")(folder)


def coco_boxes(folder: Path) -> None:
    pictures(folder / "new")
    box = {"image_id": 1, "category_id": 1, "bbox": [20, 20, 10, 10, 30]}
    write_coco(folder / "new" / "boxes.json", ["p0.png", "p1.png"], [box])


def paths_leave(folder: Path) -> None:
    pictures(folder / "outside")
    (folder / "new").mkdir()
    for i in range(3):
        shapes = [shape(square(2, 2))]
        write_labelme(folder / "new", f"p{i}", shapes, imagePath=f"../outside/p{i}.png")


def absolute_paths(folder: Path) -> None:
    pictures(folder / "new")
    write_labelme(folder / "new", "q", [shape(square(2, 2))], imagePath="/etc/hostname")


def all_invalid(folder: Path) -> None:
    pictures(folder / "new")
    write_labelme(folder / "new", "p0", [shape([[1, 1], [2, 2]])])
    write_labelme(folder / "new", "p1", [shape(square(500, 500))])
    write_labelme(folder / "new", "p2", [shape([[5, 5], [5, 5], [5, 5]])])


def one_invalid(folder: Path) -> None:
    write_labelme(folder / "raw", "micrograph_00", [shape(square(2, 2)), shape([[1, 1], [2, 2]])])


def broken_pictures(folder: Path) -> None:
    for path in (folder / "raw").glob("*.png"):
        path.write_bytes(path.read_bytes()[:60])


def deleted_picture(folder: Path) -> None:
    next((folder / "data" / "images").iterdir()).unlink()


def changed_picture(folder: Path) -> None:
    """Paint a picture black, as any program may."""
    write_black(folder / "data" / "images" / "micrograph_02.png")


def changed_pictures(folder: Path) -> None:
    for path in (folder / "data" / "images").iterdir():
        write_black(path)


def write_black(path: Path) -> None:
    assert cv2.imwrite(str(path), np.zeros((48, 64), np.uint8))


def planted_weights(folder: Path) -> None:
    """Weights that would make a file beside them where they are opened."""
    content = {"model": Planted(folder / "trace")}
    (folder / "planted.pt").write_bytes(pickle.dumps(content))


def too_few_groups(folder: Path) -> None:
    labelme_set(folder / "tiles", n=4, name="sample_r0c{}")
    prepare(folder / "tiles", folder / "few")
    shutil.rmtree(folder / "tiles")


def known_best(folder: Path) -> None:
    """Record a best configuration in `kept`, and name the data set of another, worse one."""
    file = folder / "best.yaml"
    config = load_best(file)
    named = config.data.model_copy(update={"name": "grains"})
    better = config.objective.model_copy(update={"value": 0.9})
    known = config.model_copy(update={"data": named, "objective": better})
    BestStore(str(folder / "kept")).put(to_stored(known), everywhere=False)
    file.write_text(to_yaml(config.model_copy(update={"data": named})))


def grain_model(folder: Path) -> None:
    """Let the finished study have trained on the classes of the data."""
    replaced("done/resolved.json", '"particle"', '"grain"')(folder)


def loose_model(folder: Path) -> None:
    """A model with nothing beside it that tells its engine."""
    shutil.copy(
        next((folder / "done").glob("trials/*/attempt-1/best/model.pt")), folder / "loose.pt"
    )


def no_test_part(folder: Path) -> None:
    path = folder / "data" / "dataset.json"
    content = json.loads(path.read_text())
    content["counts"]["test"] = {"images": 0, "objects": {}}
    path.write_text(json.dumps(content))


def both(*seeds: Callable[[Path], object]) -> Callable[[Path], object]:
    def seed(folder: Path) -> None:
        for one in seeds:
            one(folder)

    return seed


def coordinates(**lists: object) -> Callable[[Path], object]:
    """Three pictures and a `coordinates.json` of these lists, by the pictures' stems."""

    def seed(folder: Path) -> None:
        pictures(folder / "new")
        named = {f"{stem}.png": entries for stem, entries in lists.items()}
        text("new/coordinates.json", json.dumps(named))(folder)

    return seed


def data_of(folder: Path) -> str:
    lines = (folder / "begun" / "study.yaml").read_text().splitlines()
    return next(line for line in lines if line.startswith("data: ")).removeprefix("data: ")


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in and beside the folder."""
    return {
        str(path): path.read_bytes() if path.is_file() else b"" for path in folder.parent.rglob("*")
    }


def check_message(said: str, mistake: Mistake) -> None:
    assert said.startswith("segtune: ")
    assert said.count("segtune: ") == 1
    assert "Traceback" not in said
    for fragment in mistake.says:
        assert fragment in said
