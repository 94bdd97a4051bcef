"""What people have outlined in pictures, in place of what a model finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.finding.finder import Found
from analysis.finding.overlaps import mask_boxes
from analysis.finding.quality import quality
from analysis.measure.job.stages import ReadPicture, Searched, analysed_rectangle, for_models
from analysis.pictures.micrographs import Micrograph
from trainables.files.words import counted
from trainables.results import Instances


@dataclass(frozen=True)
class PictureOutlines:
    """The outlines of a picture.

    Attributes:
        classes: (N,) index of the class of each.
        masks: N run-length encodings at the picture's size.
        left_out: How many more there are that cannot be read.
    """

    classes: Sequence[int]
    masks: Sequence[Mapping[str, Any]]
    left_out: int = 0


@dataclass(frozen=True)
class OutlineSearcher:
    """Gives what is outlined in pictures.

    Attributes:
        pictures: All pictures of the run.
        outlines: The outlines of each.
        classes: Names of the classes.
    """

    pictures: Sequence[Micrograph]
    outlines: Sequence[PictureOutlines]
    classes: tuple[str, ...]

    def __call__(self, numbers: Sequence[int], read: Sequence[ReadPicture]) -> list[Searched]:
        """What is outlined in pictures; their scores are 1."""
        return [self._of(number, known) for number, known in zip(numbers, read, strict=True)]

    def _of(self, number: int, read: ReadPicture) -> Searched:
        picture, outlines = self.pictures[number], self.outlines[number]
        n = len(outlines.masks)
        instances = Instances(
            mask_boxes(tuple(outlines.masks)).astype(np.float32).reshape(-1, 4),
            np.ones(n, np.float32),
            np.array(outlines.classes, np.int64),
            tuple(outlines.masks),
        )
        left, top, right, bottom = analysed_rectangle(read)
        pixels = for_models(picture, read)
        found = Found(
            instances,
            capped=False,
            windows=0,
            passes=0,
            scales=(),
            n_cut=0,
            removed={},
            confidence={},
            quality=quality(pixels[top:bottom, left:right]),
        )
        lost = outlines.left_out
        flag = f"{counted(lost, 'outline is', 'outlines are')} left out" if lost else ""
        return Searched(found, self.classes, (flag,) if flag else ())
