"""All particles of a run in COCO's format, masks as compressed run-length encodings.

Written picture by picture, so a run of any size needs the memory of one.

Source: cocodataset.org/#format-data; scores stand where COCO's format of results has them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainables.datasets import geometry
from trainables.files.whole import write_whole
from trainables.results import Instances


@dataclass(frozen=True)
class FoundPicture:
    """A picture and what was found in it.

    Attributes:
        name: Name of the picture, as in the tables.
        width: Columns.
        height: Rows.
        first_id: Id of its first particle in the run, from 1.
        instances: Its particles, in the order of the tables.
    """

    name: str
    width: int
    height: int
    first_id: int
    instances: Instances


def write_coco(
    pictures: Iterable[FoundPicture], classes: Sequence[str], info: Any, path: Path
) -> Path:
    """Write a COCO file.

    Args:
        pictures: The pictures, taken one after the other.
        classes: Class names; category i + 1 is class i.
        info: What stands under `info`: settings, model, versions.
        path: JSON file to write.
    """

    def write(file: Path) -> None:
        """Write the whole file under a name that is not yet its own."""
        with file.open("w", encoding="utf-8") as stream:
            _write(pictures, classes, info, stream)

    return write_whole(path, write)


def _write(
    pictures: Iterable[FoundPicture], classes: Sequence[str], info: Any, stream: IO[str]
) -> None:
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
    stream.write(f'{{"info": {json.dumps(info)},\n"categories": {json.dumps(categories)},\n')
    images: list[dict[str, Any]] = []

    def annotations() -> Iterator[dict[str, Any]]:
        """The particles of all pictures; notes each picture on the way."""
        for number, picture in enumerate(pictures, start=1):
            images.append(_image(number, picture))
            yield from _annotations(number, picture)

    stream.write('"annotations": [\n')
    _listed(stream, annotations())
    stream.write('],\n"images": [\n')
    _listed(stream, images)
    stream.write("]}\n")


def _listed(stream: IO[str], rows: Iterable[Any]) -> None:
    for number, row in enumerate(rows):
        stream.write(f"{',' if number else ''}{json.dumps(row)}\n")


def _image(number: int, picture: FoundPicture) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": picture.name,
        "width": picture.width,
        "height": picture.height,
    }


def _annotations(number: int, picture: FoundPicture) -> Iterable[dict[str, Any]]:
    found = picture.instances
    for index in range(len(found)):
        x1, y1, x2, y2 = (float(value) for value in found.boxes[index])
        row: dict[str, Any] = {
            "id": picture.first_id + index,
            "image_id": number,
            "category_id": int(found.classes[index]) + 1,
            "score": float(found.scores[index]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "iscrowd": 0,
        }
        if found.masks is not None:
            mask = dict(found.masks[index])
            counts = mask["counts"]
            text = counts.decode("ascii") if isinstance(counts, bytes) else counts
            row["segmentation"] = {"size": list(mask["size"]), "counts": text}
            row["area"] = geometry.area(mask)
        yield row
