"""ImageJ's regions of interest: a RoiSet.zip that its ROI manager opens, one region a particle.

Each region has the name of its row in the tables. One with holes or of several parts is a composite
region, whose path has every outline.

Source: ImageJ, ij/io/RoiEncoder.java and RoiDecoder.java.
"""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.measure.outputs.labelme import DrawnParticle
from analysis.measure.outputs.rims import Rim
from trainables.files.whole import write_whole

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # commands of java.awt.geom.PathIterator

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the same regions are the same file, whenever written


def write_rois(particles: Sequence[DrawnParticle], page: int, n_pages: int, path: Path) -> Path:
    """Write one picture's particles as a zip file of regions.

    Args:
        particles: Particles of the picture.
        page: Index of the picture in its file.
        n_pages: Number of pages of the file; a region in a stack says on which it is.
        path: Zip file to write.
    """
    position = page + 1 if n_pages > 1 else 0

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:  # not packed: a few kB, in half of the time
        for particle in particles:
            name = f"{particle.id:05d}-{_plain(particle.name)}"
            entry = zipfile.ZipInfo(f"{name}.roi", _EPOCH)
            archive.writestr(entry, _region(particle, name, position))

    def write(file: Path) -> None:
        file.write_bytes(content.getvalue())

    return write_whole(path, write, on_disk=False)  # later, with the others of the picture


def _plain(name: str) -> str:
    """A class name that can stand in the name of a file."""
    return "".join(letter if letter.isalnum() or letter in "-_ " else "_" for letter in name)


def _region(particle: DrawnParticle, name: str, position: int) -> bytes:
    from roifile import ROI_TYPE, ImagejRoi  # put off: slow to import, and not all ask for regions

    outlines = [*particle.outer, *particle.holes]
    corners = np.concatenate(outlines)
    left, top = corners.min(axis=0).tolist()
    right, bottom = corners.max(axis=0).tolist()
    fields: dict[str, Any] = {
        "name": name,
        "position": position,
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
    }
    if len(outlines) == 1:
        points = (outlines[0] - (left, top)).astype(np.int32)
        roi = ImagejRoi(
            roitype=ROI_TYPE.TRACED,
            integer_coordinates=points,
            n_coordinates=len(points),
            **fields,
        )
    else:
        path = np.concatenate([_path(outline) for outline in outlines])
        roi = ImagejRoi(
            roitype=ROI_TYPE.RECT, multi_coordinates=path, shape_roi_size=len(path), **fields
        )
    data: bytes = roi.tobytes()
    return data


def _path(outline: Rim) -> Any:
    """An outline as a path of Java's: move, lines, close; (n,) float32."""
    commands = np.full(len(outline), _LINE)
    commands[0] = _MOVE
    points = np.column_stack([commands, outline]).ravel()
    return np.append(points, _CLOSE).astype(np.float32)
