"""The raw annotation formats, each written as its own program writes it.

What a form holds of the visible masks:

| form | masks | holes | several parts | classes |
| --- | --- | --- | --- | --- |
| coco | exact (run lengths) | yes | yes | yes |
| labelme | exact (`mask` shapes) | yes | yes | yes |
| superannotate | exact (outlines along pixel edges) | yes (`exclude`) | yes (`groupId`) | yes |
| masks | exact (16-bit labels: 65,535 objects an image, none over another) | yes | yes | no |
| via, yolo | outlines along pixel edges, one polygon an object | by cuts | by cuts | yes |
| coordinates | none: centroids of the whole shapes, where they lie in the picture | no | no | no |

A cut has no width, so it holds no pixel when the polygon is filled by the even-odd rule, as segtune
does it. A program that draws outlines too (OpenCV's `fillPoly`, hence Ultralytics) also marks the
pixels along the outlines and cuts.
"""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from pycocotools import mask as coco_mask

from trainables.datasets.simulate import outlines
from trainables.datasets.simulate.truth import SimulatedMicrograph, SimulatedObject

FormName = Literal["coco", "yolo", "labelme", "via", "superannotate", "masks", "coordinates"]


class Writer(Protocol):
    """Annotations of a set being written, image by image."""

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Take in an image whose picture is in `file` (below the folder's `images`)."""
        ...

    def finish(self) -> None:
        """Write what belongs to the whole set."""
        ...


class CocoWriter:
    """`annotations.json` with run lengths; category ids from 1."""

    def __init__(self, root: Path, classes: tuple[str, ...]) -> None:
        self._root = root
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._categories = [{"id": n, "name": name} for n, name in enumerate(classes, start=1)]

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Take in an image."""
        height, width = image.image.shape
        number = len(self._images) + 1
        name = file.relative_to(self._root).as_posix()
        self._images.append({"id": number, "file_name": name, "width": width, "height": height})
        for item in image.objects:
            segmentation = {"size": [height, width], "counts": item.rle["counts"].decode("ascii")}
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": number,
                    "category_id": item.category + 1,
                    "segmentation": segmentation,
                    "bbox": list(item.box),
                    "area": item.visible_px,
                    "iscrowd": 0,
                }
            )

    def finish(self) -> None:
        """Write the file."""
        document = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": self._categories,
        }
        _write_json(self._root / "annotations.json", document)


class YoloWriter:
    """`labels/<stem>.txt` and `data.yaml` with the class names and no parts."""

    def __init__(self, root: Path, classes: tuple[str, ...]) -> None:
        self._root = root
        self._classes = classes
        (root / "labels").mkdir()

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Write the label file of an image."""
        height, width = image.image.shape
        lines = []
        for item in image.objects:
            points = np.array(outlines.joined(_pieces(item))) / [width, height]
            numbers = " ".join(f"{value:.7g}" for value in points.ravel())
            lines.append(f"{item.category} {numbers}\n")
        path = self._root / "labels" / f"{file.stem}.txt"
        path.write_text("".join(lines), encoding="utf-8")

    def finish(self) -> None:
        """Write the class names."""
        names = dict(enumerate(self._classes))
        text = yaml.safe_dump({"names": names}, sort_keys=False, allow_unicode=True)
        (self._root / "data.yaml").write_text(text, encoding="utf-8")


class LabelMeWriter:
    """`labelme/<stem>.json` with a `mask` shape an object."""

    def __init__(self, root: Path, classes: tuple[str, ...]) -> None:
        self._folder = root / "labelme"
        self._classes = classes
        self._folder.mkdir()

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Write the file of an image."""
        height, width = image.image.shape
        document = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [self._shape(item) for item in image.objects],
            "imagePath": f"../images/{file.name}",
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        _write_json(self._folder / f"{file.stem}.json", document)

    def finish(self) -> None:
        """Nothing is left to write."""

    def _shape(self, item: SimulatedObject) -> dict[str, Any]:
        x, y, width, height = item.box
        _, png = cv2.imencode(".png", _cropped(item).astype(np.uint8))
        return {
            "label": self._classes[item.category],
            "points": [[x, y], [x + width - 1, y + height - 1]],
            "group_id": None,
            "description": "",
            "shape_type": "mask",
            "flags": {},
            "mask": base64.b64encode(png.tobytes()).decode("ascii"),
        }


class ViaWriter:
    """`via_annotations.json`, a project of VGG Image Annotator 2."""

    def __init__(self, root: Path, classes: tuple[str, ...]) -> None:
        self._root = root
        self._classes = classes
        self._images: dict[str, Any] = {}

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Take in an image."""
        size = file.stat().st_size
        self._images[f"{file.name}{size}"] = {
            "filename": file.name,
            "size": size,
            "regions": [self._region(item) for item in image.objects],
            "file_attributes": {},
        }

    def finish(self) -> None:
        """Write the project."""
        options = dict.fromkeys(self._classes, "")
        attribute = {"type": "dropdown", "options": options, "default_options": {}}
        document = {
            "_via_settings": {"core": {"default_filepath": "images/"}},
            "_via_img_metadata": self._images,
            "_via_attributes": {"region": {"class": attribute}, "file": {}},
        }
        _write_json(self._root / "via_annotations.json", document)

    def _region(self, item: SimulatedObject) -> dict[str, Any]:
        points = outlines.joined(_pieces(item))
        return {
            "shape_attributes": {
                "name": "polygon",
                "all_points_x": [x for x, _ in points],
                "all_points_y": [y for _, y in points],
            },
            "region_attributes": {"class": self._classes[item.category]},
        }


class SuperAnnotateWriter:
    """`annotations/<picture>.json`, and the classes in `classes/classes.json`."""

    def __init__(self, root: Path, classes: tuple[str, ...]) -> None:
        self._root = root
        self._classes = classes
        (root / "annotations").mkdir()
        (root / "classes").mkdir()

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Write the file of an image."""
        height, width = image.image.shape
        document = {
            "metadata": {"name": file.name, "width": width, "height": height},
            "instances": [entry for item in image.objects for entry in self._instances(item)],
        }
        _write_json(self._root / "annotations" / f"{file.name}.json", document)

    def finish(self) -> None:
        """Write the classes."""
        entries = [{"id": n, "name": name} for n, name in enumerate(self._classes, start=1)]
        _write_json(self._root / "classes" / "classes.json", entries)

    def _instances(self, item: SimulatedObject) -> list[dict[str, Any]]:
        """An instance for each piece; the pieces of an object share a group."""
        pieces = _pieces(item)
        return [
            {
                "type": "polygon",
                "className": self._classes[item.category],
                "classId": item.category + 1,
                "points": [number for point in outer for number in point],
                "exclude": [[number for point in hole for number in point] for hole in holes],
                "groupId": item.order + 1 if len(pieces) > 1 else 0,
                "attributes": [],
            }
            for outer, holes in pieces
        ]


class MasksWriter:
    """`labels/<stem>.png`, 16 bits: 0 is background, object `order` has the number `order + 1`."""

    def __init__(self, root: Path, classes: tuple[str, ...]) -> None:
        del classes  # the form has none
        self._folder = root / "labels"
        self._folder.mkdir()

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Write the label picture of an image."""
        labels = np.zeros(image.image.shape, np.uint16)
        for item in image.objects:
            x, y, width, height = item.box
            labels[y : y + height, x : x + width][_cropped(item)] = item.order + 1
        write_picture(self._folder / f"{file.stem}.png", labels)

    def finish(self) -> None:
        """Nothing is left to write."""


class CoordinatesWriter:
    """`coordinates.json`: {"image.png": [[x, y], ...]}."""

    def __init__(self, root: Path, classes: tuple[str, ...]) -> None:
        del classes  # the form has none
        self._root = root
        self._centers: dict[str, list[tuple[float, float]]] = {}

    def add(self, image: SimulatedMicrograph, file: Path) -> None:
        """Take in an image."""
        height, width = image.image.shape
        centers = [(round(o.shape.cx, 3), round(o.shape.cy, 3)) for o in image.objects]
        inside = [(x, y) for x, y in centers if 0 <= x <= width and 0 <= y <= height]
        self._centers[file.name] = inside

    def finish(self) -> None:
        """Write the file."""
        _write_json(self._root / "coordinates.json", self._centers)


WRITERS: Final[Mapping[str, Callable[[Path, tuple[str, ...]], Writer]]] = MappingProxyType(
    {
        "coco": CocoWriter,
        "yolo": YoloWriter,
        "labelme": LabelMeWriter,
        "via": ViaWriter,
        "superannotate": SuperAnnotateWriter,
        "masks": MasksWriter,
        "coordinates": CoordinatesWriter,
    }
)


def write_picture(file: Path, picture: npt.NDArray[Any]) -> None:
    """Write a grey picture as its suffix says.

    Raises:
        OSError: It could not be written.
    """
    done, data = cv2.imencode(file.suffix, picture)
    if not done:
        raise OSError(f"{file}: could not be encoded")
    file.write_bytes(data.tobytes())


def _pieces(item: SimulatedObject) -> list[outlines.Part]:
    return outlines.parts(_cropped(item), left=item.box[0], top=item.box[1])


def _cropped(item: SimulatedObject) -> npt.NDArray[np.bool_]:
    """The visible mask inside its box."""
    x, y, width, height = item.box
    mask: npt.NDArray[np.uint8] = coco_mask.decode(item.rle)
    return np.asarray(mask[y : y + height, x : x + width] != 0)


def _write_json(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
